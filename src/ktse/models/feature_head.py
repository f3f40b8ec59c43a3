"""A light segmentation network: a small head on three levels of a frozen backbone.

Where the backbone stays as it is, the head learns from features that were computed once. The finest level says where
borders are, the others what is there.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout2d, interpolate, relu

from ktse.models.backbone import Backbone, join

HEAD = "head"
"""Name of this architecture in the recipe."""

LEVELS = 3
"""Levels of the backbone that the head looks at, counted from the last."""

OUTPUT_STRIDE = 16
"""Pixels of the image per pixel of the last level."""

FINER = 4
"""Pixels, along each side, of the label map that the head learns from, per pixel of the last level."""

WIDTH, NARROW = 128, 64
"""Channels where the head decides what is there, and where it decides on borders."""

REACH = 5
"""Side of the convolutions that look around, in pixels of the last level."""

DROPOUT = 0.2
"""Share of the features that are left out in training."""


class Around(nn.Module):
    """What is around a pixel, added to what is there: a depthwise convolution and a pointwise one."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.look = nn.Conv2d(channels, channels, REACH, padding=REACH // 2, groups=channels, bias=False)
        self.mix = nn.Conv2d(channels, channels, 1)

    def forward(self, features: Tensor) -> Tensor:
        """(B, channels, h, w) to the same."""
        found: Tensor = features + relu(self.mix(self.look(features)))
        return found


class FeatureHead(nn.Module):
    """Label scores from levels of a backbone.

    Args:
        channels: those of the finest level, and those of all others together.
        outputs: number of labels.
    """

    def __init__(self, channels: tuple[int, int], outputs: int) -> None:
        super().__init__()
        self.coarse = nn.Conv2d(channels[1], WIDTH, 1)
        self.around = nn.Sequential(Around(WIDTH), Around(WIDTH))
        self.narrow = nn.Conv2d(WIDTH, NARROW, 1)
        self.fine = nn.Conv2d(channels[0], NARROW // 2, 1)
        self.join = nn.Conv2d(NARROW + NARROW // 2, NARROW, 1)
        self.score = nn.Conv2d(NARROW, outputs, 1)

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        """Maps (B, K, h, w), the finest first, to (B, outputs, H, W) at the finest one's size."""
        fine, *others = levels
        what = self.narrow(self.around(relu(self.coarse(dropout2d(join(others), DROPOUT, self.training)))))
        what = interpolate(what, fine.shape[-2:], mode="bilinear", align_corners=False)
        scores: Tensor = self.score(relu(self.join(torch.cat([what, relu(self.fine(fine))], dim=1))))
        return scores


class HeadOnBackbone(nn.Module):
    """The head with its backbone, for images.

    Args:
        encoder: with LEVELS levels; it stays as it is.
        outputs: number of labels.
    """

    def __init__(self, encoder: Backbone, outputs: int) -> None:
        super().__init__()
        self.encoder = encoder
        sizes = encoder.level_channels
        self.head = FeatureHead((sizes[0], sum(sizes[1:])), outputs)

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) normalised images to (B, outputs, H, W) scores."""
        return interpolate(self.of(self.encoder.levels_of(image)), image.shape[-2:], mode="bilinear")

    def of(self, levels: Sequence[Tensor]) -> Tensor:
        """Levels to scores at FINER times the last one's size."""
        size = [FINER * side for side in levels[-1].shape[-2:]]
        return interpolate(self.head(levels), size, mode="bilinear", align_corners=False)
