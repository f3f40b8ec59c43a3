"""Outlines with fewer points, for people who drag points: Douglas and Peucker's rule, and what it costs."""

from __future__ import annotations

import numpy as np

from ktse.exporting.outlines import polygons


class Simplifier:
    """Makes polygons of masks, and counts what their simplification saves and costs.

    Args:
        tolerance: pixels by which an outline may leave the edge of the mask; 0: exact.

    Attributes:
        exact, kept: points before and after.
        both, either: pixels that mask and polygons share, and that at least one of them holds.
    """

    def __init__(self, tolerance: float) -> None:
        self.tolerance = tolerance
        self.exact = self.kept = self.both = self.either = 0

    def polygons(self, mask: np.ndarray) -> list[np.ndarray]:
        """One polygon for each connected part of a (H, W) bool mask; (N, 2) integer corners (x, y) each."""
        if not self.tolerance:
            return polygons(mask)
        found = polygons(mask, lambda ring: simplified(ring, self.tolerance))
        self.exact += sum(map(len, polygons(mask)))
        self.kept += sum(map(len, found))
        filled = np.zeros(mask.shape, bool)
        for polygon in found:
            filled |= inside(polygon, mask.shape)
        self.both, self.either = self.both + int((filled & mask).sum()), self.either + int((filled | mask).sum())
        return found

    def __str__(self) -> str:
        """What the simplification saves and costs, in words."""
        saved = 1 - self.kept / self.exact if self.exact else 0.0
        iou = self.both / self.either if self.either else 1.0
        return f"{self.kept:,} points instead of {self.exact:,} ({saved:.0%} fewer); IoU with the exact masks {iou:.1%}"


def simplified(ring: np.ndarray, tolerance: float) -> np.ndarray:
    """The corners of a closed line that a line through fewer of them needs to stay within a tolerance.

    Args:
        ring: (N, 2) corners.
        tolerance: largest distance in pixels of a corner left out from the line.

    Returns:
        (M, 2) corners of the same ring in the same order; all of them where fewer would enclose nothing.
    """
    far = int(((ring - ring[0]) ** 2).sum(axis=1).argmax())
    closed = np.concatenate([ring, ring[:1]]).astype(np.float64)
    keep = np.zeros(len(closed), bool)
    keep[[0, far]] = True
    left = [(0, far), (far, len(ring))]
    while left:
        begin, end = left.pop()
        if end - begin < 2:
            continue
        away = _distance(closed[begin + 1 : end], closed[begin], closed[end])
        worst = int(away.argmax())
        if away[worst] > tolerance:
            middle = begin + 1 + worst
            keep[middle] = True
            left += [(begin, middle), (middle, end)]
    return ring[keep[:-1]] if keep[:-1].sum() > 2 else ring


def _distance(points: np.ndarray, begin: np.ndarray, end: np.ndarray) -> np.ndarray:
    """(N,) distance of (N, 2) points from the stretch between two."""
    along = end - begin
    length = float(along @ along)
    share = np.clip((points - begin) @ along / length, 0, 1) if length else np.zeros(len(points))
    return np.asarray(np.hypot(*(points - begin - share[:, None] * along).T))


def inside(polygon: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """(H, W) bool: pixels whose centre lies in a polygon, by the even-odd rule."""
    filled = np.zeros(shape, bool)
    top, bottom = max(0, int(polygon[:, 1].min())), min(shape[0], int(polygon[:, 1].max()) + 1)
    begin, end = polygon.astype(np.float64), np.roll(polygon, -1, axis=0).astype(np.float64)
    for row in range(top, bottom):
        y = row + 0.5  # corners are whole numbers, so that no edge ends here
        crossing = (begin[:, 1] > y) != (end[:, 1] > y)
        first, last = begin[crossing], end[crossing]
        xs = np.sort(first[:, 0] + (y - first[:, 1]) * (last[:, 0] - first[:, 0]) / (last[:, 1] - first[:, 1]))
        for left, right in xs.reshape(-1, 2):
            filled[row, max(0, int(np.ceil(left - 0.5))) : max(0, int(np.ceil(right - 0.5)))] = True
    return filled
