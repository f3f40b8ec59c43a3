"""Tiles: they cover everything, blend without seams, and give what the whole image gives."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ktse.prediction.tiles import blend, starts, windows


@given(st.integers(1, 3000), st.integers(8, 600), st.integers(0, 300))
def test_tiles_cover_everything_and_overlap_as_asked(length: int, tile: int, overlap: int) -> None:
    overlap = min(overlap, tile // 2)
    begins = starts(length, tile, overlap)
    assert begins[0] == 0
    assert begins[-1] + min(tile, length) == length
    assert all(first + tile - second >= overlap for first, second in pairwise(begins))
    assert len(begins) == len(set(begins))


@given(st.integers(1, 900), st.integers(8, 300), st.integers(0, 150))
def test_weights_are_positive_and_sum_to_one(length: int, tile: int, overlap: int) -> None:
    overlap = min(overlap, tile // 2)
    total = np.zeros(length)
    for begin, window in zip(starts(length, tile, overlap), windows(length, tile, overlap), strict=True):
        assert window.min() > 0
        total[begin : begin + len(window)] += window
    np.testing.assert_allclose(total, 1, atol=1e-5)


def test_a_tile_weighs_less_towards_its_seam() -> None:
    first, second = windows(100, 60, 20)
    shared = first[40:]
    assert (np.diff(shared) < 0).all()
    np.testing.assert_allclose(shared, second[:20][::-1], atol=1e-6)


@pytest.mark.parametrize(("width", "height"), [(50, 40), (97, 203), (64, 500), (300, 31)])
def test_blending_parts_of_a_picture_gives_the_picture(width: int, height: int) -> None:
    picture = np.random.default_rng(0).random((3, height, width)).astype(np.float32)
    asked = []

    def part(box: tuple[int, int, int, int]) -> np.ndarray:
        asked.append(box)
        left, top, right, bottom = box
        return picture[:, top:bottom, left:right]

    rows, place = [], 0
    for top, band in blend((width, height), (64, 48), 16, 3, part):
        assert top == place
        place += band.shape[1]
        rows.append(band.copy())
    np.testing.assert_allclose(np.concatenate(rows, axis=1), picture, atol=1e-5)
    assert all(right - left <= 64 and bottom - top <= 48 for left, top, right, bottom in asked)


def test_two_tiles_that_disagree_meet_in_a_ramp_without_a_step() -> None:
    values = iter([0.0, 1.0])
    _, band = next(iter(blend((100, 50), (60, 60), 20, 1, lambda box: np.full((1, 50, 60), next(values), np.float32))))
    line = band[0, 25]
    assert line[0] == 0
    assert line[-1] == 1
    assert np.abs(np.diff(line)).max() < 0.06
