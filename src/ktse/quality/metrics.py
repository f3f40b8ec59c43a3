"""Measures: confusion at all thresholds in one pass, mIoU, tag metrics. numpy, streaming, exact integers."""

from __future__ import annotations

import numpy as np

BLOCK = 1 << 22
"""Pixels that are counted at once, so that memory has a bound."""

THRESHOLDS = np.round(np.arange(0.0, 1.0, 0.01), 2)
"""The background thresholds that are compared with each other."""


class Confusion:
    """Counts of (true label, said label) pixels.

    Args:
        classes: number of classes C, without background.

    Attributes:
        counts: (C+1, C+1) int64, rows are the truth.
        missed: (C+1,) int64, pixels of each true class that were left undecided: wrong, but no other class's fault.
        images: how many images were counted.
    """

    def __init__(self, classes: int) -> None:
        self.size = classes + 1
        self.counts = np.zeros((self.size, self.size), dtype=np.int64)
        self.missed = np.zeros(self.size, dtype=np.int64)
        self.images = 0

    def __iadd__(self, other: Confusion) -> Confusion:
        self.counts += other.counts
        self.missed += other.missed
        self.images += other.images
        return self

    def add(self, truth: np.ndarray, said: np.ndarray) -> None:
        """Count the pixels of one image.

        Args:
            truth: (H, W) labels 0..C; larger values are not counted, nor is 255 in eight bits.
            said: (H, W) labels 0..C; larger values are undecided.

        Raises:
            ValueError: they have different shapes.
        """
        if truth.shape != said.shape:
            raise ValueError(f"a truth of {truth.shape} cannot measure labels of {said.shape}")
        truth, said = truth.ravel(), said.ravel()
        for start in range(0, truth.size, BLOCK):
            self._count(truth[start : start + BLOCK], said[start : start + BLOCK])
        self.images += 1

    def _count(self, truth: np.ndarray, said: np.ndarray) -> None:
        valid = _counted(truth, self.size)
        truth, said = truth[valid].astype(np.int64), said[valid].astype(np.int64)
        decided = said < self.size
        self.missed += np.bincount(truth[~decided], minlength=self.size)
        pairs = truth[decided] * self.size + said[decided]
        self.counts += np.bincount(pairs, minlength=self.size**2).reshape(self.size, self.size)

    @property
    def iou(self) -> np.ndarray:
        """(C+1,) float64 in 0..1; NaN for a class that the truth does not hold."""
        return intersection_over_union(self.counts, self.missed)

    @property
    def miou(self) -> float:
        """Mean over the classes that the truth holds, background included; NaN without any pixel."""
        return _mean(self.iou)

    @property
    def miou_said(self) -> float:
        """Mean over the classes that the truth holds or that were said: one that is not there counts as 0."""
        there = (self.counts.sum(axis=1) + self.missed > 0) | (self.counts.sum(axis=0) > 0)
        return _mean(np.where(there, np.nan_to_num(self.iou), np.nan))

    @property
    def objects(self) -> float:
        """Mean over the classes, background aside, that the truth holds or that were said.

        1 if both hold background alone; NaN without any pixel.
        """
        if not (self.counts.any() or self.missed.any()):
            return float("nan")
        there = (self.counts.sum(axis=1) + self.missed > 0) | (self.counts.sum(axis=0) > 0)
        return float(np.nan_to_num(self.iou)[1:][there[1:]].mean()) if there[1:].any() else 1.0

    @property
    def undecided(self) -> float:
        """Share of undecided pixels, 0..1."""
        return float(self.missed.sum() / max(1, self.counts.sum() + self.missed.sum()))


def intersection_over_union(counts: np.ndarray, missed: np.ndarray | int = 0) -> np.ndarray:
    """IoU of each class from confusion counts.

    Args:
        counts: (..., K, K) integers, rows are the truth.
        missed: (..., K) pixels of each true class that nothing was said about.

    Returns:
        (..., K) float64 in 0..1; NaN where the truth does not hold the class.
    """
    right = np.diagonal(counts, axis1=-2, axis2=-1)
    true = counts.sum(axis=-1) + missed
    union = true + counts.sum(axis=-2) - right
    return np.where(true > 0, right / np.maximum(union, 1), np.nan)


