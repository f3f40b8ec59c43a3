"""How sure a segmentation model is of what it says about an image."""

from __future__ import annotations

import numpy as np

SMALLEST_SHARE = 0.002
"""Share of the image that a label covers at least to count as something that was found."""

LEAST_SURE_SHARE = 0.01
"""Share of the pixels, the least sure ones, that say how sure it is that nothing is there."""

BINS = 1024


class Confidence:
    """Confidence in the label map of an image, from the probabilities of its labels, a band of rows at a time.

    It is the mean probability of each label other than background, over its own pixels, and of these the mean. The mean
    over all pixels would say how much of the image is background: that is where a network is surest. Of an image
    without any such label it is the mean probability of the least sure pixels, as an object that was missed is small.

    Args:
        classes: number of classes C.
    """

    def __init__(self, classes: int) -> None:
        self.pixels, self.total = np.zeros(classes + 1, dtype=np.int64), np.zeros(classes + 1)
        self.count, self.sum = np.zeros(BINS, dtype=np.int64), np.zeros(BINS)

    def add(self, label: np.ndarray, probability: np.ndarray) -> None:
        """Take the next rows.

        Args:
            label: (rows, W) integers 0..C.
            probability: (rows, W) float in 0..1, that of the label.
        """
        flat, sure = label.ravel(), probability.ravel()
        place = np.clip((sure * BINS).astype(np.int64), 0, BINS - 1)
        self.pixels += np.bincount(flat, minlength=len(self.pixels))
        self.total += np.bincount(flat, weights=sure, minlength=len(self.total))
        self.count += np.bincount(place, minlength=BINS)
        self.sum += np.bincount(place, weights=sure, minlength=BINS)

    @property
    def value(self) -> float:
        """0..1; not the probability of anything, but a way to order images."""
        whole = int(self.pixels.sum())
        found = self.pixels[1:] >= max(1, SMALLEST_SHARE * whole)
        if found.any():
            return float((self.total[1:][found] / self.pixels[1:][found]).mean())
        wanted = max(1, round(LEAST_SURE_SHARE * whole))
        taken = np.minimum(self.count, np.maximum(0, wanted - (self.count.cumsum() - self.count)))
        return float((taken * self.sum / np.maximum(1, self.count)).sum() / wanted)
