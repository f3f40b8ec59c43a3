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


def choose_threshold(histogram: np.ndarray, setting: float | str) -> tuple[float, str]:
    """The background threshold of a data set and where it came from.

    Args:
        histogram: (bins,) counts of every pixel's largest score, over all images.
        setting: a number, or "auto".
    """
    if setting == "auto":
        return round(otsu(histogram), 4), "Otsu on the scores of all images, no truth used"
    return float(setting), "set in the recipe"
