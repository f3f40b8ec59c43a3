"""Masks of another method in the refine stage: true masks choose, class by class, which are taken."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from drawn_scenes import HERE
from ktse.data.dataset import TaggedImages
from ktse.data.masks import Calibration, SecondOpinion, open_calibration, open_second_opinion
from ktse.errors import DataError, RecipeError, RunError
from ktse.files import read_json, read_label_map, write_label_map
from ktse.recipe import RefineRecipe
from ktse.recipe.load import load_recipe, recipe_from_dict, to_dict
from ktse.run_folder import RunFolder
from ktse.stages.refine import refine

RECIPE = RefineRecipe(method=(), stride=1)


@pytest.fixture
def truth(data: TaggedImages, scenes: Path) -> Calibration:
    """All true masks, to choose by."""
    return open_calibration(scenes / "masks", data)


def opinion(data: TaggedImages, scenes: Path, folder: Path, good: int) -> SecondOpinion:
    """Masks that are the true ones for one label, and for all others two thirds of an image to the right."""
    for name in data.ids:
        true = read_label_map(scenes / "masks" / f"{name}.png")
        wrong = np.roll(true, 2 * true.shape[1] // 3, axis=1)
        wrong[wrong == good] = 0
        write_label_map(folder / f"{name}.png", np.where(true == good, good, wrong).astype(np.uint8))
    return open_second_opinion(folder, data)


def iou(run: RunFolder, data: TaggedImages, scenes: Path, label: int) -> float:
    """The IoU of a label over all images."""
    both = either = 0
    for name in data.ids:
        said, true = (read_label_map(path) == label for path in (run.mask_path(name), scenes / "masks" / f"{name}.png"))
        both, either = both + (said & true).sum(), either + (said | true).sum()
    return float(both / either)


def test_a_class_comes_from_whichever_masks_are_better(
    run: RunFolder,
    data: TaggedImages,
    scenes: Path,
    truth: Calibration,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    refine(run, data, RECIPE, truth, compute=HERE)
    labels = [int(key) + 1 for key in np.flatnonzero(data.tags.any(axis=0))]
    before = {label: iou(run, data, scenes, label) for label in labels}
    good = min(before, key=lambda label: before[label])
    assert before[good] < 0.95
    shutil.rmtree(run.path("masks"))
    refine(run, data, RECIPE, truth, opinion(data, scenes, tmp_path / "other", good), HERE)
    assert read_json(run.path("masks", "other.json"))["taken"] == [data.classes[good - 1]]
    assert run.summary("masks")["other"] == [data.classes[good - 1]]
    after = {label: iou(run, data, scenes, label) for label in labels}
    assert after[good] > before[good] + 0.03
    assert all(abs(after[label] - before[label]) < 0.05 for label in labels if label != good)
    assert f"better for: {data.classes[good - 1]} (IoU" in capsys.readouterr().err
    there = [name for name in data.ids if run.path("other", f"{name}.png").is_file()]
    assert there == list(data.ids)


def test_undecided_pixels_of_another_mask_keep_what_the_run_has_found(
    run: RunFolder, data: TaggedImages, scenes: Path, truth: Calibration, tmp_path: Path
) -> None:
    refine(run, data, RECIPE, truth, compute=HERE)
    before = {name: run.scores(name) for name in data.ids}
    middle = run.mask(data.ids[0]).shape[1] // 2
    for name in data.ids:
        label = read_label_map(scenes / "masks" / f"{name}.png").copy()
        label[:, middle:] = 255
        write_label_map(tmp_path / "other" / f"{name}.png", label)
    shutil.rmtree(run.path("masks"))
    refine(run, data, RECIPE, truth, open_second_opinion(tmp_path / "other", data), HERE)
    taken = [data.classes.index(name) for name in read_json(run.path("masks", "other.json"))["taken"]]
    looked = 0
    for name in data.ids:
        true, (keys, former) = read_label_map(scenes / "masks" / f"{name}.png"), before[name][:2]
        for key, own, now in zip(keys, former, run.scores(name).scores, strict=True):
            assert np.abs(now.astype(int) - own)[:, middle:].max() <= 1
            if key in taken:
                assert (now[:, :middle] == 255 * (true[:, :middle] == key + 1)).all()
                looked += (own[:, :middle] != now[:, :middle]).any() and (own[:, middle:] > 0).any()
    assert looked


def test_without_a_true_mask_of_the_same_image_nothing_can_choose(
    run: RunFolder, data: TaggedImages, scenes: Path, truth: Calibration, tmp_path: Path
) -> None:
    shown = [name for name in data.ids if (read_label_map(scenes / "masks" / f"{name}.png") == 1).any()]
    other = opinion(data, scenes, tmp_path / "other", 1)
    with pytest.raises(RunError, match="to choose by"):
        refine(run, data, RECIPE, truth.only(shown[:1]), other.only(shown[1:]), HERE)
    assert not run.path("masks", "summary.json").exists()


def test_other_masks_that_cannot_be_used_are_named_together(data: TaggedImages, tmp_path: Path) -> None:
    for name in data.ids[:2]:
        write_label_map(tmp_path / f"{name}.png", np.ones((3, 3), dtype=np.uint8))
    with pytest.raises(DataError) as caught:
        open_second_opinion(tmp_path, data)
    assert all(f"{name}.png" in str(caught.value) for name in data.ids[:2])


def test_a_recipe_with_other_masks_and_none_to_choose_by_is_refused() -> None:
    values = to_dict(load_recipe("fast"))
    values["refine"]["other"] = "somewhere"
    with pytest.raises(RecipeError, match="together with refine"):
        recipe_from_dict(values)
