"""Stored scores at the size of a large image, a few rows at a time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch.nn.functional import interpolate

BAND = 1 << 26
"""Bytes of the scores that are enlarged at once; those of ordinary photos are less."""


def bands(scores: np.ndarray, size: tuple[int, int]) -> Iterator[tuple[slice, np.ndarray]]:
    """Enlarge scores bilinearly, as few rows at once as keeps them below BAND.

    Args:
        scores: (K, h, w) uint8 0..255, or float 0..1; K may be 0.
        size: height and width of the image.

    Yields:
        rows of the image, and their scores (K, rows, width) float32 in 0..1.
    """
    height, width = size
    rows = max(1, BAND // (4 * width * max(1, len(scores))))
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        yield slice(top, bottom), enlarged_rows(scores, size, top, bottom)


def enlarged_rows(scores: np.ndarray, size: tuple[int, int], top: int, bottom: int) -> np.ndarray:
    """Some rows of scores that are enlarged bilinearly.

    Args:
        scores: (K, h, w) uint8 0..255, or float 0..1; K may be 0.
        size: height and width of the image.
        top: first row.
        bottom: the row after the last.

    Returns:
        (K, bottom - top, width) float32 in 0..1.
    """
    scores = scores.astype(np.float32) / (255 if scores.dtype == np.uint8 else 1)
    if len(scores) == 0:  # interpolate refuses zero channels
        return np.zeros((0, bottom - top, size[1]), dtype=np.float32)
    if bottom - top < size[0]:
        # Between rows by hand, as interpolate does it; then it finds as many rows as it is asked for.
        place = (np.arange(top, bottom) + 0.5) * scores.shape[1] / size[0] - 0.5
        place = place.clip(0, scores.shape[1] - 1).astype(np.float32)
        above = place.astype(np.int64)
        below = np.minimum(above + 1, scores.shape[1] - 1)
        weight = (place - above)[:, None]
        scores = scores[:, above] * (1 - weight) + scores[:, below] * weight
    tensor = torch.from_numpy(scores)[None]
    large: np.ndarray = interpolate(tensor, (bottom - top, size[1]), mode="bilinear", align_corners=False)[0].numpy()
    return large
