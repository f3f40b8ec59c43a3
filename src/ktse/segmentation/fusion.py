"""The mask of a tagged image and what the segmentation model says about it, as one label map."""

from __future__ import annotations

import numpy as np
import torch

from ktse.prediction.predictor import decide
from ktse.segmentation.targets import LEAST, soft_targets


def fuse(
    keys: np.ndarray, scores: np.ndarray, threshold: float, probabilities: np.ndarray, weight: float
) -> np.ndarray:
    """The likeliest label by two witnesses, among background and the classes that the image is tagged with.

    The mask knows the tags and one image; the model does not know the tags and has seen all images. Each gives
    probabilities, the mask those that follow from its scores and threshold; they are multiplied, with the weights as
    exponents (a logarithmic opinion pool). Certainty of either is bounded alike, so that neither outvotes the other
    by a rounded zero.

    Args:
        keys: (K,) indices 0..C-1 of the tagged classes.
        scores: (K, H, W) float in 0..1, what the mask was cut from; K may be 0.
        threshold: where it was cut, 0..1.
        probabilities: (C+1, H, W) float, the model's, background first.
        weight: of the model, 0..1; at 0 the result is the mask.

    Returns:
        (H, W) int64 labels, 0 background, k class k.
    """
    labels = np.concatenate([[0], keys.astype(np.int64) + 1])
    mask = soft_targets(torch.from_numpy(scores), threshold)
    model = torch.from_numpy(probabilities[labels]).float().clamp(LEAST, 1 - LEAST)
    best, _ = decide(((1 - weight) * mask.log() + weight * model.log()).numpy())
    return np.asarray(labels[best])
