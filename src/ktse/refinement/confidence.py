"""Which masks, and which pixels of a mask, to trust."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


def margins(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The best label of each pixel, and how much better it is than the second best.

    Args:
        scores: (L, H, W) float, one plane a label, background included.

    Returns:
        (H, W) uint16 and (H, W) of the scores' type; infinite if there is just one label.
    """
    label = scores.argmax(axis=0).astype(np.uint16)
    if len(scores) < 2:
        return label, np.full(label.shape, np.inf, dtype=scores.dtype)
    second, best = np.partition(scores, -2, axis=0)[-2:]
    return label, best - second


def confident_half(label: np.ndarray, margin: np.ndarray) -> np.ndarray:
    """Of each label's pixels, the half with the largest margin, as published.

    Args:
        label: (H, W) integer.
        margin: (H, W) float, see `margins`.

    Returns:
        (H, W) bool; of an odd number of pixels the smaller half, of equal margins the first; all of them if there is
        just one label to choose from.
    """
    trusted = np.isposinf(margin)
    for number in np.unique(label[~trusted]):
        chosen = label == number
        values = margin[chosen]
        count = len(values) // 2
        limit = np.partition(values, -count)[-count] if count else np.inf
        kept = values > limit
        kept[np.flatnonzero(values == limit)[: count - int(kept.sum())]] = True
        trusted[chosen] = kept
    return trusted


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


class Signs(NamedTuple):
    """What is known about a mask without truth.

    Attributes:
        tags: number of tags.
        logit: their mean class score.
        contrast: of the image along the mask's boundary, mean (boundary_contrast).
        separation: mean of each pixel's largest score inside the mask, less that outside.
        smallest: share of the image, 0..1, that the tag with the fewest pixels has.
        foreground: share of the image, 0..1, that all have.
    """

    tags: int
    logit: float
    contrast: float
    separation: float
    smallest: float
    foreground: float


def image_confidence(signs: Sequence[Signs]) -> np.ndarray:
    """Which masks are likely to be good, compared with the others of the same data set; no truth is used.

    A mask is likely good that ends at edges, stands out in the scores, holds some of every tag, has few classes to mix
    up, is small (what spreads, errs), and whose tags the network sees. Each sign ranks the images; the mean of the
    ranks is the confidence.

    Returns:
        (N,) float64 in 0..1.
    """
    if not signs:
        return np.zeros(0)
    rising = [(-one.tags, one.logit, one.contrast, one.separation, one.smallest, -one.foreground) for one in signs]
    mean: np.ndarray = np.mean([ranks(column) for column in np.array(rising).T], axis=0)
    return mean


def rank_correlation(first: np.ndarray, second: np.ndarray) -> float | None:
    """Spearman's rank correlation of (N,) values, -1..1; None where one of them does not vary."""
    one, two = ranks(first), ranks(second)
    if len(one) < 2 or one.std() == 0 or two.std() == 0:
        return None
    return float(np.corrcoef(one, two)[0, 1])
