"""CAMs over scales against the published implementation."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from ktse.data.transforms import long_side_size
from ktse.recipe import SeedRecipe
from ktse.runtime.fabric import make_fabric
from ktse.stages.seed import image_cams, merge_cams


def test_merged_cams_equal_the_published_ones(golden_tensors: Callable[[str], dict[str, Any]]) -> None:
    stored = golden_tensors("i_multiscale_cam")
    keys = torch.as_tensor(stored["out_classes"]).long()
    cams = [(stored[f"cam{index}"], index % 2 == 1) for index in range(8)]
    merged = merge_cams(cams, keys, (45, 60))
    torch.testing.assert_close(merged, stored["out_cam"], atol=1e-6, rtol=0)


def test_a_class_without_positive_activation_stays_zero() -> None:
    merged = merge_cams([(-torch.ones(1, 2, 4, 4), False)], torch.tensor([1]), (8, 8))
    assert merged.abs().max() == 0


def test_the_long_side_is_resized_as_published(golden_tensors: Callable[[str], dict[str, Any]]) -> None:
    for target, width, height, out_width, out_height in golden_tensors("p_preprocessing")[
        "resize_long_target_w_h_outw_outh"
    ].tolist():
        assert long_side_size((width, height), target) == (out_width, out_height)


def test_an_image_without_tags_has_no_cams() -> None:
    assert merge_cams([(torch.ones(1, 2, 4, 4), False)], torch.zeros(0, dtype=torch.long), (8, 8)).shape == (0, 8, 8)


def test_the_network_never_sees_more_pixels_than_there_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    class Network(torch.nn.Module):
        mean = std = torch.ones(3)

        def scores(self, batch: torch.Tensor) -> torch.Tensor:
            seen.append(batch.shape[-1] * batch.shape[-2])
            return torch.ones(len(batch), 4, 5, 5)

    network = Network()
    network.head = SimpleNamespace(classify=lambda cam: cam.mean(dim=(2, 3)), evidence=lambda cam: cam)  # type: ignore[assignment]
    photo, keys, fabric = Image.new("RGB", (900, 600)), np.array([0, 2]), make_fabric("fp32")
    for pixels, sizes, small in (
        (600_000, [900 * 600, 450 * 300], (150, 225)),
        (135_000, [450 * 300, 225 * 150], (75, 113)),
    ):
        seen.clear()
        monkeypatch.setattr("ktse.stages.seed.SEED_PIXELS", pixels)
        recipe = SeedRecipe(scales=(1.0, 0.5))
        cam, _ = image_cams(network, photo, keys, recipe, fabric)  # type: ignore[arg-type]
        assert seen == [size for size in sizes for _ in ("the image", "its mirror image")]  # one at a time
        assert cam.shape == (2, *small)
    seen.clear()
    monkeypatch.setattr("ktse.stages.seed.SEED_PIXELS", 4096)
    image_cams(network, photo, keys, SeedRecipe((1.0,), long_side=300), fabric)  # type: ignore[arg-type]
    assert seen == [300 * 200] * 2  # a side that somebody asked for is kept


@pytest.mark.parametrize("size", [(1, 500), (500, 1)])
def test_a_side_never_becomes_nothing(size: tuple[int, int]) -> None:
    assert min(long_side_size(size, 64)) == 1
