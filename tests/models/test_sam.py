"""A tiny SAM with random weights: prompts reach it in its own pixels, and what is missing is a message."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from ktse.data.transforms import to_tensor
from ktse.errors import RunError
from ktse.models.sam import MEAN, STD, Sam, load_sam, require_sam


def photo(size: tuple[int, int]) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))


@pytest.mark.parametrize("size", [(90, 60), (40, 70), (64, 64)])
def test_prompts_and_pixels_reach_the_model_as_its_own_processor_gives_them(
    tiny_sam: Path, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    transformers = pytest.importorskip("transformers")
    sam = load_sam(str(tiny_sam))
    seen = {}
    original = sam.model.get_image_embeddings

    def embeddings(pixels: torch.Tensor) -> torch.Tensor:
        seen["pixels"] = pixels
        return original(pixels)

    def forward(**given: torch.Tensor) -> torch.Tensor:
        seen.update(given)
        return type(sam.model).forward(sam.model, **given)

    monkeypatch.setattr(sam.model, "get_image_embeddings", embeddings)
    monkeypatch.setattr(sam.model, "forward", forward)
    grid = (size[1] // 2, size[0] // 2)
    points = torch.tensor([[3, 8], [10, 2]])
    sam(photo(size), points, torch.tensor([[1, 2, 9, 12]]), grid)
    processor = transformers.SamProcessor(
        transformers.SamImageProcessor(size={"longest_edge": 64}, pad_size={"height": 64, "width": 64})
    )
    expected = processor(
        photo(size),
        # The middle of a cell of the half-size grid, as x, y of the photo.
        input_points=[[[[8 * 2 + 1.0, 3 * 2 + 1.0]], [[2 * 2 + 1.0, 10 * 2 + 1.0]]]],
        input_boxes=[[[4.0, 2.0, 24.0, 18.0]]],
        return_tensors="pt",
    )
    width, height = (round(side * 64 / max(size)) for side in size)
    apart = (seen["pixels"] - expected["pixel_values"])[:, :, :height, :width].abs()
    assert apart.max() < 0.05  # two levels of colour, by which Pillow and torchvision round apart
    assert not seen["pixels"][:, :, height:].any() and not seen["pixels"][:, :, :, width:].any()
    np.testing.assert_allclose(seen["input_points"], expected["input_points"], rtol=0.03)
    np.testing.assert_allclose(seen["input_boxes"], expected["input_boxes"], rtol=0.03)


@pytest.mark.parametrize("size", [(90, 60), (40, 70)])
def test_masks_are_those_that_the_processor_makes(tiny_sam: Path, size: tuple[int, int]) -> None:
    transformers = pytest.importorskip("transformers")
    sam, image = load_sam(str(tiny_sam)), photo(size)
    grid = (size[1], size[0])
    points, corners = torch.tensor([[3, 8], [10, 2]]), torch.zeros((0, 4), dtype=torch.int64)
    found = sam(image, points, corners, grid)
    assert found.shape == (6, *grid) and found.dtype == torch.bool
    width, height = (round(side * 64 / max(size)) for side in size)
    scale = torch.tensor([width / size[0], height / size[1]])
    resized = image.resize((width, height), Image.Resampling.BILINEAR)
    pixels = torch.nn.functional.pad(
        to_tensor(resized, torch.tensor(MEAN), torch.tensor(STD)), (0, 64 - width, 0, 64 - height)
    )[None]
    with torch.no_grad():
        out = sam.model(pixel_values=pixels, input_points=((points.flip(-1) + 0.5) * scale)[None, :, None])
    processor = transformers.SamImageProcessor(size={"longest_edge": 64}, pad_size={"height": 64, "width": 64})
    masks = processor.post_process_masks(
        out.pred_masks, [[size[1], size[0]]], [[height, width]], pad_size={"height": 64, "width": 64}
    )
    assert (found == masks[0].flatten(0, 1)).float().mean() > 0.999
    assert sam(image, points[:0], corners, grid).shape == (0, *grid)


def test_what_is_missing_is_a_message(tiny_sam: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RunError, match=r"sam_weights is ''"):
        require_sam("")
    (tmp_path / "model.safetensors").write_bytes(b"")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "sam2"}))
    with pytest.raises(RunError, match="type 'sam2'"):
        require_sam(str(tmp_path))
    (tmp_path / "config.json").write_text((tiny_sam / "config.json").read_text())
    with pytest.raises(RunError, match="cannot be opened as a SAM"):
        load_sam(str(tmp_path))
    tensors = load_file(tiny_sam / "model.safetensors")
    save_file({key: value for key, value in tensors.items() if "neck" not in key}, tmp_path / "model.safetensors")
    with pytest.raises(RunError, match=r"neck\.conv1.weight is missing"):
        load_sam(str(tmp_path))
    monkeypatch.setattr("ktse.models.sam.find_spec", lambda name: None)
    with pytest.raises(RunError, match=r'pip install "ktse\[sam\]"'):
        require_sam(str(tiny_sam))


def test_it_learns_nothing(tiny_sam: Path) -> None:
    sam = load_sam(str(tiny_sam))
    assert isinstance(sam, Sam) and not sam.training
    assert not any(parameter.requires_grad for parameter in sam.parameters())
