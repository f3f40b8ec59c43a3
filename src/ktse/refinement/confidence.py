"""Which pixels of a mask to trust."""

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
