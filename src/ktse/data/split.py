"""Which images are kept out of all training where nothing else says so."""

from __future__ import annotations

import numpy as np

LEFT = 2
"""Training images that each class keeps, whatever the share."""


def kept_out(tags: np.ndarray, share: float) -> np.ndarray:
    """Choose images, the same ones for every random seed; no class falls below LEFT training images.

    Args:
        tags: (N, C) bool.
        share: of the images, 0..1, rounded down to whole images.

    Returns:
        (N,) bool.
    """
    chosen = np.zeros(len(tags), dtype=bool)
    left, wanted = tags.sum(axis=0), int(len(tags) * share)
    for index in np.random.default_rng(0).permutation(len(tags)):
        if wanted == 0:
            break
        if (left[tags[index]] > LEFT).all():
            chosen[index] = True
            left = left - tags[index]
            wanted -= 1
    return chosen
