"""Outlines: filled again by another library, they give the mask back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ktse.exporting.outlines import area, polygons, rings

MASKS = arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12)))


def filled(polygon: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Pixels whose centre has a non-zero winding number, from the definition: upright edges to the right of it."""
    count = np.zeros(shape, dtype=int)
    for (x0, y0), (x1, y1) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        ys = np.arange(shape[0]) + 0.5
        xs = np.arange(shape[1]) + 0.5
        crosses = (np.minimum(y0, y1) < ys) & (ys < np.maximum(y0, y1))
        with np.errstate(divide="ignore", invalid="ignore"):
            at = x0 + (ys - y0) * (x1 - x0) / (y1 - y0)
        count += np.where(crosses[:, None] & (at[:, None] > xs[None]), np.sign(y1 - y0), 0)
    return count != 0


def parts(mask: np.ndarray) -> list[np.ndarray]:
    """Connected parts by flooding."""
    left, found = mask.copy(), []
    while left.any():
        part = np.zeros_like(mask)
        stack = [tuple(np.argwhere(left)[0])]
        while stack:
            y, x = stack.pop()
            if 0 <= y < mask.shape[0] and 0 <= x < mask.shape[1] and left[y, x]:
                left[y, x], part[y, x] = False, True
                stack += [(y + 1, x), (y - 1, x), (y, x + 1), (y, x - 1)]
        found.append(part)
    return found


@given(MASKS)
def test_each_connected_part_is_one_polygon_that_fills_exactly_it(mask: np.ndarray) -> None:
    found = [filled(polygon, mask.shape) for polygon in polygons(mask)]
    expected = parts(mask)
    assert len(found) == len(expected)
    for part in expected:
        assert any(np.array_equal(part, other) for other in found)


@given(MASKS)
def test_areas_sum_to_the_mask_and_no_ring_has_a_needless_corner(mask: np.ndarray) -> None:
    found = rings(mask)
    assert sum(area(ring) for ring in found) == mask.sum()
    for ring in found:
        steps = np.sign(np.roll(ring, -1, axis=0) - ring)
        assert (np.abs(steps).sum(axis=1) == 1).all()
        assert (steps != np.roll(steps, 1, axis=0)).any(axis=1).all()


def test_a_ring_with_an_island_in_its_hole() -> None:
    mask = np.zeros((9, 9), bool)
    mask[1:8, 1:8] = True
    mask[2:7, 2:7] = False
    mask[4, 4] = True
    big, small = polygons(mask)
    assert area(big) == 24
    assert area(small) == 1
    np.testing.assert_array_equal(filled(big, mask.shape) | filled(small, mask.shape), mask)


@pytest.mark.parametrize("shape", [(1, 1), (3, 4)])
def test_an_empty_mask_has_no_outline(shape: tuple[int, int]) -> None:
    assert polygons(np.zeros(shape, bool)) == []
