"""A run that goes on from another run's warm-up ends like one that trains its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from drawn_scenes import HERE
from ktse.data.dataset import TaggedImages
from ktse.models.weights import load_tensors
from ktse.recipe import ClassifyRecipe, ComputeRecipe, LossWeights, ObjectiveRecipe, Recipe
from ktse.research.warmup import adopt_warmup, same_warmup
from ktse.run_folder import RunFolder
from ktse.stages.classify import classify

PLAIN = ObjectiveRecipe(
    weights=LossWeights(
        **dict.fromkeys((name for name in vars(LossWeights()) if name != "classification"), 0.0), classification=1.0
    )
)
BASE = ClassifyRecipe(
    backbone="resnet10t", weights="none", frozen_stages=0, batch_norm="warmup", epochs=4, warmup=2,
    batch_size=4, warmup_batch_size=4, long_side=(64, 80), crop=64, keep_every=1,
    objective=ObjectiveRecipe(pairs=0.5),
)  # fmt: skip


def train(root: Path, data: TaggedImages, recipe: ClassifyRecipe, other: RunFolder | None = None) -> RunFolder:
    run = RunFolder(root)
    whole = Recipe(classify=recipe, compute=HERE)
    run.write_recipe(whole)
    run.record("check", {"state": "done", "key": "the same data"})
    if other is not None:
        assert adopt_warmup(run, other, whole)
    classify(run, data, recipe, HERE)
    return run


def test_a_shared_warmup_changes_nothing(data: TaggedImages, tmp_path: Path) -> None:
    plain = train(tmp_path / "plain", data, replace(BASE, objective=PLAIN))
    own = train(tmp_path / "own", data, BASE)
    shared = train(tmp_path / "shared", data, BASE, plain)
    files = sorted(path.name for path in own.path("classify").iterdir())
    assert files == sorted(path.name for path in shared.path("classify").iterdir())
    assert "epoch-0001.safetensors" in files and "epoch-0003.safetensors" in files
    for name in files:
        paths = own.path("classify", name), shared.path("classify", name)
        if name == "metrics.jsonl":
            assert paths[0].read_text() == paths[1].read_text()
            continue
        (one, head), (two, same_head) = map(load_tensors, paths)
        assert head == same_head
        assert one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)
    differs = load_tensors(plain.path("classify", "model.safetensors"))[0]
    ours = load_tensors(own.path("classify", "model.safetensors"))[0]
    assert any(not torch.equal(ours[key], differs[key]) for key in ours)  # the objective did something


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        ({"lr_after": 0.5, "momentum_after": 0.0, "ramp": 0.0, "retries": 0, "objective": PLAIN}, True),
        ({"lr": 0.5}, False),
        ({"epochs": 5}, False),
        ({"objective": ObjectiveRecipe(weights=LossWeights(classification=2.0))}, False),
    ],
)
def test_what_a_warmup_depends_on(changes: dict[str, Any], same: bool) -> None:
    assert same_warmup(Recipe(classify=replace(BASE, **changes)), Recipe(classify=BASE)) == same


@pytest.mark.parametrize(
    ("compute", "same"), [({"workers": 3}, True), ({"random_seed": 1}, False), ({"precision": "fp32"}, False)]
)
def test_it_depends_on_random_numbers_and_precision_too(compute: dict[str, Any], same: bool) -> None:
    other = Recipe(classify=BASE, compute=ComputeRecipe(**compute))
    assert same_warmup(other, Recipe(classify=BASE)) == same


def test_without_a_warmup_there_is_none_to_share() -> None:
    without = Recipe(classify=replace(BASE, warmup=0))
    assert not same_warmup(without, without)


def test_another_data_set_or_training_that_has_begun_is_left_alone(data: TaggedImages, tmp_path: Path) -> None:
    settings = replace(BASE, epochs=2, warmup=1, objective=PLAIN)
    plain, recipe = train(tmp_path / "plain", data, settings), Recipe(classify=settings, compute=HERE)
    other = RunFolder(tmp_path / "other")
    other.record("check", {"state": "done", "key": "other data"})
    assert not adopt_warmup(other, plain, recipe)
    assert not other.path("classify").exists()
    other.record("check", {"state": "done", "key": "the same data"})
    assert adopt_warmup(other, plain, recipe)
    assert not adopt_warmup(other, plain, recipe)
