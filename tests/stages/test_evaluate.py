"""evaluate: no number where the true masks hold no pixel of a class."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ktse.data.dataset import TaggedImages
from ktse.data.masks import Truth
from ktse.files import read_json, write_label_map, write_npz
from ktse.recipe import Recipe
from ktse.refinement.threshold import BINS
from ktse.run_folder import RunFolder
from ktse.stages.evaluate import evaluate


@pytest.fixture
def data(tmp_path: Path) -> TaggedImages:
    names = ("a", "b", "c")
    for name in names:
        Image.new("RGB", (6, 4)).save(tmp_path / f"{name}.png")
    tags, validation = np.ones((3, 1), bool), np.array([False, False, True])
    return TaggedImages(tmp_path, tuple(f"{name}.png" for name in names), names, ("dog",), tags, validation)


def measured(root: Path, data: TaggedImages, values: dict[str, int]) -> dict:
    """The evaluation of predictions that find a dog in every corner, against masks with one value in it."""
    run, truth = RunFolder(root / "run"), {}
    for name in data.ids:
        label = np.zeros((4, 6), np.uint8)
        label[:2, :3] = 1
        write_label_map(run.prediction_path(name), label)
        cam = np.zeros((1, 2, 3), np.uint8)
        write_npz(
            run.seed_path(name), keys=np.array([0], np.uint8), cam=cam, logits=np.ones(1, np.float32),
            explained=np.ones(BINS),
        )  # fmt: skip
        label[:2, :3] = values[name]
        truth[name] = root / "true" / f"{name}.png"
        write_label_map(truth[name], label)
    result = evaluate(run, data, Truth(truth), Recipe())
    assert read_json(run.path("evaluation.json")) == result
    return result


def test_nothing_is_measured_where_no_class_occurs(
    tmp_path: Path, data: TaggedImages, capsys: pytest.CaptureFixture[str]
) -> None:
    result = measured(tmp_path, data, {"a": 255, "b": 255, "c": 0})
    assert "prediction" not in result and "miou" not in str(result)
    assert result["warnings"] == ["no class occurs in the true masks: not measured"]
    assert "evaluate: no class occurs in the true masks: not measured" in capsys.readouterr().err
    assert (tmp_path / "run" / "evaluation_images.csv").read_text().splitlines() == [
        "id,split,seed,mask,fused,prediction"
    ]


def test_a_part_of_the_images_in_which_no_class_occurs_is_not_measured(tmp_path: Path, data: TaggedImages) -> None:
    result = measured(tmp_path, data, {"a": 1, "b": 1, "c": 255})
    assert result["prediction"]["miou"] == 100
    assert set(result["prediction"]["by_split"]) == {"train"}
    assert set(measured(tmp_path, data, {"a": 0, "b": 255, "c": 1})["prediction"]["by_split"]) == {"validation"}
