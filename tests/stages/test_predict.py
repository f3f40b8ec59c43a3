"""Predictions of a run's own images, and the masks that are fused of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from drawn_scenes import HERE
from ktse.data.dataset import TaggedImages
from ktse.data.masks import Corrections, open_corrections
from ktse.files import read_json, read_label_map, read_npz, write_label_map, write_npz
from ktse.models.backbone import Backbone
from ktse.models.segmenter import Segmenter, describe
from ktse.models.weights import save_tensors
from ktse.prediction.predictor import Predictor
from ktse.recipe import PredictRecipe, RefineRecipe, SegmentRecipe
from ktse.refinement.cutting import enlarge
from ktse.run_folder import RunFolder
from ktse.segmentation.fusion import fuse
from ktse.stages.fused import WEIGHTS
from ktse.stages.predict import TorchModel, predict, run_predictor
from ktse.stages.refine import refine
from ktse.stages.segment import segment

RECIPE = PredictRecipe(flip=False, fuse=0.4)


@pytest.fixture
def masks(run: RunFolder, data: TaggedImages) -> RunFolder:
    """A run with masks and a model that knows nothing yet."""
    refine(run, data, RefineRecipe(threshold=0.3), compute=HERE)
    torch.manual_seed(0)
    recipe = SegmentRecipe(architecture="unet", encoder="resnet10t")
    model = Segmenter(recipe.architecture, recipe.encoder, len(data.classes), "none")
    with torch.no_grad():
        model.network.get_submodule("segmentation_head")[0].weight.mul_(20)
    header = describe(recipe, model, data.classes)
    save_tensors(run.path("segment", "model.safetensors"), model.state_dict(), header)
    return run


def fused(run: RunFolder, data: TaggedImages) -> list[np.ndarray]:
    return [read_label_map(run.fused_path(name)) for name in data.ids]


def test_the_fused_mask_is_that_of_mask_scores_and_model(masks: RunFolder, data: TaggedImages) -> None:
    predict(masks, data, RECIPE, compute=HERE)
    predictor = Predictor(TorchModel(masks.path("segment", "model.safetensors"), "fp32"), RECIPE)
    different = 0
    for index, name in enumerate(data.ids):
        found, mask = read_label_map(masks.fused_path(name)), read_label_map(masks.mask_path(name))
        said = predictor.predict(data.read(index), probabilities=True)
        assert said.probabilities is not None
        stored = read_npz(masks.scores_path(name))
        scores = enlarge(stored["scores"], (mask.shape[0], mask.shape[1]))
        assert np.array_equal(found, fuse(stored["keys"], scores, 0.3, said.probabilities, 0.4))
        assert np.array_equal(read_label_map(masks.prediction_path(name)), said.label)
        different += int((found != mask).sum())
        assert data.tags[index].any() or not found.any()
    assert different > 0


def test_tiles_fuse_alike(masks: RunFolder, data: TaggedImages, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bands of a few rows: where tiles change the model's answer little, they change the fused mask little."""
    predict(masks, data, RECIPE, compute=HERE)
    whole = fused(masks, data)
    for name in data.ids:
        masks.prediction_path(name).unlink()
    monkeypatch.setattr("ktse.prediction.predictor.OVERLAP", 32)
    predict(masks, data, replace(RECIPE, tile=96), compute=HERE)
    same = np.mean([np.mean(one == two) for one, two in zip(whole, fused(masks, data), strict=True)])
    assert same > 0.8


def test_a_corrected_mask_stays_but_for_what_was_left_open(
    masks: RunFolder, data: TaggedImages, tmp_path: Path
) -> None:
    name = data.ids[2]
    predict(masks, data, RECIPE, compute=HERE)
    before = read_label_map(masks.fused_path(name))
    tag = int(np.flatnonzero(data.tags[2])[0]) + 1
    label = np.full_like(before, tag)
    label[:40] = 255
    write_label_map(tmp_path / "fixed" / f"{name}.png", label)
    for image in data.ids:
        masks.prediction_path(image).unlink()
    predict(masks, data, RECIPE, open_corrections(tmp_path / "fixed", data), HERE)
    found = read_label_map(masks.fused_path(name))
    assert (found[40:] == tag).all() and np.array_equal(found[:40], before[:40])


