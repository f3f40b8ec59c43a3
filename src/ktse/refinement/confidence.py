"""Which masks, and which pixels of a mask, to trust."""

from __future__ import annotations

import numpy as np


def confident_half(scores: np.ndarray) -> np.ndarray:
    """Of each label's pixels, the half with the largest margin between best and second score, as published.

    Args:
        scores: (L, H, W) float, one plane a label, background included.

    Returns:
        (H, W) bool; of an odd number of pixels the smaller half; all of them if there is just one label.
    """
    if len(scores) < 2:
        return np.ones(scores.shape[1:], dtype=bool)
    label = scores.argmax(axis=0).ravel()
    second, best = np.partition(scores, -2, axis=0)[-2:]
    margin = (best - second).ravel()
    trusted = np.zeros(label.shape, dtype=bool)
    for number in np.unique(label):
        places = np.flatnonzero(label == number)
        trusted[places[np.argsort(-margin[places], kind="stable")[: len(places) // 2]]] = True
    return trusted.reshape(scores.shape[1:])


def ranks(values: np.ndarray) -> np.ndarray:
    """Place of each value among all, from 0 to 1; equal values share the mean of their places.

    Args:
        values: (N,) numbers.

    Returns:
        (N,) float64; 0.5 for a single value.
    """
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    middle = count.cumsum() - (count + 1) / 2
    return np.full(len(values), 0.5) if len(values) < 2 else middle[place.ravel()] / (len(values) - 1)


def image_confidence(contrast: np.ndarray, tags: np.ndarray, area: np.ndarray, logit: np.ndarray) -> np.ndarray:
    """Which masks are likely to be good, compared with the others of the same data set; no truth is used.

    A mask is likely good that ends at edges, has few classes to mix up, is small (what spreads, errs), and whose tags
    the network sees. Each sign ranks the images; the mean of the ranks is the confidence.

    Args:
        contrast: (N,) mean boundary contrast at the threshold.
        tags: (N,) number of tags.
        area: (N,) share of foreground.
        logit: (N,) mean class score of the tags.

    Returns:
        (N,) float64 in 0..1.
    """
    mean: np.ndarray = np.mean([ranks(contrast), ranks(-tags), ranks(-area), ranks(logit)], axis=0)
    return mean


def rank_correlation(first: np.ndarray, second: np.ndarray) -> float | None:
    """Spearman's rank correlation of (N,) values, -1..1; None where one of them does not vary."""
    one, two = ranks(first), ranks(second)
    if len(one) < 2 or one.std() == 0 or two.std() == 0:
        return None
    return float(np.corrcoef(one, two)[0, 1])
