"""SSR: self-supervised regularisation by a refined pseudo-label (paper, section 3.3)."""

from __future__ import annotations

from functools import partial
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import interpolate, relu

from ktse.method.cross_entropy import enlarged_cross_entropy
from ktse.method.erasing import EPSILON, tagged_channels, take_channels
from ktse.refinement.par import GROWTH, pixel_adaptive_refinement

UNDECIDED = -1  # no class has this number, however many classes there are


@torch.no_grad()
def pseudo_label(
    cam: Tensor,
    image: Tensor,
    tags: Tensor,
    high: float = 0.3,
    low: float = 0.15,
    *,
    iterations: int = 10,
    empty_cam: Literal["undecided", "published"] = "undecided",
) -> Tensor:
    """Label map from a CAM, with two background scores and PAR on the image at half size.

    Args:
        cam: (B, C, h, w) float, signed.
        image: (B, 3, H, W) float in 0..1.
        tags: (B, C) 0 or 1.
        high: background score of the map that decides what is foreground.
        low: background score of the map that decides what is background.
        iterations: iterations of PAR.
        empty_cam: a tagged class without positive activation is left out of the choice ("undecided"), or turned
            positive by its negative maximum ("published").

    Returns:
        (B, H, W) int64: class 1..C where the map with the high background score says so, 0 where both maps say
        background, UNDECIDED elsewhere and where every tagged class of an image is left out.
    """
    if cam.device.type == "cpu" and len(cam) > 1:
        # One image at a time stays in the processor's cache, and has no more maps than tags: twice as fast.
        alone = partial(pseudo_label, high=high, low=low, iterations=iterations, empty_cam=empty_cam)
        each = (torch.split(maps, 1) for maps in (cam, image, tags))
        return torch.cat([alone(*one) for one in zip(*each, strict=True)])
    keys, present = tagged_channels(tags)
    size = image.shape[-2:]
    half = (max(1, size[0] // 2), max(1, size[1] // 2))
    packed = take_channels(cam.float(), keys)
    packed = relu(packed) if empty_cam == "undecided" else packed
    largest = packed.amax(dim=(-2, -1), keepdim=True)
    present = present & (largest[:, :, 0, 0] > 0) if empty_cam == "undecided" else present
    packed = interpolate(packed / (largest + EPSILON), size, mode="bilinear", align_corners=False)
    packed = interpolate(packed, half, mode="bilinear", align_corners=False)
    packed = packed.masked_fill(~present[:, :, None, None], -torch.inf)
    planes = (torch.full_like(packed[:, :1], background) for background in (high, low))
    scores = [torch.cat([plane, packed], dim=1).softmax(dim=1)[:, 1:] for plane in planes]
    small = interpolate(image.float(), half, mode="bilinear", align_corners=False)
    refined = pixel_adaptive_refinement(small, torch.cat(scores, dim=1), iterations)
    refined = interpolate(refined, size, mode="bilinear", align_corners=False)
    # A softmax sums to 1 and PAR is linear, so that the background is what the classes leave.
    for_high, for_low = refined.chunk(2, dim=1)
    (best_high, winner), best_low = for_high.max(dim=1), for_low.amax(dim=1)
    total = GROWTH**iterations
    foreground, perhaps = best_high > total - for_high.sum(dim=1), best_low > total - for_low.sum(dim=1)
    label = (keys + 1).gather(1, winner.flatten(1)).view_as(winner)
    label[~foreground] = 0
    label[~foreground & perhaps] = UNDECIDED
    label[(tags.sum(dim=1) > 0) & ~present.any(dim=1)] = UNDECIDED
    return label


class SegmentationTerms(NamedTuple):
    """Background and foreground cross entropy, scalars."""

    background: Tensor
    foreground: Tensor


def segmentation_terms(scores: Tensor, label: Tensor, teaches_foreground: Tensor) -> SegmentationTerms:
    """L_ce, its two parts apart. A part without a valid pixel is exactly 0.

    Args:
        scores: (B, C+1, h, w) float, signed; their positive part is brought to the label's size.
        label: (B, H, W) int64, 0..C or UNDECIDED.
        teaches_foreground: (B,) bool, images whose foreground pixels count.
    """
    loss = enlarged_cross_entropy(scores, label)
    background = label == 0
    foreground = (label > 0) & (label != UNDECIDED) & teaches_foreground[:, None, None]
    return SegmentationTerms(*(_weighted_mean(loss, part.to(loss.dtype)) for part in (background, foreground)))


def inter_class_term(
    scores: Tensor, tags: Tensor, foreground: Tensor, above: float = 0.2, classes: Literal["all", "tagged"] = "tagged"
) -> Tensor:
    """L_inter: gap between the two strongest classes on the foreground of images with several tags.

    Args:
        scores: (B, C+1, h, w) float, 0 or more; brought to the foreground's size.
        tags: (B, C) 0 or 1.
        foreground: (B, 1, H, W) float in 0..1, foreground score.
        above: foreground score from which a pixel counts.
        classes: compare all classes (published) or the tagged ones.

    Returns:
        scalar, 0 or less; the strongest class carries no gradient; 0 if no image has several tags.
    """
    if scores.shape[1] <= 2:
        return scores.sum() * 0
    several = tags.sum(dim=1) > 1
    candidates = scores[:, 1:]
    if classes == "tagged":
        keys, present = tagged_channels(tags)
        candidates = take_channels(candidates, keys) * present[:, :, None, None]
    candidates = interpolate(candidates, foreground.shape[-2:], mode="bilinear", align_corners=False)
    first = candidates.amax(dim=1, keepdim=True)
    second = torch.where(candidates == first, torch.zeros_like(candidates), candidates).max(dim=1, keepdim=True).values
    counted = ((foreground > above) & several[:, None, None, None]).to(scores.dtype)
    return ((second - first.detach()) * counted).sum() / (counted.sum() + EPSILON)


def _weighted_mean(value: Tensor, weight: Tensor) -> Tensor:
    total = weight.sum()
    return (value * weight).sum() / torch.where(total > 0, total, 1)
