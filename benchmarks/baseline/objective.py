"""The terms of KTSE's objective as the paper writes them: every class at the size of the image, then masked by tags."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, interpolate, relu

from baseline.refining import UNDECIDED, plain_pseudo_label
from ktse.models.cam_head import CamNetwork


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


def alignment(cam: Tensor, masked: Tensor, tags: Tensor) -> Tensor:
    """How the erased image differs from its anchor: of each class as a whole, and where nothing was erased."""
    pooled = relu(masked).mean(dim=(2, 3)) - relu(cam).mean(dim=(2, 3))
    with torch.no_grad():
        kept = (foreground(cam, tags) < 0.6).float()
    appeared = relu(masked * kept - cam * kept - 0.05).mean(dim=(2, 3))
    return ((pooled.abs() + appeared) * tags).mean()


def whole(
    network: CamNetwork, image: Tensor, tags: Tensor, paired: Tensor, paired_tags: Tensor, colours: Tensor
) -> Tensor:
    """All terms of a step, of anchors and pairs that are stitched below them: all images are held until the end."""
    count = len(paired)
    scores, other = network.scores(image), network.scores(paired)
    below = torch.cat([image[:count], paired], dim=2)
    stitched = network.scores(below)
    masked = network.scores(erased(image, scores[:, 1:], tags))
    label = plain_pseudo_label(scores[:, 1:], colours[: len(image)], tags)
    second = plain_pseudo_label(other[:, 1:], colours[len(image) :], paired_tags)
    joined = torch.cat([scores[:count], other], dim=2)[:, 1:]
    both = torch.maximum(tags[:count], paired_tags)
    loss = binary_cross_entropy_with_logits(network.head.classify(scores[:, 1:]), tags)
    loss = loss + (relu(joined - stitched[:, 1:] - 0.05).mean(dim=(2, 3)) * both).mean()
    loss = loss + segmentation(scores, label, tags.sum(dim=1) == 1) + 0.005 * gap(scores, tags, image.shape[2:])
    everyone = torch.ones(count, dtype=torch.bool)
    loss = loss + segmentation(stitched, torch.cat([label[:count], second], dim=1), everyone)
    return loss + alignment(scores[:, 1:], masked[:, 1:], tags)
