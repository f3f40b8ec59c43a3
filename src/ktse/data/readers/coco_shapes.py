"""Shapes in a COCO file, looked at before pycocotools sees them: its C code takes any number as it is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

OUTSIDE = 4
"""How many times as far as the image's longer side a point may lie from its corner."""


def require_shape(shape: Any, width: int, height: int) -> None:
    """Make sure that a shape can be drawn: polygons, or run lengths as numbers or as COCO's text.

    Args:
        shape: an annotation's segmentation.
        width: of its image, in pixels.
        height: likewise.

    Raises:
        ValueError: it cannot; the text says why.
    """
    if isinstance(shape, list):
        for part in shape:
            _require_polygon(part, OUTSIDE * max(width, height))
        if all(len(part) < 6 for part in shape):
            raise ValueError("no polygon has three points")
        return
    if not isinstance(shape, dict) or not isinstance(shape.get("counts"), list | str):
        raise ValueError("it is neither polygons nor run lengths")
    if shape.get("size") != [height, width]:
        raise ValueError("its size is not that of the image")
    counts = shape["counts"]
    lengths = counts if isinstance(counts, list) else expanded(counts)
    if not all(isinstance(one, int) and not isinstance(one, bool) and one >= 0 for one in lengths):
        raise ValueError("a run has no length of 0 or more")
    if sum(lengths) != height * width:
        raise ValueError("its runs do not fill the image")


def _require_polygon(part: Any, far: float) -> None:
    if not isinstance(part, list) or len(part) % 2:
        raise ValueError("a polygon is no list of x, y, x, y ...")
    for one in part:
        if isinstance(one, bool) or not isinstance(one, int | float) or not abs(one) <= far or not math.isfinite(one):
            raise ValueError("a point of a polygon is no number, or lies far outside the image")


def expanded(text: str) -> Sequence[int]:
    """Run lengths from COCO's text: five bits a character, from the fourth on the change to the last but one.

    Raises:
        ValueError: the text is damaged.
    """
    lengths: list[int] = []
    value, bits = 0, 0
    for letter in text:
        part = ord(letter) - 48
        if not 0 <= part < 64 or bits > 60:
            raise ValueError("its text of run lengths is damaged")
        value |= (part & 31) << bits
        bits += 5
        if part & 32:
            continue
        if part & 16:
            value -= 1 << bits
        lengths.append(value + (lengths[-2] if len(lengths) > 2 else 0))
        value, bits = 0, 0
    if bits:
        raise ValueError("its text of run lengths is cut short")
    return lengths
