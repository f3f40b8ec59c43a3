"""Outlines of a mask along the edges of its pixels: exact, without a library for computer vision."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

RIGHT, DOWN, LEFT, UP = range(4)
MOVES = {RIGHT: (1, 0), DOWN: (0, 1), LEFT: (-1, 0), UP: (0, -1)}
Corner = tuple[int, int]


def rings(mask: np.ndarray) -> list[np.ndarray]:
    """Trace every border of a mask. Outer borders run clockwise as seen on screen, holes the other way.

    Pixels that touch at a corner alone belong to different outlines.

    Args:
        mask: (H, W) bool.

    Returns:
        closed lines as (N, 2) integer corners (x, y) of pixels, a straight run as one edge.
    """
    steps = _steps(mask)
    unseen = {(place, way): None for place, ways in steps.items() for way in ways}
    found = []
    while unseen:
        begin = step = next(iter(unseen))
        ring: list[Corner] = []
        before = None
        while before is None or step != begin:
            del unseen[step]
            place, way = step
            if way != before:
                ring.append(place)
            before = way
            there = (place[0] + MOVES[way][0], place[1] + MOVES[way][1])
            # Where two pixels share a corner, the sharpest turn to the right stays with one's own.
            step = there, _rightmost(steps[there], way)
        found.append(np.array(ring[1:] if before == begin[1] else ring))
    return found


def _rightmost(ways: list[int], way: int) -> int:
    return min(ways, key=lambda other: (way + 1 - other) % 4)


def _steps(mask: np.ndarray) -> dict[Corner, list[int]]:
    """Unit steps along the border by the corner where they begin; the mask is on their right hand."""
    padded = np.pad(mask, 1)
    inside = padded[1:-1, 1:-1]
    borders = (
        (RIGHT, padded[:-2, 1:-1], 0, 0),
        (DOWN, padded[1:-1, 2:], 1, 0),
        (LEFT, padded[2:, 1:-1], 1, 1),
        (UP, padded[1:-1, :-2], 0, 1),
    )
    steps: dict[Corner, list[int]] = {}
    for way, beside, right, down in borders:
        ys, xs = np.nonzero(inside & ~beside)
        for x, y in zip((xs + right).tolist(), (ys + down).tolist(), strict=True):
            steps.setdefault((x, y), []).append(way)
    return steps


def area(ring: np.ndarray) -> float:
    """Pixels inside a closed line; negative for a hole."""
    x, y = ring[:, 0].astype(np.int64), ring[:, 1].astype(np.int64)
    return float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum()) / 2


def polygons(mask: np.ndarray, simplify: Callable[[np.ndarray], np.ndarray] = lambda ring: ring) -> list[np.ndarray]:
    """One polygon for each connected part of a mask (pixels that share an edge), largest first.

    Holes are joined to their outline by a line that is walked there and back, since many formats have no holes.

    Args:
        mask: (H, W) bool.
        simplify: from a closed line to one with fewer corners.

    Returns:
        (N, 2) integer corners (x, y) each.
    """
    found = rings(mask)
    outlines = sorted((ring for ring in found if area(ring) > 0), key=area)
    joined = [simplify(ring) for ring in outlines]
    for hole in (ring for ring in found if area(ring) < 0):
        # The smallest outline around it is its own: an island in the hole does not contain the hole's border.
        owner = next(number for number, ring in enumerate(outlines) if _contains(ring, hole))
        ring, inner = joined[owner], simplify(hole)
        nearest = int(np.abs(ring - inner[0]).sum(axis=1).argmin())
        joined[owner] = np.concatenate([ring[: nearest + 1], inner, inner[:1], ring[nearest:]])
    return joined[::-1]


def _contains(ring: np.ndarray, hole: np.ndarray) -> bool:
    """Whether the pixel on the right hand of a hole's first edge lies inside a ring."""
    along = np.sign(hole[1] - hole[0])
    point = hole[0] + along / 2 + np.array([-along[1], along[0]]) / 2
    ends = np.roll(ring, -1, axis=0)
    # Edges that cross the row are upright, so that their x is that of either end.
    crossing = (ring[:, 1] > point[1]) != (ends[:, 1] > point[1])
    return bool((crossing & (ring[:, 0] > point[0])).sum() % 2)
