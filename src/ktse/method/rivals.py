"""The rivals of the paper's ablations: other guidance of the erased image (ACoL, AEFT), and CutMix in SIE's place.

Each is an ordinary term or choice of the objective, so that everything else is shared. Sources:
ACoL: Adversarial Complementary Learning, Zhang et al., CVPR 2018.
AEFT: Adversarial Erasing Framework via Triplet, Yoon et al., ECCV 2022.
CutMix: Yun et al., ICCV 2019; as an augmentation of tagged images in the manner of CDA, Su et al., ICCV 2021.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, relu

from ktse.method.alignment import global_alignment
from ktse.method.erasing import EPSILON, max_normalise


def hard_classification(logits: Tensor, tags: Tensor) -> Tensor:
    """ACoL's guidance: the erased image must be classified by what is left of it.

    ACoL erases features and has a classifier for each branch; here, as in the paper's comparison, the image is erased
    and both branches share the network.

    Args:
        logits: (B, C) class scores of the erased images.
        tags: (B, C) 0 or 1.

    Returns:
        scalar, 0 or more.
    """
    return binary_cross_entropy_with_logits(logits, tags)


def attraction(erased: Tensor, anchor: Tensor, tags: Tensor, channels: Literal["all", "tagged"] = "all") -> Tensor:
    """AEFT's triplet, first half: the erased image's embedding lies near its anchor's.

    An image's embedding is the spatial mean of its gated pyramid's positive part, for each tagged class; the distance
    is the mean absolute difference, as in AEFT's release. Unlike AEFT, which also dims what it does not erase, the
    erased image is that of MGA, so that only the guidance differs.

    Args:
        erased: (B, C, h, w) float, signed gated pyramid of the erased image.
        anchor: the same of its anchor.
        tags: (B, C) 0 or 1.
        channels: see mean_over_classes.

    Returns:
        scalar, 0 or more.
    """
    return global_alignment(erased, anchor, tags, channels)


def repulsion(pyramid: Tensor, cam: Tensor, tags: Tensor, below: float = 0.2, margin: float = 0.5) -> Tensor:
    """AEFT's triplet, second half: the anchor's weak part lies far from an image that shares no tag with it.

    A CAM that has spread over the whole object leaves nothing of it in the weak part, so that this term holds back
    what the attraction spreads. For each tagged class, the embedding of the anchor is the mean of its gated pyramid,
    divided by its largest absolute value, over the pixels whose normalised activation is below `below`; that of the
    other image is the same over all its pixels. An anchor is held against a random one of the batch's images that
    share no tag with it, and counts while the squared distance is below the margin. (AEFT's release drops the term
    where no more than four anchors count.)

    Args:
        pyramid: (B, C, h, w) float, signed gated pyramid of the anchors.
        cam: (B, C, h, w) float, their signed CAM.
        tags: (B, C) 0 or 1.
        below: normalised activation that ends the weak part, 0..1.
        margin: squared distance that is far enough.

    Returns:
        scalar, 0 to margin; 0 if no anchor counts.
    """
    apart = ((tags @ tags.T) == 0) & (tags.sum(dim=1, keepdim=True) > 0)
    chance = torch.rand(apart.shape).to(tags.device).masked_fill(~apart, -1.0)
    other = chance.argmax(dim=1)
    with torch.no_grad():
        activation = max_normalise(cam)
    scaled = pyramid / (pyramid.abs().amax(dim=(-2, -1), keepdim=True) + EPSILON)
    weak_part = (activation < below).to(scaled.dtype)
    weak = (scaled * weak_part).sum(dim=(-2, -1)) / (weak_part.sum(dim=(-2, -1)) + EPSILON) * tags
    whole = scaled.mean(dim=(-2, -1)) * tags
    distance = (weak - whole[other]).square().sum(dim=1)
    counted = (apart.any(dim=1) & (distance < margin)).to(distance.dtype)
    return (relu(margin - distance) * counted).sum() / counted.sum().clamp(min=1)


def cutmix(image: Tensor, tags: Tensor, other: Tensor, other_tags: Tensor) -> tuple[Tensor, Tensor]:
    """Paste a rectangle of one image into another at the same place, and mix the tags by area.

    The rectangle's area is uniform in 0..1 of the image's, its middle uniform in the image, its overhang cut off.

    Args:
        image: (3, H, W), the image that is pasted into.
        tags: (C,) float, 0 or 1.
        other: (3, H, W), the image that the rectangle is taken from.
        other_tags: (C,) float, 0 or 1.

    Returns:
        (3, H, W) the mixed image and (C,) float in 0..1: for each class, the share of the mixed image that comes from
        an image with that tag.
    """
    height, width = image.shape[-2:]
    side = float(torch.rand(()).sqrt())
    row, column = int(torch.randint(height, ())), int(torch.randint(width, ()))
    half_height, half_width = round(height * side / 2), round(width * side / 2)
    top, bottom = max(0, row - half_height), min(height, row + half_height)
    left, right = max(0, column - half_width), min(width, column + half_width)
    mixed = image.clone()
    mixed[:, top:bottom, left:right] = other[:, top:bottom, left:right]
    share = (bottom - top) * (right - left) / (height * width)
    return mixed, tags * (1 - share) + other_tags * share
