"""What each pixel is to be, how much that is believed, and the loss that follows."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

DOUBTFUL, TRUSTED, CERTAIN = 0, 1, 2
"""How far a pixel's label is to be believed: least; most, among those that were computed; said by a person."""

LEAST = 1 / 510
"""Half of a step of the scores as they are stored: a stored 0 or 255 is not taken for certainty."""

PRESENT = 0.005
"""Share of the labelled pixels above which a class is present; one that has fewer is neither present nor absent."""

SPEAKING = 0.01
"""Share of the pixels, those surest of a class, that say whether it is present."""

CERTAINLY = 0.9999
"""Probability from which a pixel is not asked to be surer."""

STEP = 4
"""Presence is taken from every so many pixels in both directions: scores are smooth, and ranking them is slow."""


def soft_targets(scores: Tensor, threshold: float) -> Tensor:
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


def pixel_loss(logits: Tensor, label: Tensor, ignored: int, keys: Tensor, target: Tensor) -> Tensor:
    """Cross entropy of each pixel, 0 where it is ignored.

    Args:
        logits: (B, L, H, W) float.
        label: (B, H, W) int64, `ignored` where nothing is to be learned.
        ignored: that label.
        keys: (B, K) int64, the label of each plane of `target`; anything for planes of zeros.
        target: (B, K, H, W) float, probabilities; with K = 0 the labels are the target.

    Returns:
        (B, H, W) float.
    """
    if target.shape[1] == 0:
        return cross_entropy(logits, label, ignore_index=ignored, reduction="none")
    chosen = logits.log_softmax(dim=1)[torch.arange(len(keys), device=keys.device)[:, None], keys]
    return -(target * chosen).sum(dim=1) * (label != ignored)


def pixel_weights(label: Tensor, trust: Tensor, ignored: int, doubtful: float) -> Tensor:
    """What each pixel counts.

    Args:
        label: (B, H, W) int64.
        trust: (B, H, W) integer: DOUBTFUL, TRUSTED, CERTAIN, or more outside of the image.
        ignored: the label of pixels that count nothing.
        doubtful: weight of a doubtful pixel.

    Returns:
        (B, H, W) float32.
    """
    return (label != ignored).float() * torch.where(trust == DOUBTFUL, doubtful, 1.0)


def weighted_mean(loss: Tensor, pixels: Tensor, images: Tensor) -> Tensor:
    """Mean over the pixels that count, each image's share then multiplied by its weight; 0 if none counts.

    Images' weights are 1 on average over the data set, so they are left out of the divisor: a batch of doubtful masks
    then moves the network less, also if it is a batch of one.

    Args:
        loss: (B, H, W) float.
        pixels: (B, H, W) float, weight of each pixel.
        images: (B,) float, weight of each image.

    Returns:
        scalar.
    """
    return ((loss * pixels).sum(dim=(1, 2)) * images).sum() / pixels.sum().clamp(min=1)


def presence_loss(logits: Tensor, label: Tensor, ignored: int) -> Tensor:
    """Whether an image shows a class at all, asked of the pixels that are surest of it.

    The cross entropy of pixels hardly minds a few of the wrong class, which are yet an object too many or too few. Here
    a class's log-odds, averaged over the one per cent of the pixels where they are highest, meet what the labels say.
    The sum over the classes is divided by one more than there are present, so that its size does not depend on their
    number.

    Args:
        logits: (B, L, H, W) float, background first.
        label: (B, H, W) int64.
        ignored: the label of pixels that say nothing about presence.

    Returns:
        (B,) float, 0 for an image without labelled pixels.
    """
    logits, label = logits[..., ::STEP, ::STEP].float(), label[:, ::STEP, ::STEP].flatten(1)
    log = logits.log_softmax(dim=1)[:, 1:].flatten(2)
    odds = log - torch.log1p(-log.exp().clamp(max=CERTAINLY))
    odds = odds.masked_fill((label == ignored)[:, None], -math.log(CERTAINLY / (1 - CERTAINLY)))
    score = odds.topk(max(1, int(SPEAKING * odds.shape[2])), dim=2).values.mean(dim=2)
    pixels = torch.stack([(label == key + 1).sum(dim=1) for key in range(score.shape[1])], dim=1)
    labelled = (label != ignored).sum(dim=1, keepdim=True)
    present = pixels > PRESENT * labelled
    known = (present | (pixels == 0)) & (labelled > 0)
    loss = binary_cross_entropy_with_logits(score, present.float(), reduction="none") * known
    return loss.sum(dim=1) / (1 + present.sum(dim=1))
