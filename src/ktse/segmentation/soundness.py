"""Whether a segmentation model has learned, judged by the model, its images and its masks, without truth."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ktse.quality.metrics import Confusion

LEAST_CONTRAST = 0.1
"""Share of the encoder's contrast before training that a sound training leaves."""

LEAST_LABELLED = 0.1
"""What a model that is of use labels at least, as a share of what its masks label."""


def contrast(features: Tensor) -> float:
    """How much features differ between places and images: mean standard deviation of a channel by mean magnitude.

    A step that is too large can leave the encoder's deepest features nearly the same everywhere. The loss does not
    tell, as the decoder still learns a little from shallower ones.

    Args:
        features: (B, K, h, w) deepest features of some images.
    """
    features = features.detach().float()
    spread, magnitude = features.std(dim=(0, 2, 3), correction=0).mean(), features.abs().mean()
    return float(spread / magnitude.clamp(min=torch.finfo(torch.float32).tiny))


@dataclass(frozen=True)
class Agreement:
    """How far a finished model gives back the masks that it has learned from.

    Attributes:
        miou: of the model's labels against the masks, 0..1.
        labelled: pixels that the model labels, as a share of those that the masks label.
        crops: images that were compared.
    """

    miou: float
    labelled: float
    crops: int

    @classmethod
    def of(cls, confusion: Confusion, crops: int) -> Agreement:
        """That of masks (rows) and model (columns)."""
        masks, model = int(confusion.counts[1:].sum()), int(confusion.counts[:, 1:].sum())
        return cls(confusion.miou, torch.inf if masks == 0 else model / masks, crops)

    @property
    def useless(self) -> bool:
        """Whether the model labels next to nothing."""
        return self.labelled < LEAST_LABELLED
