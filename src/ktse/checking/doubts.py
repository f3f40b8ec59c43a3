"""Which tags are probably wrong: each tag against what all other images say about it. Numbers in, numbers out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

PENALTIES = tuple(10.0**power for power in range(-4, 3))
"""Ridge penalties that are tried, relative to the mean squared feature."""


@dataclass(frozen=True)
class Doubts:
    """How doubtful every tag is, and every missing one.

    Attributes:
        score: (N, C) float; 0: undecided between tagged and untagged; 1: looks like the average image on the other
            side. NaN for a class that all images or none have.
        wrong: (N, C) bool, at least as far on the other side as the average image there.
    """

    score: np.ndarray
    wrong: np.ndarray

    def ranking(self) -> np.ndarray:
        """(K, 2) image and class of every score that is a number, the most doubtful first."""
        order = np.argsort(-np.nan_to_num(self.score, nan=-np.inf), axis=None, kind="stable")
        places = np.stack(np.unravel_index(order, self.score.shape), axis=1)
        kept: np.ndarray = places[~np.isnan(self.score[places[:, 0], places[:, 1]])]
        return kept


def find_doubts(features: np.ndarray, tags: np.ndarray) -> Doubts:
    """Score every tag by a linear classifier that has not seen it, with the idea of confident learning.

    The classifier is ridge regression onto tagged and untagged. Its leave-one-out answers have a closed form, so that
    every image is judged by a classifier trained on all others, for the price of one. The squared loss keeps a wrong
    tag from pulling the classifier far, and random errors only shrink its scores, which the next step undoes: as in
    confident learning (Northcutt et al., 2021), each class has thresholds of its own, the mean scores of its tagged
    and of its untagged images, and a tag is wrong if it lies beyond the mean of the other side.

    Args:
        features: (N, D) float, from a network that was not trained on these tags.
        tags: (N, C) bool.
    """
    scores = leave_one_out(features, tags)
    doubt = np.full(tags.shape, np.nan)
    for index in range(tags.shape[1]):
        tagged = tags[:, index]
        if tagged.any() and not tagged.all():
            high, low = scores[tagged, index].mean(), scores[~tagged, index].mean()
            middle, half = (high + low) / 2, max(abs(high - low) / 2, 1e-9)
            doubt[:, index] = np.where(tagged, middle - scores[:, index], scores[:, index] - middle) / half
    return Doubts(doubt, doubt >= 1)


def leave_one_out(features: np.ndarray, tags: np.ndarray) -> np.ndarray:
    """Score of every class for every image by ridge regression on all other images.

    The penalty of each class is the one with the smallest leave-one-out error.

    Args:
        features: (N, D) float.
        tags: (N, C) bool.

    Returns:
        (N, C) float64, about -1 for untagged and 1 for tagged.
    """
    x = features - features.mean(axis=0)
    x = x / np.maximum(x.std(axis=0), 1e-6)
    y = np.where(tags, 1.0, -1.0)
    mean = y.mean(axis=0)
    values, vectors = np.linalg.eigh((x.T @ x).astype(np.float64))
    rotated = x @ vectors.astype(x.dtype)
    target = rotated.T.astype(np.float64) @ (y - mean)
    squared = rotated**2
    best, error = np.zeros(y.shape), np.full(y.shape[1], np.inf)
    for penalty in PENALTIES:
        inverse = 1 / (np.maximum(values, 0) + penalty * len(x))
        fitted = mean + rotated @ (inverse[:, None] * target)
        # The share of an image's own tag in its score; the mean takes 1/N of it.
        own = np.minimum(squared @ inverse + 1 / len(x), 1 - 1e-6)
        left_out = y - (y - fitted) / (1 - own)[:, None]
        missed = ((left_out - y) ** 2).mean(axis=0)
        better = missed < error
        best[:, better], error[better] = left_out[:, better], missed[better]
    return best
