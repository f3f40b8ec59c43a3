"""The classification task: when the warm-up ends, and what counts as a collapse."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from drawn_scenes import HERE
from ktse.data.dataset import TaggedImages
from ktse.data.transforms import TrainingTransform
from ktse.errors import CollapseError
from ktse.method.objective import Batch
from ktse.models.weights import load_tensors, save_tensors
from ktse.recipe import ClassifyRecipe, ObjectiveRecipe
from ktse.run_folder import RunFolder
from ktse.stages.classify import WARMUP, ClassifyTask, build, classify
from ktse.stages.paired_images import PairedImages, collate
from ktse.training.task import State

TINY = ClassifyRecipe(backbone="resnet10t", weights="none", frozen_stages=0, epochs=9, warmup=5)


def task(**changes: Any) -> ClassifyTask:
    recipe = replace(TINY, **changes)
    data = TaggedImages(Path(), ("a.png",), ("a",), ("cat", "dog"), np.ones((1, 2), bool), np.zeros(1, bool))
    return ClassifyTask(data, recipe, build(recipe, ("cat", "dog")), HERE)


def totals(right: float = 80, empty: float = 2) -> dict[str, float]:
    """Sums over 10,000 images with 10,000 tags, of which the network says as many; arguments in percent."""
    counts = {"right": right, "said": 100, "true": 100, "exact": 50, "images": 100, "empty": empty}
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


# --- what a batch is made of


class Plain(TaggedImages):
    """Images of one colour, that of their index."""

    def read(self, index: int, long_side: int = 0) -> Image.Image:
        return Image.new("RGB", (40, 40), (20 * index + 5, 0, 0))


def plain(tags: list[list[int]]) -> Plain:
    names = tuple(f"{number}.png" for number in range(len(tags)))
    validation = np.zeros(len(tags), bool)
    validation[-1] = True
    return Plain(Path(), names, names, ("cat", "dog", "cow"), np.array(tags, dtype=bool), validation)


TAGS = [[1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0], [1, 1, 1]]  # the last one is for validation
IDENTITY = TrainingTransform((40, 40), 40, 0.0, [0, 0, 0], [1, 1, 1])


def colour(image: torch.Tensor) -> int:
    return round((float(image[0, 20, 20]) * 255 - 5) / 20)


def partners(recipe: ObjectiveRecipe) -> dict[int, set[int]]:
    found: dict[int, set[int]] = {}
    for epoch in range(60):
        pairs = PairedImages(plain(TAGS), IDENTITY, 0, epoch, recipe, range(5), True)
        for index in range(5):
            sample = pairs[index]
            assert sample.paired_image is not None and sample.paired_tags is not None
            other = colour(sample.paired_image)
            assert sample.paired_tags.tolist() == TAGS[other]
            found.setdefault(index, set()).add(other)
    return found


def test_a_paired_image_shares_a_tag_or_is_any_training_image() -> None:
    any_of = {0, 1, 2, 3, 4}
    assert partners(ObjectiveRecipe()) == {0: {0, 1}, 1: {0, 1, 2}, 2: {1, 2}, 3: {3}, 4: any_of}
    assert partners(ObjectiveRecipe(partner="random")) == dict.fromkeys(range(5), any_of)


def test_only_anchors_that_are_stitched_read_a_second_image(monkeypatch: pytest.MonkeyPatch) -> None:
    data, read = plain(TAGS), []
    monkeypatch.setattr(Plain, "read", lambda self, index, side=0: read.append(index) or Image.new("RGB", (40, 40)))
    recipe = replace(TINY, batch_size=4, crop=40, long_side=(40, 40), objective=ObjectiveRecipe(pairs=0.25))
    trained = ClassifyTask(data, recipe, build(recipe, data.classes), HERE)
    state = State(epoch=5)
    state.memory = {"warmup_ended": 5}
    plan = trained.plan(state)
    assert plan is not None
    batches = list(plan.loader([[0, 1, 2, 3], [4, 2]]))
    assert [len(batch.paired_image) for batch in batches] == [1, 1]
    assert len(read) == 6 + 2
    plan = trained.plan(State())  # the warm-up needs none
    assert plan is not None
    read.clear()
    assert [len(batch.paired_image) for batch in plan.loader([[0, 1, 2, 3]])] == [0]
    assert len(read) == 4


def test_a_share_of_the_images_is_mixed_after_the_warmup() -> None:
    recipe = ObjectiveRecipe(cutmix=0.5)
    mixed = 0
    for epoch in range(80):
        for index in range(5):
            image, tags, shares, *_ = PairedImages(plain(TAGS), IDENTITY, 0, epoch, recipe, (), True)[index]
            values = {round((float(value) * 255 - 5) / 20) for value in image[0].unique()}
            assert index in values or len(values) == 1
            others = values - {index}
            mixed += bool(others)
            assert len(values) <= 2
            expected = np.array(TAGS[index], dtype=float)
            for other in others:
                part = float(((image[0] * 255 - 5) / 20).round().eq(other).float().mean())
                expected = expected * (1 - part) + np.array(TAGS[other]) * part
            assert np.allclose(shares, expected, atol=1e-6)
            assert tags.tolist() == (shares > 0).float().tolist()
    # Half of 400, less those that drew themselves (a fifth) or an empty rectangle.
    assert 120 < mixed < 200
    batch = collate([PairedImages(plain(TAGS), IDENTITY, 0, 0, recipe, (), False)[index] for index in range(5)], 0.0)
    assert batch.mixed is None
    assert batch.tags.tolist() == TAGS[:5]


def test_mixed_images_do_not_count_as_forgotten_tags() -> None:
    trained, state = task(), State()
    image, tags = torch.rand(2, 3, 64, 64), torch.tensor([[1.0, 0.0], [1.0, 1.0]])
    whole = Batch(image, tags, image[:0], tags[:0])
    trained.losses(trained.module, whole._replace(mixed=torch.tensor([[1.0, 0.0], [0.6, 0.4]])), ONE, state)
    assert (state.totals["true"], state.totals["images"]) == (1, 1)
    trained.losses(trained.module, whole._replace(mixed=tags / 2), ONE, state)  # nobody is whole
    assert (state.totals["true"], state.totals["images"]) == (1, 1)
    trained.end_epoch(State(epoch=1, totals=dict.fromkeys(state.totals, 0.0)))


ONE = {"classification": 1.0}


def test_an_interrupted_training_remembers_how_often_it_went_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, calls = RunFolder(tmp_path), 0
    trained = task(retries=3)
    run.path("classify").mkdir()
    save_tensors(run.path("classify", WARMUP), {}, {"state": vars(State())})

    def collapse(*_: object, **__: object) -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyboardInterrupt
        raise CollapseError("collapsed")

    monkeypatch.setattr("ktse.training.loop.fit", collapse)
    for ending in (KeyboardInterrupt, CollapseError):
        with pytest.raises(ending):
            classify(run, trained.data, trained.recipe)
    assert calls == 3 + 2
    memory = load_tensors(run.path("classify", "checkpoint.safetensors"))[1]["state"]["memory"]
    assert memory == {"lr_scale": 0.25**3, "repeated": 3}
    assert run.path("classify", "metrics.jsonl").read_text().count("going back") == 3


def test_a_network_that_is_not_finite_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, trained = RunFolder(tmp_path), task()
    run.path("classify").mkdir()

    def poison(task: ClassifyTask, *_: object, **__: object) -> None:
        next(task.network.head.parameters()).data.view(-1)[0] = torch.inf

    monkeypatch.setattr("ktse.training.loop.fit", poison)
    with pytest.raises(CollapseError, match=r"head\..* holds NaN or infinite values"):
        classify(run, trained.data, trained.recipe)
    assert not run.path("classify", "model.safetensors").exists()
