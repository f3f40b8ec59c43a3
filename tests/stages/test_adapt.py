"""Learning from corrected masks, in every kind of segmentation model."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from drawn_scenes import HERE
from ktse.data.dataset import TaggedImages
from ktse.data.masks import Corrections, open_corrections
from ktse.files import write_label_map
from ktse.models.weights import load_tensors
from ktse.quality.metrics import Confusion
from ktse.recipe import BecoRecipe, PredictRecipe, RefineRecipe, SegmentRecipe
from ktse.run_folder import RunFolder
from ktse.stages.adapt import EPOCHS, SHARE, STEPS, adapt
from ktse.stages.fused import Fusing
from ktse.stages.predict import TorchModel, predict
from ktse.stages.refine import refine
from ktse.stages.segment import segment

RECIPE = SegmentRecipe(
    architecture="unet", encoder="resnet10t", weights="none", epochs=1, batch_size=4,
    long_side=(64, 90), crop=64, head_lr=1.0, beco=BecoRecipe(warmup=1),
)  # fmt: skip
HEAD = replace(RECIPE, architecture="head", frozen_stages=-1, lr=0.004, head_lr=1.0)
OPTIONS = {"single": RECIPE, "beco": replace(RECIPE, method="beco"), "head": HEAD}


def whole_of_one_class(folder: Path, data: TaggedImages, indices: list[int]) -> Corrections:
    """A person says that these images show the first of their classes everywhere."""
    for index in indices:
        size = data.read(index).size
        write_label_map(
            folder / f"{data.ids[index]}.png", np.full(size[::-1], 1 + np.flatnonzero(data.tags[index])[0], np.uint8)
        )
    return open_corrections(folder, data)


def tagged(data: TaggedImages, validation: bool) -> list[int]:
    return [index for index in range(len(data)) if data.tags[index].any() and data.validation[index] == validation]


def weights_of(run: RunFolder, stage: str) -> dict[str, Tensor]:
    return load_tensors(run.path(stage, "model.safetensors"))[0]


@pytest.fixture
def masks(run: RunFolder, data: TaggedImages) -> RunFolder:
    refine(run, data, RefineRecipe(threshold=0.3), compute=HERE)
    return run


@pytest.mark.parametrize("option", OPTIONS)
def test_the_model_follows_what_a_person_has_drawn(
    masks: RunFolder, data: TaggedImages, tmp_path: Path, option: str
) -> None:
    index = tagged(data, validation=False)[0]
    corrections = whole_of_one_class(tmp_path / "fixed", data, [index])
    segment(masks, data, OPTIONS[option], HERE)
    before = weights_of(masks, "segment")
    adapt(masks, data, OPTIONS[option], corrections, HERE)
    assert all(torch.equal(now, before[name]) for name, now in weights_of(masks, "segment").items())
    image = np.asarray(data.read(index, 64))[None]
    label = 1 + int(np.flatnonzero(data.tags[index])[0])
    first, second = (
        TorchModel(masks.path(stage, "model.safetensors"), "fp32").probabilities(image)[0, label].mean()
        for stage in ("segment", "adapt")
    )
    assert second > first + 0.1


def test_what_is_kept_out_of_training_teaches_nothing(masks: RunFolder, data: TaggedImages, tmp_path: Path) -> None:
    corrections = whole_of_one_class(tmp_path / "fixed", data, tagged(data, validation=True)[:1])
    segment(masks, data, HEAD, HERE)
    adapt(masks, data, HEAD, corrections, HERE)
    before = weights_of(masks, "segment")
    assert all(torch.equal(now, before[name]) for name, now in weights_of(masks, "adapt").items())


def test_most_of_what_is_seen_is_corrected_and_each_epoch_has_other_images_beside(
    masks: RunFolder, data: TaggedImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ktse.stages import adapt as stage

    corrections = whole_of_one_class(tmp_path / "fixed", data, tagged(data, validation=False)[:2])
    segment(masks, data, HEAD, HERE)
    shown: list[list[int]] = []
    real = stage.AdaptTask.loader

    def noted(self: stage.AdaptTask, epoch: int, batches: list[list[int]]) -> object:
        shown.append([index for batch in batches for index in batch])
        return real(self, epoch, batches)

    monkeypatch.setattr(stage.AdaptTask, "loader", noted)
    adapt(masks, data, HEAD, corrections, HERE)
    assert [len(epoch) for epoch in shown] == [STEPS * HEAD.batch_size] * EPOCHS
    right = [sum(data.ids[index] in corrections for index in epoch) for epoch in shown]
    assert right == [round(SHARE * STEPS * HEAD.batch_size)] * EPOCHS
    others = [tuple(sorted(index for index in epoch if data.ids[index] not in corrections)) for epoch in shown]
    assert len(set(others)) > 1


def test_corrections_that_the_model_meets_give_it_all_the_weight(
    masks: RunFolder, data: TaggedImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every half is judged by the other one; the model is right about them and the masks are not."""
    from ktse.stages import adapt as stage

    monkeypatch.setattr(stage, "JUDGES", 2)
    indices = tagged(data, validation=False)[:4]
    corrections = whole_of_one_class(tmp_path / "fixed", data, indices)
    segment(masks, data, HEAD, HERE)
    judged: list[tuple[set[str], set[str]]] = []
    learn, judge = stage.Lesson.learn, stage.Lesson._judge
    taught: list[set[str]] = []

    def noted(self: stage.Lesson, names: list[str], folder: Path, epochs: int) -> None:
        taught.append(set(names))
        learn(self, names, folder, epochs)

    def certain(self: stage.Lesson, model: Path, fusing: Fusing, names: list[str], confusions: list[Confusion]) -> None:
        judged.append((taught[-1], set(names)))
        judge(self, model, fusing, names, confusions)

    monkeypatch.setattr(stage.Lesson, "learn", noted)
    monkeypatch.setattr(stage.Lesson, "_judge", certain)
    adapt(masks, data, HEAD, corrections, HERE)
    names = {data.ids[index] for index in indices}
    assert [sorted(one | other) for one, other in judged] == [sorted(names)] * 2
    assert all(not one & other for one, other in judged)
    found = json.loads(masks.path("adapt", "fusing.json").read_text())
    assert found["images"] == 4 and found["weight"] == stage.middle_of_best(list(found["miou"].values()))
    assert not list(masks.path("adapt").glob("half-*"))
    predict(masks, data, PredictRecipe(), corrections, HERE, replace(HEAD, corrections="fixed"))
    assert masks.summary("fused")["weight"] == found["weight"]
    assert "4 corrected masks" in masks.summary("fused")["weight_source"]


def test_few_corrections_choose_nothing(masks: RunFolder, data: TaggedImages, tmp_path: Path) -> None:
    corrections = whole_of_one_class(tmp_path / "fixed", data, tagged(data, validation=False)[:1])
    segment(masks, data, HEAD, HERE)
    adapt(masks, data, HEAD, corrections, HERE)
    predict(masks, data, PredictRecipe(), corrections, HERE, replace(HEAD, corrections="fixed"))
    assert not masks.path("adapt", "fusing.json").exists()
    assert "no truth used" in masks.summary("fused")["weight_source"]


@pytest.mark.parametrize(
    ("scores", "weight"),
    [
        ([0.5, 0.6, 0.7, 0.705, 0.695, 0.6, 0.5, 0.4], 0.3),
        ([0.63] * 8, 0.4),
        ([0.3, 0.4, 0.5, 0.55, 0.56, 0.57, 0.58, 0.60], 1.0),
        ([0.6, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5], 0.0),
    ],
)
def test_of_weights_that_are_alike_the_middle_one_is_taken(scores: list[float], weight: float) -> None:
    from ktse.stages.adapt import middle_of_best

    assert middle_of_best(scores) == weight
