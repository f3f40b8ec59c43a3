"""What a person says about pixels of an image, and the mask that follows from it."""

from __future__ import annotations

from functools import lru_cache
from threading import Lock

import numpy as np
from PIL import Image

from ktse.reviewing.pictures import Pictures
from ktse.reviewing.solve import solve

IS, IS_NOT, WAS = 1, 2, 3
"""Kinds of marks: this is the label; this is not; the mask that the edit began with had the label here."""

SURE = 0.95
"""Prior of the label that the mask had."""

SHARPNESS = 6.0
"""How fast the prior of a label grows with its score above the threshold."""


class Solver:
    """Solves masks of a run again.

    Args:
        pictures: the run.
    """

    def __init__(self, pictures: Pictures) -> None:
        self.pictures = pictures
        self._image = lru_cache(maxsize=8)(self._read)
        self._one = Lock()  # many at once would need more memory and answer no sooner

    def solved(self, index: int, marks: np.ndarray, threshold: float) -> tuple[list[int], np.ndarray]:
        """Labels, and the share of each at each pixel.

        Args:
            index: number of the image.
            marks: (H, W) uint32 at the size of `solving_size`: 0, or 65536 * kind + label.
            threshold: the background threshold of the edit.

        Returns:
            K labels, 0 among them; (K, H, W) uint8.

        Raises:
            KtseError: the image or its scores cannot be read.
        """
        height, width = marks.shape
        kinds, named = marks >> 16, marks & 0xFFFF
        known = {int(label) for label in np.unique(named[kinds > 0])}
        stored = self.pictures.scores_of(index)
        keys = [] if stored is None else [int(key) + 1 for key in stored.keys]
        labels = sorted({0, *known, *keys, *self.pictures.tags(index)})
        scores = np.zeros((len(labels), height, width), np.float32)
        scores[0] = threshold
        if stored is not None:
            for label, values in zip(keys, stored.scores, strict=True):
                enlarged = Image.fromarray(values).resize((width, height), Image.Resampling.BILINEAR)
                scores[labels.index(label)] = np.asarray(enlarged, np.float32) / 255
        prior = np.exp(SHARPNESS * (scores - scores.max(axis=0)))
        prior /= prior.sum(axis=0)
        same = named == np.array(labels)[:, None, None]
        if len(labels) > 1:
            before = np.where(same, SURE, (1 - SURE) / (len(labels) - 1)).astype(np.float32)
            prior = np.where(kinds == WAS, before, prior)
        said = same & (kinds == IS)
        fixed = (kinds == IS) | (same & (kinds == IS_NOT))
        with self._one:
            shares = solve(self._image(index, (width, height)), prior, said, fixed)
        return labels, (shares * 255).round().astype(np.uint8)

    def _read(self, index: int, size: tuple[int, int]) -> np.ndarray:
        image = self.pictures.data.read(index, max(size))
        return np.asarray(image.resize(size, Image.Resampling.BOX))
