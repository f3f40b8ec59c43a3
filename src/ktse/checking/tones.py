"""How much of the range of values an image uses, after it has become 8-bit RGB."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from PIL import Image

MOST = 0.995
"""Share of the pixels whose values count; a date in the corner of a black photo is no content."""

FLAT = 3
"""Levels, of 256, between which an image that shows nothing stays."""

FEW = 4
"""Levels that are left of an image with more than 8 bits where a single value (no data) has stretched its range."""


class Tones(NamedTuple):
    """The values of an image.

    Attributes:
        flat: whether it has (almost) one value only.
        top: the level, 0..255, below which nearly all values of all colours are.
        middle: the median level.
        deep: whether the file has more than 8 bits a pixel, which were scaled.
    """

    flat: bool
    top: int
    middle: int
    deep: bool


def tones_of(image: Image.Image, *, deep: bool) -> Tones:
    """Count the values of an RGB image.

    Args:
        image: the image, after conversion.
        deep: whether its file has more than 8 bits a pixel.
    """
    counts = np.array(image.histogram(), dtype=np.int64).reshape(3, 256)
    enough = MOST * image.width * image.height
    flat = all(_is_flat(band, enough, deep) for band in counts)
    top = max(int(np.searchsorted(band.cumsum(), enough)) for band in counts)
    middle = int(np.searchsorted(counts.sum(axis=0).cumsum(), counts.sum() / 2))
    return Tones(flat, top, middle, deep)


def _is_flat(counts: np.ndarray, enough: float, deep: bool) -> bool:
    """Whether the most frequent levels that together make up most pixels are close together, or hardly any."""
    order = np.argsort(-counts, kind="stable")
    levels = order[: int(np.searchsorted(counts[order].cumsum(), enough)) + 1]
    return bool(np.ptp(levels) <= FLAT or (deep and len(levels) <= FEW))
