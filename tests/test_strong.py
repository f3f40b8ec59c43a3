"""The recipe strong with a tiny transformer and random weights: features, masks, model, prediction and ONNX."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import ktse
from ktse.data.demo.scenes import make_scenes
from ktse.data.transforms import long_side_size
from ktse.errors import RecipeError
from ktse.files import read_label_map, read_npz
from ktse.models import hub
from ktse.recipe.load import load_recipe

TINY: dict[str, Any] = {
    "classify.backbone": "test_vit2", "segment.encoder": "test_vit2",  # a class token and a register
    "classify.epochs": 2, "classify.warmup": 1, "segment.epochs": 1, "classify.long_side": [96, 96],
    "seed.long_side": 96, "segment.long_side": [96, 96], "predict.long_side": 96, "compute.workers": 0,
}  # fmt: skip


@pytest.mark.trains
def test_the_whole_job_on_a_plain_transformer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("classify", "segment"):
        monkeypatch.setattr(f"ktse.recipe.{name}.LEAST_IMAGES", 0)
    scenes = tmp_path / "scenes"
    make_scenes(scenes, images=9, size=(101, 77))  # no multiples of a patch
    given: dict[str, Any] = {
        "tags": scenes / "tags.csv",
        "masks": scenes / "masks",
        "recipe": "strong",
        "weights": "none",
    }
    run = ktse.run(scenes / "images", out=tmp_path / "run", settings=TINY, **given)
    size = Image.open(scenes / "images" / "0000.jpg").size
    width, height = long_side_size(size, 96)
    assert min(width, height) % 16 > 0
    kept = read_npz(run.features_path("0000"))
    grid = (64, math.ceil(height / 16), math.ceil(width / 16))
    assert [kept[f"level_{number}"].shape for number in range(3)] == [grid] * 3
    assert read_label_map(run.mask_path("0000")).shape == size[::-1]
    file = ktse.export(run.root, out=tmp_path / "model.onnx")
    photo = np.array(Image.open(scenes / "images" / "0000.jpg"))[:93, :70]
    by_torch, by_onnx = (ktse.load(path).predict(photo, probabilities=True).probabilities for path in (run.root, file))
    assert by_torch is not None
    assert by_torch.shape[1:] == photo.shape[:2]
    np.testing.assert_allclose(by_torch, by_onnx, atol=1e-3)


def test_without_weights_it_says_where_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "reachable", lambda: False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "empty"))
    scenes = tmp_path / "scenes"
    make_scenes(scenes, images=4, size=(64, 64))
    with pytest.raises(RecipeError, match="cannot be downloaded") as caught:
        ktse.run(scenes / "images", tags=scenes / "tags.csv", out=tmp_path / "run", recipe="strong")
    name = load_recipe("strong").classify.backbone
    assert f"model.safetensors of {hub.address()}/timm/{name}" in str(caught.value.hint)
