"""A background threshold from a handful of true masks, and how far it can be trusted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ktse.runtime.words import many

SAMPLES = 1000
"""Times that the masks are drawn anew, with repetition (bootstrap; Efron, 1979)."""

INTERVAL = 0.9
"""Share of the drawn samples whose threshold lies in the interval."""


LEAST_SHOWN = 2
"""Masks that must show a class for it to get a threshold of its own (docs/measurements/class-thresholds.md)."""

ENDS = 0.02, 0.98
"""Bounds of a threshold whose odds are taken."""


@dataclass(frozen=True)
class Calibrated:
    """A threshold and its uncertainty; mIoU in 0..1.

    Attributes:
        threshold: the one with the highest mIoU over the masks.
        masks: number of masks.
        miou: mIoU over the masks at the threshold. It flatters: the threshold was chosen on the same masks.
        low, high: bounds of the threshold; None with a single mask, which cannot say how much masks differ.
        loss: mIoU that a threshold chosen on so few masks is expected to cost; None with a single mask.
        loss_high: what it costs at most in 95 of 100 cases.
        iou: (C+1,) IoU of each label, background first, over the masks at the threshold; None where no mask shows it.
        shown: (C+1,) number of masks that show it.
        own: (C,) threshold of each class: half way, in log odds, between the common one and that with the highest IoU
            of the class; the common one for a class that fewer than LEAST_SHOWN masks show.
    """

    threshold: float
    masks: int
    miou: float
    low: float | None
    high: float | None
    loss: float | None
    loss_high: float | None
    iou: tuple[float | None, ...]
    shown: tuple[int, ...]
    own: tuple[float, ...] = ()

    @property
    def source(self) -> str:
        """Where the threshold comes from, in words."""
        if self.low is None or self.high is None or self.loss is None or self.loss_high is None:
            return "calibrated on a single true mask, which cannot say how uncertain it is"
        interval = f"{INTERVAL:.0%} interval {self.low:.2f} to {self.high:.2f}"
        return (
            f"calibrated on {many(self.masks, 'true mask')}: {interval}, "
            f"expected loss {100 * self.loss:.1f} points of mIoU, at most {100 * self.loss_high:.1f} in 95 of 100 cases"
        )


def calibrate(
    counts: list[np.ndarray], thresholds: np.ndarray, samples: int = SAMPLES, random_seed: int = 0
) -> Calibrated:
    """Choose the threshold with the highest mIoU over some masks.

    The uncertainty comes from drawing as many masks from them with repetition, again and again: each sample's threshold
    stands for one that other masks might have led to, and what it loses on the given masks, for the loss to expect.

    Args:
        counts: of each mask (T, C+1, C+1) confusion at every threshold, rows are the truth (ThresholdSweep.counts).
        thresholds: (T,) increasing.
        samples: how many samples are drawn.
        random_seed: of the drawing.
    """
    # A sum over masks of these three is all that a sample's IoU needs; the whole confusion would be large.
    right = np.stack([np.diagonal(part, axis1=1, axis2=2) for part in counts]).astype(np.float64)
    said = np.stack([part.sum(axis=1) for part in counts]).astype(np.float64)
    true = np.stack([part[0].sum(axis=1) for part in counts]).astype(np.float64)

    def by_label(times: np.ndarray) -> np.ndarray:
        """(T, C+1) IoU; NaN for labels that no mask shows."""
        agreed, present = np.tensordot(times, right, 1), times @ true
        union = np.tensordot(times, said, 1) + present - agreed
        return np.where(present > 0, agreed / np.maximum(union, 1), np.nan)

    def curve(times: np.ndarray) -> np.ndarray:
        return np.asarray(np.nanmean(by_label(times), axis=1))

    number = len(counts)
    whole = curve(np.ones(number))
    best = _middle_of_best(whole)
    found = (float(thresholds[best]), number, float(whole[best]))
    curves = by_label(np.ones(number))
    shown = tuple((true > 0).sum(axis=0).tolist())
    own = tuple(
        _half_way(thresholds, best, curve) if count >= LEAST_SHOWN else found[0]
        for curve, count in zip(curves.T[1:], shown[1:], strict=True)
    )
    places = [best, *(int(np.abs(thresholds - value).argmin()) for value in own)]
    at_own = [float(curve[place]) for curve, place in zip(curves.T, places, strict=True)]
    iou = tuple(None if np.isnan(value) else round(value, 4) for value in at_own)
    if number == 1:
        return Calibrated(*found, None, None, None, None, iou, shown, own)
    rng = np.random.default_rng(random_seed)
    drawn = (rng.multinomial(number, np.full(number, 1 / number)).astype(np.float64) for _ in range(samples))
    chosen = np.array([_middle_of_best(curve(times)) for times in drawn if times @ true.sum(axis=1) > 0])
    low, high = np.quantile(thresholds[chosen], [(1 - INTERVAL) / 2, (1 + INTERVAL) / 2])
    losses = whole[best] - whole[chosen]
    interval, loss = (round(float(low), 4), round(float(high), 4)), float(losses.mean())
    return Calibrated(*found, *interval, loss, float(np.quantile(losses, 0.95)), iou, shown, own)


def _half_way(thresholds: np.ndarray, common: int, curve: np.ndarray) -> float:
    """Between the common threshold and the one with the highest IoU of a class, half way in log odds.

    The class's best one follows few masks too closely; half of the way keeps most of the gain, and loses little where
    there is none.
    """
    both = np.clip(thresholds[[common, _middle_of_best(curve)]], *ENDS)
    return round(float(1 / (1 + np.exp(-np.log(both / (1 - both)).mean()))), 4)


def _middle_of_best(curve: np.ndarray) -> int:
    """The middle one of the equally best places of a curve."""
    best = np.flatnonzero(curve >= curve.max() - 1e-12)
    return int(best[len(best) // 2])
