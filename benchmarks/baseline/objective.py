"""The terms of KTSE's objective as the paper writes them: every class at the size of the image, then masked by tags."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, interpolate, relu

from baseline.refining import UNDECIDED


def enlarge(scores: Tensor, size: torch.Size) -> Tensor:
    """The positive part of (B, K, h, w) at another size."""
    return interpolate(relu(scores), size, mode="bilinear", align_corners=False)


def foreground(cam: Tensor, tags: Tensor) -> Tensor:
    """The largest normalised activation of the tagged classes, (B, 1, H, W)."""
    positive = relu(cam)
    largest, smallest = positive.amax(dim=(2, 3), keepdim=True), positive.amin(dim=(2, 3), keepdim=True)
    normalised = relu(positive - smallest - 1e-5) / (largest - smallest + 1e-5)
    return (normalised * tags[:, :, None, None]).amax(dim=1, keepdim=True)


def segmentation(scores: Tensor, label: Tensor, teaches: Tensor) -> Tensor:
    """Cross entropy with the pseudo-label, the mean over background and a share of that over foreground."""
    loss = cross_entropy(enlarge(scores, label.shape[1:]), label, ignore_index=UNDECIDED, reduction="none")
    parts = (label == 0), (label > 0) & teaches[:, None, None]
    means = [(loss * part).sum() / part.sum().clamp(min=1) for part in parts]
    return means[0] + 0.0125 * means[1]


def gap(scores: Tensor, tags: Tensor, size: torch.Size) -> Tensor:
    """The gap between the two strongest tagged classes on the foreground of images with several tags."""
    with torch.no_grad():
        counted = (foreground(enlarge(scores[:, 1:], size), tags) > 0.2) & (tags.sum(dim=1) > 1)[:, None, None, None]
    large = enlarge(scores, size)[:, 1:] * tags[:, :, None, None]
    first = large.amax(dim=1, keepdim=True)
    second = torch.where(large == first, 0, large).amax(dim=1, keepdim=True)
    return ((second - first.detach()) * counted).sum() / (counted.sum() + 1e-5)


def erased(image: Tensor, cam: Tensor, tags: Tensor) -> Tensor:
    """The image without its foreground."""
    with torch.no_grad():
        return image * (foreground(enlarge(cam, image.shape[2:]), tags) < 0.6)
