"""CAMs over scales against the published implementation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from ktse.data.transforms import long_side_size
from ktse.stages.seed import merge_cams


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


@pytest.mark.parametrize("size", [(1, 500), (500, 1)])
def test_a_side_never_becomes_nothing(size: tuple[int, int]) -> None:
    assert min(long_side_size(size, 64)) == 1
