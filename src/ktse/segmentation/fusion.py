"""The mask of a tagged image and what the segmentation model says about it, as one label map."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ktse.prediction.predictor import decide

LEAST = 1 / 510
"""Half of a step of the scores as they are stored: a stored 0 or 255 is not taken for certainty."""


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
    mask = probabilities_of(torch.from_numpy(scores), threshold)
    model = torch.from_numpy(probabilities[labels]).float().clamp(LEAST, 1 - LEAST)
    best, _ = decide(((1 - weight) * mask.log() + weight * model.log()).numpy())
    return np.asarray(labels[best])


def probabilities_of(scores: Tensor, threshold: float) -> Tensor:
    """Probabilities of background and classes that follow from scores and the threshold that cuts them.

    Each plane, background having the threshold for its score, gets odds s / (1 - s); probabilities are their shares.
    For one class this is the logistic of logit(s) - logit(threshold): certain background at score 0, certain object at
    1, undecided exactly at the threshold, wherever that is, and without a further number to choose. The likeliest
    label is the hard one, since odds rise with scores.

    Args:
        scores: (K, H, W) float in 0..1; K may be 0. Values outside are clipped.
        threshold: background threshold, 0..1.

    Returns:
        (K+1, H, W) float32, background first, 1 in sum.
    """
    planes = torch.cat([scores.new_full((1, *scores.shape[1:]), threshold), scores]).float().clamp(LEAST, 1 - LEAST)
    odds = planes / (1 - planes)
    return odds / odds.sum(dim=0, keepdim=True)
