"""Learning from corrected masks, in every kind of segmentation model."""

from __future__ import annotations

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
from ktse.recipe import BecoRecipe, PredictRecipe, RefineRecipe, SegmentRecipe
from ktse.run_folder import RunFolder
from ktse.stages.adapt import EPOCHS, SHARE, STEPS, adapt
from ktse.stages.calibration import calibrated_threshold
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
    assert masks.summary("adapt")["learned"] == corrections.contents()


@pytest.mark.parametrize("option", OPTIONS)
def test_what_is_kept_out_of_training_teaches_nothing(
    masks: RunFolder, data: TaggedImages, tmp_path: Path, option: str
) -> None:
    corrections = whole_of_one_class(tmp_path / "fixed", data, tagged(data, validation=True)[:1])
    segment(masks, data, OPTIONS[option], HERE)
    adapt(masks, data, OPTIONS[option], corrections, HERE)
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


@pytest.mark.parametrize(("count", "weight"), [(4, 0.12), (0, 0.0)])
def test_a_model_earns_its_weight_by_corrections(
    masks: RunFolder, data: TaggedImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int, weight: float
) -> None:
    from ktse.stages import fused

    monkeypatch.setattr(fused, "explained", lambda image, labels, size: np.arange(len(fused.WEIGHTS), 0.0, -1))
    taught = tagged(data, validation=False)[:count]
    corrections = whole_of_one_class(tmp_path / "fixed", data, taught) if taught else Corrections()
    segment(masks, data, HEAD, HERE)
    predict(masks, data, PredictRecipe(), corrections, HERE, HEAD)
    summary = masks.summary("fused")
    assert (summary["weight"], summary["corrected"]) == (weight, count)
    assert ("4 corrected masks" if count else "no truth used") in summary["weight_source"]
    assert "threshold" not in summary


def test_corrections_choose_the_thresholds_of_fused_masks_and_not_of_masks(
    masks: RunFolder, data: TaggedImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ktse.stages import fused

    monkeypatch.setattr(fused, "LEAST_CORRECTED", 3)
    indices = tagged(data, validation=False)[:4]
    corrections = whole_of_one_class(tmp_path / "fixed", data, indices)
    segment(masks, data, HEAD, HERE)
    predict(masks, data, PredictRecipe(fuse=0.01), corrections, HERE, HEAD)
    summary = masks.summary("fused")
    expected = calibrated_threshold(data, corrections, masks.scores)
    assert summary["threshold"] == expected.threshold
    assert tuple(summary["own"]) == (expected.own if expected.threshold > 0 else ())
    # A person has said that the objects are everywhere.
    assert summary["threshold"] < masks.summary("masks")["threshold"]
    others = [index for index in range(len(data)) if index not in indices and data.tags[index].any()]
    larger = [(masks.fused(data.ids[i]) > 0).mean() > (masks.mask(data.ids[i]) > 0).mean() for i in others]
    assert all(larger) and larger


def test_features_that_are_gone_are_made_once(masks: RunFolder, data: TaggedImages, tmp_path: Path) -> None:
    index = tagged(data, validation=False)[0]
    corrections = whole_of_one_class(tmp_path / "fixed", data, [index])
    segment(masks, data, HEAD, HERE)
    for path in masks.path("features").rglob("*.npz"):
        path.unlink()
    adapt(masks, data, HEAD, corrections, HERE)
    assert masks.features_path(data.ids[index]).is_file()