def test_weight_zero_fuses_nothing(masks: RunFolder, data: TaggedImages) -> None:
    predict(masks, data, replace(RECIPE, fuse=0.0), Corrections(), HERE)
    assert masks.prediction_path(data.ids[0]).is_file() and not masks.path("fused").exists()


class Witness:
    """A model that knows every true mask of the scenes, or its opposite."""

    def __init__(self, scenes: Path, data: TaggedImages, right: bool) -> None:
        self.classes, self.right, self.truth = data.classes, right, {}
        for index, name in enumerate(data.ids):
            self.truth[np.asarray(data.read(index)).tobytes()] = read_label_map(scenes / "masks" / f"{name}.png")

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        labels = np.stack([self.truth[image.tobytes()] for image in images])
        found = np.stack([labels == label for label in range(len(self.classes) + 1)], axis=1).astype(np.float32)
        likely = found if self.right else np.roll(found, 7, axis=2)[:, [*range(1, found.shape[1]), 0]]
        return (likely * 0.9 + 0.01).astype(np.float32)

    def logits(self, images: np.ndarray) -> np.ndarray:
        return np.log(self.probabilities(images))


@pytest.mark.parametrize("right", [True, False])
def test_only_a_model_that_knows_something_gets_a_say(
    masks: RunFolder, data: TaggedImages, scenes: Path, monkeypatch: pytest.MonkeyPatch, right: bool
) -> None:
    """Masks are made worse by a shift; a model that knows the truth helps, one that says its opposite does not."""
    for name in data.ids:
        stored = read_npz(masks.scores_path(name))
        shifted = np.roll(stored.pop("scores"), (4, 4), axis=(1, 2))
        write_npz(masks.scores_path(name), **stored, scores=shifted)
    monkeypatch.setattr("ktse.stages.predict.TorchModel", lambda path, precision: Witness(scenes, data, right))
    predict(masks, data, replace(RECIPE, fuse="auto"), compute=HERE)
    summary = read_json(masks.path("fused", "summary.json"))
    assert list(summary["explained"]) == [str(weight) for weight in WEIGHTS] and summary["images"] == 8
    assert (summary["weight"] > 0.1) if right else (summary["weight"] <= 0.1)
    best = max(summary["explained"], key=lambda weight: summary["explained"][weight])
    assert summary["weight"] == float(best)


def test_what_a_frozen_backbone_has_seen_is_not_looked_at_again(
    masks: RunFolder, data: TaggedImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    how = SegmentRecipe(
        architecture="head", encoder="resnet10t", weights="none", frozen_stages=-1, epochs=2, batch_size=4,
        long_side=(96, 96), lr=0.004, head_lr=1.0,
    )  # fmt: skip
    segment(masks, data, how, HERE)
    model, recipe = masks.path("segment", "model.safetensors"), PredictRecipe(flip=False, long_side=96)
    kept, read = run_predictor(masks, data, model, recipe, how, HERE)
    anew, plain = run_predictor(masks, data, model, replace(recipe, scales=(1.0, 1.0)), how, HERE)
    looked: list[int] = []
    levels_of = Backbone.levels_of
    monkeypatch.setattr(Backbone, "levels_of", lambda self, image: looked.append(1) or levels_of(self, image))
    for index in range(len(data)):
        found = kept.predict(read(index, 0), probabilities=True).probabilities
        assert bool(looked) == bool(data.validation[index])  # of these, training has kept nothing
        looked.clear()
        expected = anew.predict(plain(index, 0), probabilities=True).probabilities
        assert found is not None and expected is not None and looked
        assert np.abs(found - expected).mean() < 0.03
        looked.clear()
