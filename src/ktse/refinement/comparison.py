"""Which of two sets of scores makes better masks, without truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SAMPLES = 1000
"""Times that the images are drawn anew, with repetition (bootstrap; Efron, 1979)."""

MARGIN = 0.05
"""Smallest relative difference that is called one: smaller ones, however sure, went along with either true change."""


@dataclass(frozen=True)
class Compared:
    """How good the masks of two networks look without truth, over the same images; means over the images.

    Attributes:
        first, second: what each reaches at the threshold that suits it.
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
        if abs(self.second - self.first) < MARGIN * max(self.first, self.second):
            return "unclear"
        return "first" if self.high < 0 else "second" if self.low > 0 else "unclear"


def compare(first: np.ndarray, second: np.ndarray, seed: int = 0) -> Compared:
    """Compare two sets of scores by how good their masks look, each at its own best threshold.

    The images are drawn with repetition, and the thresholds chosen anew for each sample.

    Args:
        first: (N, bins) of each image at every threshold, larger is better (explained_share).
        second: the same of the other scores.
        seed: seed of the drawing.
    """
    number = len(first)

    def reached(times: np.ndarray) -> tuple[float, float]:
        return float((times @ first).max() / number), float((times @ second).max() / number)

    whole = reached(np.ones(number))
    rng = np.random.default_rng(seed)
    drawn = (reached(rng.multinomial(number, np.full(number, 1 / number))) for _ in range(SAMPLES))
    low, high = np.quantile([two - one for one, two in drawn], [0.05, 0.95])
    return Compared(whole[0], whole[1], float(low), float(high), number)
