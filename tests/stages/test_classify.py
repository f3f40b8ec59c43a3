"""The classification task: when the warm-up ends, and what counts as a collapse."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ktse.data.sample import TaggedImages
from ktse.errors import CollapseError
from ktse.method.objective import Batch
from ktse.recipe import ClassifyRecipe
from ktse.stages.classify import ClassifyTask, build
from ktse.training import State

TINY = ClassifyRecipe(backbone="resnet10t", weights="none", hidden=8, frozen_stages=0, epochs=9, warmup=5)


def task(**changes: Any) -> ClassifyTask:
    recipe = replace(TINY, **changes)
    data = TaggedImages(Path(), ("a.png",), ("a",), ("cat", "dog"), np.ones((1, 2), bool), np.zeros(1, bool))
    return ClassifyTask(data, recipe, build(recipe, 2))


def totals(right: float = 80, empty: float = 2, loss: float = 30) -> dict[str, float]:
    """Sums over 10,000 images with 10,000 tags, of which the network says as many; arguments in percent."""
    counts = {"right": right, "said": 100, "true": 100, "exact": 50, "images": 100, "loss": loss, "empty": empty}
    return {name: 100 * value for name, value in counts.items()}


def few(sums: dict[str, float]) -> dict[str, float]:
    """The same shares over 10 images."""
    return {name: value / 1000 for name, value in sums.items()}


def after_warmup(trained: ClassifyTask) -> State:
    state = State(epoch=5, totals=totals())
    assert trained.end_epoch(state).keep
    return state


def test_the_warmup_ends_at_its_last_epoch() -> None:
    trained, state = task(), State(epoch=4, totals=totals())
    assert not trained.end_epoch(state).keep
    state.epoch = 5
    assert trained.end_epoch(state).keep
    assert state.memory["warmup_ended"] == 5
    plan = trained.plan(state)
    assert plan is not None and plan.phase == "ktse"


def test_the_warmup_ends_early_when_the_tags_get_no_better() -> None:
    trained, state = task(warmup_patience=2), State()
    kept = []
    for epoch, loss in enumerate((30.0, 20.0, 19.95, 19.9), start=1):
        state.epoch, state.totals = epoch, totals(loss=loss)
        kept.append(bool(trained.end_epoch(state).keep))
    assert kept == [False, False, False, True]


def test_without_a_warmup_the_objective_is_whole_from_the_start() -> None:
    trained, state = task(warmup=0, ramp=0), State()
    first = trained.plan(state)
    assert first is not None and first.weights(0.0)["transfer"] == TINY.objective.weights.transfer
    state.epoch, state.totals = 1, totals()
    trained.end_epoch(state)
    assert state.memory["warmup_ended"] == 0


@pytest.mark.parametrize(
    ("later", "said"),
    [
        (totals(right=80), None),
        (totals(right=64), None),
        (totals(right=60), "F1 fell from 80.0% to 60.0%"),
        (few(totals(right=60)), None),
        (few(totals(right=20)), "F1 fell from 80.0% to 20.0%"),
        (totals(empty=50), None),
        (totals(empty=55), "without any activation rose from 2.0% to 55.0%"),
        (few(totals(empty=55)), None),
    ],
)
@pytest.mark.parametrize("step", [0, 100])
def test_a_collapse_is_measured_against_the_end_of_the_warmup(
    later: dict[str, float], said: str | None, step: int
) -> None:
    trained = task()
    state = after_warmup(trained)
    state.epoch, state.step, state.totals = 6, step, later
    if said is None:
        trained.watch(state)
        return
    with pytest.raises(CollapseError, match=said) as caught:
        trained.watch(state)
    assert f"epoch {6 if step == 0 else 7}" in caught.value.what and caught.value.hint


def test_nothing_is_a_collapse_during_the_warmup() -> None:
    task().watch(State(epoch=2, totals=totals(right=0, empty=100)))


def test_a_tag_without_activation_is_counted() -> None:
    trained, state = task(), State()
    network = trained.network
    torch.nn.init.zeros_(network.head.score.weight)
    image, tags = torch.rand(2, 3, 64, 64), torch.tensor([[1.0, 0.0], [1.0, 1.0]])
    trained.losses(trained.module, Batch(image, tags, image[:0], tags[:0]), {"classification": 1.0}, state)
    assert (state.totals["empty"], state.totals["true"], state.totals["images"]) == (3, 3, 2)
