"""Normalised activation, foreground score, and the two ways to erase: stitching a second image on, and masking.

Shapes: B images, C classes, H x W pixels of the image, h x w of the CAM. A CAM is signed (before ReLU).
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import interpolate, relu

EPSILON = 1e-5

Size = torch.Size | tuple[int, int]

Channels = Literal["all", "tagged"]
"""What an average over classes runs over, see mean_over_classes."""


def max_normalise(cam: Tensor) -> Tensor:
    """Bring each class of a CAM to 0..1 by its smallest and largest positive activation (paper, eq. 3).

    Args:
        cam: (B, C, h, w) float, signed.

    Returns:
        (B, C, h, w) float in 0..1; all zero for a class without positive activation.
    """
    positive = relu(cam)
    largest = positive.amax(dim=(-2, -1), keepdim=True)
    smallest = positive.amin(dim=(-2, -1), keepdim=True)
    return relu(positive - smallest - EPSILON) / (largest - smallest + EPSILON)


def tagged_channels(tags: Tensor) -> tuple[Tensor, Tensor]:
    """Pack the tagged classes of each image to the front, so that work does not grow with all classes.

    Args:
        tags: (B, C) 0 or 1.

    Returns:
        keys (B, K) class indices 0..C-1 and present (B, K) bool, K the largest number of tags (at least 1).
    """
    count = max(1, int(tags.sum(dim=1).max())) if tags.numel() else 1
    present, keys = tags.sort(dim=1, descending=True, stable=True)
    return keys[:, :count], present[:, :count] > 0


def take_channels(maps: Tensor, keys: Tensor) -> Tensor:
    """The channels (B, K) of each image's maps: (B, C, h, w) to (B, K, h, w)."""
    return maps.gather(1, keys[:, :, None, None].expand(-1, -1, *maps.shape[-2:]))


def foreground_score(cam: Tensor, tags: Tensor, size: Size | None = None) -> Tensor:
    """Largest normalised activation over the tagged classes of each image.

    Args:
        cam: (B, C, h, w) float, signed.
        tags: (B, C) 0 or 1.
        size: height and width to which the positive part of the CAM is brought before (bilinear); None: its own.

    Returns:
        (B, 1, h, w) float in 0..1, or of that size.
    """
    keys, present = tagged_channels(tags)
    positive = relu(take_channels(cam, keys))
    large = positive if size is None else interpolate(positive, size, mode="bilinear", align_corners=False)
    return (max_normalise(large) * present[:, :, None, None]).amax(dim=1, keepdim=True)


def keep_mask(cam: Tensor, tags: Tensor, erase_above: float, size: Size | None = None) -> Tensor:
    """Pixels that stay when the foreground is erased: 1 where the foreground score is below the threshold.

    Returns:
        (B, 1, h, w) float, 0 or 1, or of the size to which the CAM is brought before.
    """
    return (foreground_score(cam, tags, size) < erase_above).to(cam.dtype)


def erase(image: Tensor, cam: Tensor, tags: Tensor, erase_above: float) -> Tensor:
    """Set the foreground of normalised images to 0, the mean colour (paper, section 3.4).

    Args:
        image: (B, 3, H, W) float, normalised.
        cam: (B, C, h, w) float, signed.
        tags: (B, C) 0 or 1.
        erase_above: foreground score in 0..1 from which a pixel is erased.

    Returns:
        (B, 3, H, W) the erased images.
    """
    return image * keep_mask(cam, tags, erase_above, image.shape[-2:])


def stitch(anchor: Tensor, paired: Tensor, axis: Literal["height", "width"]) -> Tensor:
    """Join two maps or images, the anchor above (or left of) its pair.

    Args:
        anchor: (B, K, H, W), comes first.
        paired: the same shape.
        axis: along which they are joined.

    Returns:
        (B, K, 2H, W) or (B, K, H, 2W).
    """
    return torch.cat([anchor, paired], dim=-2 if axis == "height" else -1)


def mean_over_classes(value: Tensor, tags: Tensor, channels: Channels) -> Tensor:
    """Average a per-class quantity, untagged classes counting as 0.

    With "all" the average runs over every class, as published, so that the result shrinks as classes are added.
    With "tagged" it runs over the tagged classes alone and does not depend on their number.

    Args:
        value: (B, C) or (B, C, h, w).
        tags: (B, C) 0 or 1.
        channels: what the average runs over.

    Returns:
        scalar; 0 if no class is tagged.
    """
    per_class = value.flatten(2).mean(dim=2) if value.dim() > 2 else value
    total = (per_class * tags).sum()
    return total / per_class.numel() if channels == "all" else total / tags.sum().clamp(min=1)
