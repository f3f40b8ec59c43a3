"""Thresholds without truth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ktse.refinement.threshold import boundary_contrast, contrast_threshold


@given(number=st.integers(0, 10**6), height=st.integers(1, 9), width=st.integers(1, 9), count=st.integers(1, 3))
def test_boundary_contrast_is_that_of_every_mask_by_itself(number: int, height: int, width: int, count: int) -> None:
    rng = np.random.default_rng(number)
    image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    scores = rng.random((count, height, width)).astype(np.float32)
    found = boundary_contrast(image, scores, bins=16)
    colour = image.astype(float)
    changes = [np.abs(np.diff(colour, axis=axis)).mean(axis=-1) for axis in (0, 1)]
    every = np.concatenate([change.ravel() for change in changes])
    if every.size == 0 or every.mean() == 0:
        assert not found.any()
        return
    for bin_number in range(16):
        mask = np.floor(scores.max(axis=0) * 16) >= bin_number
        across = np.concatenate([np.diff(mask.astype(int), axis=axis).ravel() != 0 for axis in (0, 1)])
        assert found[1, bin_number] == across.sum()
        assert found[0, bin_number] == pytest.approx((every[across] / every.mean() - 1).sum(), abs=1e-4)


def test_the_threshold_is_where_masks_end_at_edges() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(90, 110, (64, 64, 3), dtype=np.uint8)
    image[20:44, 20:44] += 100  # an object, its edge at a distance of 12 from the centre
    y, x = np.mgrid[:64, :64]
    distance = np.maximum(np.abs(y - 31.5), np.abs(x - 31.5))
    scores = (1 - distance / 32)[None].astype(np.float32)
    threshold = contrast_threshold(boundary_contrast(image, scores))
    assert threshold == pytest.approx(1 - 12 / 32, abs=0.02)


def test_no_threshold_where_nothing_stands_out() -> None:
    flat = np.full((16, 16, 3), 7, dtype=np.uint8)
    assert contrast_threshold(boundary_contrast(flat, np.random.default_rng(0).random((1, 16, 16)))) is None
    assert contrast_threshold(boundary_contrast(flat, np.zeros((0, 16, 16)))) is None
