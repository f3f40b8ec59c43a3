"""The segmentation model starts from what it is told to start from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ktse.errors import RecipeError
from ktse.models.segmenter import Segmenter
from ktse.models.weights import save_tensors
from ktse.recipe import ClassifyRecipe, SegmentRecipe
from ktse.run_folder import RunFolder
from ktse.stages.classify import build
from ktse.stages.segment import initial_weights

RECIPE = SegmentRecipe(architecture="unet", encoder="mobilenetv2_050", weights="classify")


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    torch.manual_seed(5)
    network = build(ClassifyRecipe(backbone=RECIPE.encoder, weights="none"), ("cat", "dog"))
    save_tensors(tmp_path / "classify" / "model.safetensors", network.state_dict(), {"backbone": RECIPE.encoder})
    return RunFolder(tmp_path)


def test_the_encoder_starts_from_the_classification_network(run: RunFolder) -> None:
    torch.manual_seed(6)
    model = Segmenter(RECIPE.architecture, RECIPE.encoder, 2, initial_weights(run, RECIPE)).eval()
    torch.manual_seed(5)
    backbone = build(ClassifyRecipe(backbone=RECIPE.encoder, weights="none"), ("cat", "dog")).backbone
    ours = [value for value in model.encoder.parameters() if value.dim() == 4]
    assert ours and all(any(torch.equal(value, other) for other in backbone.parameters()) for value in ours)


def test_another_encoder_cannot_start_from_it(run: RunFolder) -> None:
    with pytest.raises(RecipeError, match="the encoder is 'resnet10t'") as caught:
        initial_weights(run, replace(RECIPE, encoder="resnet10t"))
    assert "segment.encoder to mobilenetv2_050" in str(caught.value)


@pytest.mark.parametrize("weights", ["hub", "none", "some.safetensors"])
def test_other_weights_are_passed_on(tmp_path: Path, weights: str) -> None:
    assert initial_weights(RunFolder(tmp_path), replace(RECIPE, weights=weights)) == weights


@pytest.mark.parametrize(
    ("most", "images", "passes"),
    [(0, 10**6, 20), (36_000, 900, 20), (36_000, 1_800, 20), (36_000, 3_600, 10), (36_000, 10**6, 1), (36_000, 0, 20)],
)
def test_many_images_are_seen_fewer_times(most: int, images: int, passes: int) -> None:
    assert SegmentRecipe(epochs=20, most_images=most).passes(images) == passes
