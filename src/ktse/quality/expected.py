"""How good masks are that nobody has looked at, from some that were drawn by chance and checked. Mathematics alone.

Only images that were drawn by chance count. Those that a person chooses, or that a page shows first as their masks are
doubtful, are worse than others of the same confidence (docs/measurements/expected.md).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

SURE = 0.9
"""How sure an interval, or the promise of an acceptance, is."""

LEAST = 10
"""Checked masks from which on an estimate is made."""

LOOKED_AT = 2 / 3
"""Share of the images drawn by chance that must be checked; of a few, a person may not know what is right."""


@dataclass(frozen=True)
class Interval:
    """A mean IoU that is expected.

    Attributes:
        middle, low, high: 0..1; the true mean lies within low and high with the probability SURE.
    """

    middle: float
    low: float
    high: float

    def without(self, known: np.ndarray, count: int) -> Interval:
        """The mean of the others, if this is that of `count` masks, and (k,) IoU of these are known, k < count."""
        left, off = count - len(known), float(known.sum())
        parts = ((count * value - off) / left for value in (self.middle, self.low, self.high))
        return Interval(*(min(1.0, max(0.0, part)) for part in parts))

    def __str__(self) -> str:
        return f"{self.middle:.2f} ({self.low:.2f}–{self.high:.2f})"


@dataclass(frozen=True)
class Line:
    """The line through confidence and IoU of checked masks, which never falls.

    Attributes:
        count: number of masks n.
        confidence: their mean confidence.
        iou: their mean IoU.
        slope: of the line.
        spread: sum of squared differences from the mean confidence.
        variance: of an IoU about the line.
    """

    count: int
    confidence: float
    iou: float
    slope: float
    spread: float
    variance: float

    @classmethod
    def through(cls, confidence: np.ndarray, iou: np.ndarray) -> Line:
        """The line through (n,) confidences and (n,) IoU of masks that were drawn by chance, n > 2.

        Least squares. Two imagined masks, of IoU 0 and 1, count in the variance: otherwise ten perfect masks would
        prove that all are, as an interval of a share needs too (Agresti and Coull, 1998).
        """
        middle, mean = float(confidence.mean()), float(iou.mean())
        away = confidence - middle
        spread = float((away**2).sum())
        slope = max(0.0, float((away * iou).sum()) / spread) if spread > 0 else 0.0
        left = float(((iou - mean - slope * away) ** 2).sum()) + mean**2 + (1 - mean) ** 2
        return cls(len(iou), middle, mean, slope, spread, left / len(iou))

    def each(self, confidence: np.ndarray) -> np.ndarray:
        """The expected IoU, 0..1, of each of (m,) masks."""
        expected: np.ndarray = np.clip(self.iou + self.slope * (confidence - self.confidence), 0, 1)
        return expected

    def mean(self, confidence: np.ndarray) -> Interval:
        """The expected mean IoU of (m,) masks, m > 0, which resemble the checked ones of the same confidence."""
        away = float(confidence.mean()) - self.confidence
        lever = away**2 / self.spread if self.spread > 0 else (math.inf if away else 0.0)
        half = student(self.count - 2) * math.sqrt(self.variance * (1 / self.count + lever + 1 / len(confidence)))
        middle = self.iou + self.slope * away
        return Interval(*(min(1.0, max(0.0, value)) for value in (middle, middle - half, middle + half)))


def student(freedom: int) -> float:
    """What Student's t exceeds on each side with half of what SURE leaves.

    The expansion of Abramowitz and Stegun, 26.7.5; three digits are right from 5 degrees of freedom on.
    """
    z = NormalDist().inv_cdf((1 + SURE) / 2)
    parts = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return z + math.fsum(part / freedom**power for power, part in enumerate(parts, start=1))


def by_chance(names: Sequence[str]) -> list[int]:
    """Indices in an order that has nothing to do with what the images show, and is the same each time."""
    return sorted(range(len(names)), key=lambda index: hashlib.sha256(names[index].encode()).digest())


def sample(checked: np.ndarray) -> int:
    """How many of the first images in the order of chance are a sample: nearly all of them were checked.

    It ends where the images that were drawn end. Of those behind, some may be checked, but for another reason.

    Args:
        checked: (N,) bool, in that order.

    Returns:
        0..N.
    """
    more = np.append(0, (checked - LOOKED_AT).cumsum())  # checked images beyond what that share needs
    return int(more.argmax())


def needed(risk: float) -> int:
    """Checked masks, all of them good, that show that not more than a share `risk`, above 0 and below 1, is bad."""
    return math.ceil(math.log(1 - SURE) / math.log(1 - risk))


def acceptable(confidence: np.ndarray, bad: np.ndarray, risk: float) -> float:
    """The confidence from which on masks may be accepted unseen: at most a share `risk` of them is expected to be bad.

    Groups of the most confident masks are tested, the smallest first, until one fails ("learn then test" with a fixed
    sequence, Angelopoulos et al., 2021; each test is the exact binomial one). So all accepted masks together keep
    the promise with the probability SURE, whatever confidence is worth.

    Args:
        confidence: (n,) of the checked masks, which were drawn by chance.
        bad: (n,) bool.
        risk: above 0 and below 1.

    Returns:
        infinity if no group passes.
    """
    order = np.argsort(-confidence, kind="stable")
    falling, wrong = confidence[order], bad[order].cumsum()
    found = math.inf
    for count in range(needed(risk), len(falling) + 1):
        if count < len(falling) and falling[count] == falling[count - 1]:
            continue  # masks of one confidence are accepted together
        if _at_most(int(wrong[count - 1]), count, risk) > 1 - SURE:
            break
        found = float(falling[count - 1])
    return found


def _at_most(wrong: int, count: int, share: float) -> float:
    """Probability of so many bad masks, or fewer, among `count`, if a share of all masks is bad."""
    each, rest, whole = math.log(share), math.log1p(-share), math.lgamma(count + 1)
    return sum(
        math.exp(whole - math.lgamma(k + 1) - math.lgamma(count - k + 1) + k * each + (count - k) * rest)
        for k in range(wrong + 1)
    )
