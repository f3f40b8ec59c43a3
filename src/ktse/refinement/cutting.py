"""From scores to label maps."""

from __future__ import annotations

import numpy as np

from ktse.files import label_type
from ktse.refinement.bands import enlarged_rows


def cut(keys: np.ndarray, scores: np.ndarray, threshold: float, classes: int) -> np.ndarray:
    """Label map from scores: the strongest class above the threshold, else background.

    Args:
        keys: (K,) class indices 0..C-1.
        scores: (K, H, W) float in 0..1; K may be 0.
        threshold: background threshold.
        classes: number of classes C.

    Returns:
        (H, W) uint8 or uint16 (see label_type).
    """
    kind = label_type(classes)
    if len(keys) == 0:
        return np.zeros(scores.shape[1:], dtype=kind)
    best = scores.max(axis=0)
    label: np.ndarray = np.where(best > threshold, keys[scores.argmax(axis=0)] + 1, 0).astype(kind)
    return label


def enlarge(scores: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Stored scores (K, h, w), uint8 or float16, as float32 in 0..1 at (height, width)."""
    return enlarged_rows(scores, size, 0, size[0])
