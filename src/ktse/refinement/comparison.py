"""Which of two sets of scores ends better at the edges of the images, without truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SAMPLES = 1000
"""Times that the images are drawn anew, with repetition (bootstrap; Efron, 1979)."""


@dataclass(frozen=True)
class Compared:
    """Gathered boundary contrast of two networks over the same images; all numbers per pixel.

    Attributes:
        first, second: contrast that the boundaries of each gather at the threshold that suits it.
        low, high: bounds of the difference, second less first, that hold for nine in ten samples of images.
        images: number of images.
    """

    first: float
    second: float
    low: float
    high: float
    images: int

    @property
    def better(self) -> str:
        """Which is better: "first", "second" or "unclear"."""
        return "first" if self.high < 0 else "second" if self.low > 0 else "unclear"


def compare_contrast(first: np.ndarray, second: np.ndarray, pixels: np.ndarray, seed: int = 0) -> Compared:
    """Compare two sets of scores by the contrast that their boundaries gather, each at its own best threshold.

    The images are drawn with repetition, and the thresholds chosen anew for each sample.

    Args:
        first: (N, bins) sum of boundary contrast of each image at every threshold (boundary_contrast's row 0).
        second: the same of the other scores.
        pixels: (N,) number of pixels of each image.
        seed: seed of the drawing.
    """
    number = len(pixels)

    def gathered(times: np.ndarray) -> tuple[float, float]:
        size = float(times @ pixels)
        return float((times @ first).max() / size), float((times @ second).max() / size)

    whole = gathered(np.ones(number))
    rng = np.random.default_rng(seed)
    drawn = (gathered(rng.multinomial(number, np.full(number, 1 / number))) for _ in range(SAMPLES))
    low, high = np.quantile([two - one for one, two in drawn], [0.05, 0.95])
    return Compared(whole[0], whole[1], float(low), float(high), number)
