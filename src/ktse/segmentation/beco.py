"""BECO: two networks teach each other where masks are doubtful, and learn boundaries from objects pasted by themselves.

Source: Rong et al., Boundary-Enhanced Co-Training for Weakly Supervised Semantic Segmentation, CVPR 2023; numbers and
order of the steps as in the published code, which after the warm-up takes labels and confidence of an image that
something is pasted into from the networks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, max_pool2d

DOUBTFUL, TRUSTED, CERTAIN = 0, 1, 2
"""How far a pixel's label is to be believed: least; most, among those that were computed; given by a person."""

BOUNDARY = 1
"""Pixels on each side of the edge of something pasted that belong to its boundary."""


class LabelledViews(NamedTuple):
    """A batch as the networks see it.

    Attributes:
        views: one (B, 3, H, W) for each network: the same crops in different colours.
        label: (B, H, W) int64.
        trust: (B, H, W) integer: DOUBTFUL, TRUSTED, CERTAIN; more than CERTAIN outside of the image.
        boundary: (B, H, W) bool, the edge of what was pasted.
    """

    views: tuple[Tensor, ...]
    label: Tensor
    trust: Tensor
    boundary: Tensor


def half_of_the_objects(label: Tensor, ignored: int) -> Tensor:
    """The pixels of half of an image's classes, chosen at random and rounded up; never background.

    Args:
        label: (H, W) int64.
        ignored: label that is no class.

    Returns:
        (H, W) bool, nothing where there is no class.
    """
    classes = torch.unique(label[(label != ignored) & (label > 0)]).cpu()
    chosen = classes[torch.randperm(len(classes))[: (len(classes) + 1) // 2]]
    return torch.isin(label, chosen.to(label.device))


def edge(area: Tensor, width: int) -> Tensor:
    """The pixels within `width` of the edge of an area, on both sides; the image's own border is no edge.

    Args:
        area: (B, H, W) bool.
        width: pixels.

    Returns:
        (B, H, W) bool.
    """
    inside, outside = area.float()[:, None], (~area).float()[:, None]
    grown, shrunk = (max_pool2d(part, 2 * width + 1, stride=1, padding=width)[:, 0] > 0 for part in (inside, outside))
    return grown & shrunk


def paste(
    labelled: LabelledViews, online: Tensor | None, sure: Tensor | None, ignored: int, mix: float
) -> LabelledViews:
    """Paste objects of each image's partner, half a batch away, into some of the images.

    Args:
        labelled: the batch; its boundary is not used.
        online: (B, H, W) int64, what the networks say; None during the warm-up: pasted pixels bring their mask's label.
        sure: (B, H, W) bool, where they are sure.
        ignored: label that is no class.
        mix: probability that an image gets something.

    Returns:
        the new batch. After the warm-up, labels and trust of chosen images are the networks', save those that a person
        has given, and only what the networks are sure of is pasted. Pixels outside of an image bring nothing along.
    """
    batch = len(labelled.label)
    chosen = torch.rand(batch) < mix
    if batch < 2 or not chosen.any():
        return labelled._replace(boundary=torch.zeros_like(labelled.label, dtype=torch.bool))
    label, trust = labelled.label, labelled.trust
    picked = chosen.to(label.device)[:, None, None]
    source = label
    if online is not None and sure is not None:
        open_to = picked & (trust < CERTAIN)  # neither a person's nor outside of the image
        label = torch.where(open_to, online, label)
        trust = torch.where(open_to, torch.where(sure, TRUSTED, DOUBTFUL).to(trust.dtype), trust)
        known = torch.where(trust == CERTAIN, labelled.label, torch.where(sure, online, ignored))
        source = torch.where(trust > CERTAIN, ignored, known)
    partner = torch.arange(batch).roll(batch // 2)
    pasted = torch.zeros_like(label, dtype=torch.bool)
    for place in chosen.nonzero().flatten().tolist():
        pasted[place] = half_of_the_objects(source[int(partner[place])], ignored)
    partner = partner.to(label.device)
    # A partner that nothing was pasted into keeps its own labels, but what it gives away is what was seen in it.
    given = source[partner]
    sure_of = torch.where(labelled.trust == CERTAIN, CERTAIN, TRUSTED).to(trust.dtype) if online is not None else trust
    views = tuple(torch.where(pasted[:, None], view[partner], view) for view in labelled.views)
    boundary = edge(pasted, BOUNDARY) if online is not None else torch.zeros_like(pasted)
    return LabelledViews(
        views, torch.where(pasted, given, label), torch.where(pasted, sure_of[partner], trust), boundary
    )


def co_training(
    logits: Sequence[Tensor], labelled: LabelledViews, ignored: int, boundary_weight: float
) -> dict[str, Tensor]:
    """Both networks learn the label of trusted pixels, and of the doubtful ones what the other network says.

    Args:
        logits: (B, L, H, W) of each of the two networks.
        labelled: what they have seen.
        ignored: label of pixels without one.
        boundary_weight: what trusted pixels of the boundary count beyond 1.

    Returns:
        "cross_entropy" and "agreement", scalars: means over all pixels inside the images, summed over the networks; 0
        where no pixel counts.
    """
    inside = (labelled.trust <= CERTAIN).float()
    pixels = inside.sum().clamp(min=1)
    doubtful = (labelled.trust == DOUBTFUL).float()
    trusted = inside * (labelled.trust != DOUBTFUL) * (1 + boundary_weight * labelled.boundary)
    said = [score.argmax(dim=1) for score in logits]
    learned = [cross_entropy(score, labelled.label, ignore_index=ignored, reduction="none") for score in logits]
    agreed = [cross_entropy(score, other, reduction="none") for score, other in zip(logits, said[::-1], strict=True)]
    return {
        "cross_entropy": torch.stack([(loss * trusted).sum() for loss in learned]).sum() / pixels,
        "agreement": torch.stack([(loss * doubtful).sum() for loss in agreed]).sum() / pixels,
    }
