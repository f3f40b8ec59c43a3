"""The CAM network: a backbone, a head of C+1 channels without fully connected layer, class scores by pooling."""

from __future__ import annotations

import math
from typing import Any, Literal, cast

import torch
from torch import Tensor, distributed, nn
from torch.nn.functional import adaptive_avg_pool2d, dropout2d, interpolate, relu

LEVELS = (2, 4, 8, 16)

QUANTILE_VALUES = 1 << 23
"""Values whose quantiles torch is asked for at once: it refuses more than twice as many, as a thousand classes have."""

LEVEL_RATE = 0.02
"""Share of the newest batch in the level of a class, after the first batches."""


class Gate(nn.Module):
    """Weighs two maps per pixel, their positive and negative parts apart.

    Args:
        classes: number of classes C.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.positive = nn.Conv2d(2 * classes, 2, 3, padding=1, bias=False)
        self.negative = nn.Conv2d(2 * classes, 2, 3, padding=1, bias=False)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Return the weighted mean of two (B, C, h, w) maps."""
        positive = self._weigh(self.positive, relu(first), relu(second))
        negative = self._weigh(self.negative, relu(-first), relu(-second))
        return positive - negative

    @staticmethod
    def _weigh(conv: nn.Module, first: Tensor, second: Tensor) -> Tensor:
        weight: Tensor = conv(torch.cat([first, second], dim=1)).sigmoid()
        return (first * weight[:, :1] + second * weight[:, 1:]) / 2


class CamHead(nn.Module):
    """Features to C+1 score maps (channel 0 is background), and class scores by pooling.

    Args:
        channels: channels of the features.
        classes: number of classes C.
        hidden: channels in between.
        pooling: "gpp" (gated pyramid pooling) or "lse" (log of the mean exponential, and a bias for each class).
        signed: whether the features' sign carries meaning; otherwise they go through a ReLU first, as published.
        dropout: share of the feature channels that are left out in training, 0..1.
    """

    def __init__(
        self,
        channels: int,
        classes: int,
        hidden: int = 256,
        pooling: Literal["gpp", "lse"] = "gpp",
        *,
        signed: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.signed, self.dropout = signed, dropout
        self.reduce = nn.Conv2d(channels, hidden, 1, bias=False)
        self.score = nn.Conv2d(hidden, classes + 1, 1, bias=False)
        self.gates = nn.ModuleList(Gate(classes) for _ in LEVELS[1:] if pooling == "gpp")
        self.register_buffer("level", torch.zeros(classes))
        self.register_buffer("level_steps", torch.zeros(()))
        self.level: Tensor
        self.level_steps: Tensor
        self.bias = nn.Parameter(torch.zeros(classes)) if pooling == "lse" else None
        for conv in (self.reduce, self.score):
            nn.init.xavier_uniform_(conv.weight)

    def forward(self, features: Tensor) -> Tensor:
        """Score maps, signed: (B, channels, h, w) to (B, C+1, h, w)."""
        features = dropout2d(features if self.signed else relu(features), self.dropout, self.training)
        scores: Tensor = self.score(relu(self.reduce(features)))
        return scores

    @torch.no_grad()
    def learn_level(self, cam: Tensor, tags: Tensor, quantile: float, inside: Tensor | None = None) -> None:
        """Learn from images without a class what its map shows where there is nothing to find.

        A frequent class without a look of its own is weakly active everywhere; an absolute activation means nothing.

        Args:
            cam: (B, C, h, w) float, signed.
            tags: (B, C) above 0 where a class is in an image.
            quantile: share, 0..1, of the pixels of images without the class that lie below its level.
            inside: (B, h, w) bool, where images smaller than the others of their batch are; None: everywhere.
        """
        values = torch.where(tags[:, :, None, None] > 0, torch.nan, cam.float())
        values = (values if inside is None else values.where(inside[:, None], torch.nan)).transpose(0, 1).flatten(1)
        step = max(1, QUANTILE_VALUES // values.shape[1])
        parts = (values[place : place + step] for place in range(0, len(values), step))
        found = torch.cat([part.nanquantile(quantile, dim=1) for part in parts])
        if distributed.is_available() and distributed.is_initialized():  # the mean over the devices that saw one
            sums = torch.stack([found.nan_to_num(), (~found.isnan()).float()])
            distributed.all_reduce(sums)
            found = sums[0] / sums[1]
        self.level_steps += 1
        rate = torch.clamp(1 / self.level_steps, min=LEVEL_RATE)
        self.level += torch.where(found.isnan(), torch.zeros_like(found), rate * (found - self.level))

    def evidence(self, cam: Tensor) -> Tensor:
        """A signed (B, C, h, w) CAM above the level of each class, which is 0 unless it was learned."""
        return cam - self.level[:, None, None]

    def pyramid(self, cam: Tensor) -> Tensor:
        """Gated pyramid pooling of a (B, C, h, w) CAM, at its own size."""
        size = cam.shape[-2:]
        pooled, *rest = (
            interpolate(adaptive_avg_pool2d(cam, level), size, mode="bilinear", align_corners=False) for level in LEVELS
        )
        for gate, level in zip(self.gates, rest, strict=True):
            pooled = gate(pooled, level)
        return pooled

    def classify(self, cam: Tensor, inside: Tensor | None = None) -> Tensor:
        """Class scores (logits) of a signed CAM, (B, C, h, w) to (B, C).

        Args:
            cam: signed.
            inside: (B, h, w) bool, where images smaller than the others of their batch are ("lse" alone); None:
                everywhere.
        """
        if self.bias is not None and inside is not None:
            within = cam.float().masked_fill(~inside[:, None], -torch.inf).flatten(2)
            return within.logsumexp(dim=2) - inside.sum(dim=(1, 2))[:, None].log() + self.bias
        if self.bias is not None:
            return cam.float().flatten(2).logsumexp(dim=2) - math.log(cam[0, 0].numel()) + self.bias
        pooled = self.pyramid(cam)
        positive = (relu(cam) * relu(pooled)).mean(dim=(-2, -1))
        negative = (relu(-cam) * relu(-pooled)).mean(dim=(-2, -1))
        return positive - negative


class CamNetwork(nn.Module):
    """A backbone and a CamHead.

    Args:
        backbone: maps (B, 3, H, W) to (B, channels, h, w).
        head: maps (B, channels, h, w) to (B, C+1, h, w).
    """

    def __init__(self, backbone: nn.Module, head: CamHead) -> None:
        super().__init__()
        self.backbone, self.head = backbone, head

    @property
    def mean(self) -> Tensor:
        """(3,) mean colour that images are normalised by."""
        return cast(Tensor, self.backbone.mean)

    @property
    def std(self) -> Tensor:
        """(3,) spread of colours that images are normalised by."""
        return cast(Tensor, self.backbone.std)

    @property
    def levels(self) -> int:
        """How many of the backbone's levels the head looks at."""
        return cast(int, self.backbone.levels)

    def freeze_batch_norm(self, frozen: bool) -> None:
        """Keep the backbone's batch norm as it is, or let it learn."""
        cast(Any, self.backbone).freeze_batch_norm(frozen)

    def scores(self, image: Tensor) -> Tensor:
        """Score maps, background first, signed: (B, 3, H, W) to (B, C+1, h, w), in float32."""
        scores: Tensor = self.head(self.backbone(image))
        return scores.float()

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """CAM (B, C, h, w), signed, and class scores (B, C)."""
        cam = self.scores(image)[:, 1:]
        return cam, self.head.classify(cam)