class ThresholdSweep:
    """Confusion at every background threshold at once.

    A pixel's label is its strongest class if that score is above the threshold, else background. So it is enough to
    count, per (true label, strongest class), how many thresholds the score exceeds.

    Args:
        classes: number of classes C.
        thresholds: T increasing numbers in 0..1.
    """

    def __init__(self, classes: int, thresholds: np.ndarray) -> None:
        self.size, self.thresholds = classes + 1, thresholds
        self.histogram = np.zeros((self.size, self.size, len(thresholds) + 1), dtype=np.int64)

    def add(self, truth: np.ndarray, keys: np.ndarray, scores: np.ndarray) -> None:
        """Count the pixels of one image.

        Args:
            truth: (H, W) labels 0..C; larger values are not counted, nor is 255 in eight bits.
            keys: (K,) increasing class indices 0..C-1 of the scores; of equally strong classes the first one wins.
            scores: (K, H, W) float; K may be 0.
        """
        valid = _counted(truth, self.size)
        exceeded, label = np.zeros(truth.shape, dtype=np.int64), np.zeros(truth.shape, dtype=np.int64)
        if len(keys):
            # In the scores' precision, so that a score of 0.2 does not exceed the threshold 0.2.
            exceeded = np.searchsorted(self.thresholds.astype(scores.dtype), scores.max(axis=0), side="left")
            label = keys[scores.argmax(axis=0)].astype(np.int64) + 1
        flat = (truth[valid].astype(np.int64) * self.size + label[valid]) * (len(self.thresholds) + 1) + exceeded[valid]
        self.histogram += np.bincount(flat, minlength=self.histogram.size).reshape(self.histogram.shape)

    @property
    def counts(self) -> np.ndarray:
        """(T, C+1, C+1) int64, rows are the truth."""
        # A pixel that exceeds n thresholds is foreground at the first n of them.
        foreground = self.histogram[:, :, ::-1].cumsum(axis=2)[:, :, ::-1][:, :, 1:]
        total = self.histogram.sum(axis=(1, 2))
        counts: np.ndarray = np.moveaxis(foreground, 2, 0).copy()
        counts[:, :, 0] += total - counts.sum(axis=2)
        return counts

    @property
    def miou(self) -> np.ndarray:
        """(T,) float64, mean over the classes that the truth holds; NaN without any pixel."""
        return np.array([_mean(row) for row in intersection_over_union(self.counts)])


def _counted(truth: np.ndarray, size: int) -> np.ndarray:
    """Which pixels have a label; 255 in eight bits is none, however many classes there are."""
    valid = truth < size
    return valid & (truth != 255) if truth.dtype == np.uint8 else valid


def _mean(iou: np.ndarray) -> float:
    return float(np.nanmean(iou)) if np.isfinite(iou).any() else float("nan")


def average_precision(scores: np.ndarray, true: np.ndarray) -> float:
    """Area under the precision-recall curve, as the mean precision at each true item.

    Args:
        scores: (N,) float.
        true: (N,) bool.

    Returns:
        0..1; NaN if nothing is true.
    """
    if not true.any():
        return float("nan")
    order = np.argsort(-scores, kind="stable")
    hits = true[order]
    ordered = scores[order]
    # Equal scores cannot be told apart: precision is taken at the end of each run of equal scores.
    ends = np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1)
    found = hits.cumsum()[ends]
    precision = found / (ends + 1)
    recall = found / hits.sum()
    return float((np.diff(recall, prepend=0.0) * precision).sum())


def tag_metrics(logits: np.ndarray, tags: np.ndarray, classes: tuple[str, ...]) -> dict[str, object]:
    """How well the tags are known, in percent; a tag is said where its logit is positive.

    Args:
        logits: (N, C) float.
        tags: (N, C) bool.
        classes: C names.

    Returns:
        images, exact (all tags of an image right), f1 (over all decisions), map (mean average precision over the
        classes that occur), by_class: images, precision, recall, ap; None where undefined.
    """
    said = logits > 0
    right = (said & tags).sum(axis=0)
    by_class = {}
    precisions = []
    for index, name in enumerate(classes):
        precision = average_precision(logits[:, index], tags[:, index])
        precisions.append(precision)
        by_class[name] = {
            "images": int(tags[:, index].sum()),
            "precision": percent(right[index] / said[:, index].sum() if said[:, index].any() else float("nan")),
            "recall": percent(right[index] / tags[:, index].sum() if tags[:, index].any() else float("nan")),
            "ap": percent(precision),
        }
    return {
        "images": len(tags),
        "exact": percent(float((said == tags).all(axis=1).mean()) if len(tags) else float("nan")),
        "f1": percent(float(2 * right.sum() / max(1, said.sum() + tags.sum()))),
        "map": percent(_mean(np.array(precisions))),
        "by_class": by_class,
    }


def percent(value: float) -> float | None:
    """A share in percent with three decimals, or None for NaN."""
    return None if np.isnan(value) else round(100 * float(value), 3)
