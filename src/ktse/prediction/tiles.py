"""Large images in overlapping tiles, blended without seams, a band of rows at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np

Score = Callable[[tuple[int, int, int, int]], np.ndarray]
"""From (left, top, right, bottom) to (K, bottom - top, right - left) float32."""


def starts(length: int, tile: int, overlap: int) -> list[int]:
    """Where tiles begin, evenly spread, so that each overlaps the next by at least `overlap`.

    Args:
        length: pixels to cover.
        tile: pixels of a tile.
        overlap: below `tile`.
    """
    if length <= tile:
        return [0]
    count = math.ceil((length - overlap) / (tile - overlap))
    return [round(number * (length - tile) / (count - 1)) for number in range(count)]


def windows(length: int, tile: int, overlap: int) -> list[np.ndarray]:
    """Weight of each pixel of each tile: falling linearly towards the tile's ends, 1 in sum everywhere.

    Returns:
        one (min(tile, length),) float32 for each of `starts`.
    """
    places = np.arange(min(tile, length))
    window = np.minimum(np.minimum(places, places[::-1]) + 1, overlap + 1).astype(np.float32)
    total = np.zeros(length, dtype=np.float32)
    begins = starts(length, tile, overlap)
    for begin in begins:
        total[begin : begin + len(window)] += window
    return [window / total[begin : begin + len(window)] for begin in begins]


def blend(
    size: tuple[int, int], tile: tuple[int, int], overlap: int, channels: int, score: Score
) -> Iterator[tuple[int, np.ndarray]]:
    """Score an image tile by tile.

    Memory holds one row of tiles at a time. The weights of rows and columns each sum to 1, so nothing has to be
    divided at the end.

    Args:
        size: (width, height) of the image.
        tile: (width, height) of a tile.
        overlap: pixels that neighbouring tiles share at least.
        channels: K.
        score: scores of a part of the image.

    Yields:
        first row, and (K, rows, width) float32, from top to bottom; to be used up before the next one is asked for.
    """
    width, height = size
    rows, columns = starts(height, tile[1], overlap), starts(width, tile[0], overlap)
    if len(rows) == len(columns) == 1:
        yield 0, score((0, 0, width, height))
        return
    across, down = windows(width, tile[0], overlap), windows(height, tile[1], overlap)
    band = np.zeros((channels, len(down[0]), width), dtype=np.float32)
    for number, (top, vertical) in enumerate(zip(rows, down, strict=True)):
        for left, horizontal in zip(columns, across, strict=True):
            right = left + len(horizontal)
            part = score((left, top, right, top + len(vertical)))
            band[:, :, left:right] += part * (vertical[:, None] * horizontal)
        done = rows[number + 1] - top if number + 1 < len(rows) else len(vertical)
        yield top, band[:, :done]
        band[:, : band.shape[1] - done] = band[:, done:].copy()
        band[:, band.shape[1] - done :] = 0
