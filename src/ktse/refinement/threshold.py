"""Background thresholds from the scores alone, without any true mask."""

from __future__ import annotations

import numpy as np

BINS = 256


def score_histogram(scores: np.ndarray, bins: int = BINS) -> np.ndarray:
    """Histogram of each pixel's largest score.

    Args:
        scores: (K, h, w) float in 0..1.
        bins: number of equal bins on 0..1.

    Returns:
        (bins,) int64; zeros if K is 0.
    """
    if len(scores) == 0:
        return np.zeros(bins, dtype=np.int64)
    index = np.clip((scores.max(axis=0).astype(np.float32) * bins).astype(np.int64), 0, bins - 1)
    return np.bincount(index.ravel(), minlength=bins)


def otsu(histogram: np.ndarray) -> float:
    """The threshold in 0..1 that splits a histogram into two classes of smallest spread (Otsu, 1979).

    Args:
        histogram: (bins,) counts over 0..1.

    Returns:
        0..1; 0.5 if all counts are in one bin.
    """
    weight = histogram.astype(np.float64)
    values = (np.arange(len(weight)) + 0.5) / len(weight)
    below, above = weight.cumsum()[:-1], weight[::-1].cumsum()[::-1][1:]
    total = (weight * values).cumsum()
    with np.errstate(invalid="ignore", divide="ignore"):
        mean_below, mean_above = total[:-1] / below, (total[-1] - total[:-1]) / above
        between = np.where((below > 0) & (above > 0), below * above * (mean_below - mean_above) ** 2, 0.0)
    if between.max() <= 0:
        return 0.5
    # Empty bins between two groups are all equally good: take the middle of them.
    best = np.flatnonzero(between >= between.max() * (1 - 1e-12))
    return float((best.mean() + 1) / len(weight))


def boundary_contrast(image: np.ndarray, scores: np.ndarray, bins: int = BINS) -> np.ndarray:
    """How much more the image changes across the boundary of its mask than elsewhere, for all thresholds in one pass.

    A pair of neighbouring pixels lies on the boundary for the thresholds between its two scores.

    Args:
        image: (H, W, 3) uint8.
        scores: (K, H, W) float in 0..1.
        bins: number of equal bins on 0..1; a threshold is the lower end of a bin.

    Returns:
        (2, bins) float64 for each threshold: sum over boundary pairs of (colour change / mean colour change of the
        image - 1), and number of boundary pairs; zeros if K is 0 or the image is of one colour.
    """
    sums = np.zeros((2, bins))
    if len(scores) == 0:
        return sums
    best = np.clip((scores.max(axis=0).astype(np.float32) * bins).astype(np.int64), 0, bins - 1)
    colour = image.astype(np.float32)
    changes, lows, highs = [], [], []
    for axis in (0, 1):
        changes.append(np.abs(np.diff(colour, axis=axis)).mean(axis=-1).ravel())
        first, second = (np.take(best, indices, axis=axis) for indices in _neighbours(best.shape[axis]))
        lows.append(np.minimum(first, second).ravel())
        highs.append(np.maximum(first, second).ravel())
    change, low, high = np.concatenate(changes), np.concatenate(lows), np.concatenate(highs)
    if change.size == 0 or change.mean() == 0:
        return sums
    for row, value in enumerate((change / change.mean() - 1, np.ones_like(change))):
        # A score of bin b is above every threshold up to b, so that the pair opens at low + 1 and closes after high.
        opened = np.bincount(low + 1, weights=value, minlength=bins + 1)[:bins]
        closed = np.bincount(high + 1, weights=value, minlength=bins + 1)[:bins]
        sums[row] = (opened - closed).cumsum()
    return sums


def _neighbours(length: int) -> tuple[np.ndarray, np.ndarray]:
    return np.arange(length - 1), np.arange(1, length)


def contrast_threshold(sums: np.ndarray) -> float | None:
    """The threshold whose boundaries gather the most contrast.

    The sum, not the mean: a mean favours the few boundaries of the strongest parts of objects over whole objects.

    Args:
        sums: (2, bins), boundary_contrast summed over images.

    Returns:
        0..1, or None if no boundary stands out from the rest of the images.
    """
    excess = sums[0]
    best = int(excess.argmax())
    return best / len(excess) if excess[best] > 0 else None


def choose_threshold(histogram: np.ndarray, contrast: np.ndarray, setting: float | str) -> tuple[float, str]:
    """The background threshold of a data set and where it came from.

    Args:
        histogram: (bins,) counts of every pixel's largest score, over all images.
        contrast: (2, bins) boundary contrast, over all images; zeros if scores do not end at edges.
        setting: a number, or "auto".
    """
    if setting != "auto":
        return float(setting), "set in the recipe"
    at_edges = contrast_threshold(contrast)
    if at_edges is not None:
        return round(at_edges, 4), "where masks end at the edges of the images, no truth used"
    return round(otsu(histogram), 4), "Otsu on the scores of all images, no truth used"


def threshold_of_area(histogram: np.ndarray, area: float) -> float:
    """The threshold above which a share of all scores lies.

    Args:
        histogram: (bins,) counts over 0..1.
        area: share in 0..1.
    """
    above = 1 - histogram.cumsum() / max(1, histogram.sum())
    return float((np.abs(above - area).argmin() + 1) / len(histogram))
