"""Where seeds come from: the trained network, the end of its warm-up, or whichever seems better."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from ktse.data.dataset import TaggedImages
from ktse.errors import RunError
from ktse.files import read_json, read_label_map, read_npz
from ktse.models.cam_head import CamNetwork
from ktse.recipe import ClassifyRecipe, SeedRecipe
from ktse.run_folder import RunFolder
from ktse.runtime.fabric import make_fabric
from ktse.stages.classify import classify, load_network, load_warmup
from ktse.stages.seed import seed
from ktse.stages.source import choose_network

TINY = ClassifyRecipe(
    backbone="resnet10t", weights="none", frozen_stages=0, epochs=2, warmup=1, batch_size=4, warmup_batch_size=4,
    long_side=(64, 80), crop=64, precision="fp32", workers=0,
)  # fmt: skip
RECIPE = SeedRecipe(scales=(1.0,), precision="fp32")


@pytest.fixture
def trained(tmp_path: Path, data: TaggedImages) -> RunFolder:
    run = RunFolder(tmp_path / "trained")
    classify(run, data, TINY)
    return run


def test_each_source_gives_the_cams_of_its_network(trained: RunFolder, data: TaggedImages) -> None:
    warm, final = load_warmup(trained), load_network(trained)
    assert warm is not None
    weights = [network.head.score.weight for network in (warm, final)]
    assert not torch.equal(*weights)
    cams = {}
    for source in ("warmup", "final"):
        for path in trained.path("seeds").glob("*"):
            path.unlink()
        seed(trained, data, replace(RECIPE, source=source))  # type: ignore[arg-type]
        cams[source] = read_npz(trained.seed_path(data.ids[2]))
        found = read_json(trained.path("seeds", "source.json"))
        assert found["used"] == source
        assert found["images"] == 8  # those with tags
        assert found["low"] <= found["final"] - found["warmup"] <= found["high"]
    assert not np.array_equal(cams["warmup"]["logits"], cams["final"]["logits"])


@pytest.mark.parametrize(
    ("good", "better", "used"),
    [("warmup", "warmup", "warmup"), ("final", "final", "final"), ("both", "unclear", "final")],
)
def test_auto_takes_the_warm_up_only_where_its_masks_are_clearly_better(
    trained: RunFolder, data: TaggedImages, scenes: Path, good: str, better: str, used: str
) -> None:
    warm = load_warmup(trained)
    assert warm is not None
    marks = {"warmup": warm.head.score.weight[0, 0].item(), "final": 0.0}
    truth = {
        data.read(i).tobytes(): read_label_map(scenes / "masks" / f"{name}.png") for i, name in enumerate(data.ids)
    }

    def cams(
        network: CamNetwork, image: object, keys: np.ndarray, recipe: SeedRecipe, fabric: object
    ) -> tuple[np.ndarray, np.ndarray]:
        """True masks for the good network, and moved aside for the other."""
        who = "warmup" if network.head.score.weight[0, 0].item() == marks["warmup"] else "final"
        true = truth[image.tobytes()]  # type: ignore[attr-defined]
        planes = np.stack([(true == key + 1).astype(np.float16) for key in keys])
        return planes if good in (who, "both") else np.roll(planes, 25, axis=2), np.zeros(5)

    for source, expected in (("auto", used), ("final", "final")):
        trained.path("seeds", "source.json").unlink(missing_ok=True)
        recipe = replace(RECIPE, source=source)  # type: ignore[arg-type]
        network = choose_network(trained, data, recipe, make_fabric("fp32"), cams)  # type: ignore[arg-type]
        found = read_json(trained.path("seeds", "source.json"))
        assert (found["better"], found["used"]) == (better, expected)
        assert (network.head.score.weight[0, 0].item() == marks["warmup"]) == (expected == "warmup")
        assert bool(found["warnings"]) == (source == "final" and better == "warmup")


@pytest.mark.parametrize("warmup", [0, 2])
def test_without_a_phase_of_either_kind_there_is_nothing_to_choose(
    tmp_path: Path, data: TaggedImages, warmup: int
) -> None:
    run = RunFolder(tmp_path / "one-phase")
    classify(run, data, replace(TINY, warmup=warmup))
    assert load_warmup(run) is None
    with pytest.raises(RunError, match=r"--seed\.source final"):
        seed(run, data, replace(RECIPE, source="warmup"))
    seed(run, data, replace(RECIPE, source="auto"))
    assert read_json(run.path("seeds", "source.json")) == {"used": "final", "better": None, "warnings": []}
