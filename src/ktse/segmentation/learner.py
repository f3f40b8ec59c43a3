"""What is trained as a segmentation model: one network or two, and the moving average of their weights."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import cast

from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from ktse.models.segmenter import Segmenter, SegmenterPair


class Learner(nn.Module):
    """What is trained: one network, or two, and, where wanted, the moving average of their weights.

    As a part of what is trained, the average is in every checkpoint.

    Args:
        networks: of the same architecture.
        decay: share of the average that each step keeps, once it has seen enough steps; 0: no average.
    """

    def __init__(self, networks: Sequence[Segmenter], decay: float) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self.average: AveragedModel | None = None
        if decay > 0:

            def average(averaged: Iterable[Tensor], current: Iterable[Tensor], seen: Tensor | int) -> None:
                # A short training would otherwise be averaged with its own beginning.
                keep = min(decay, (1 + int(seen)) / (10 + int(seen)))
                for before, now in zip(averaged, current, strict=True):
                    before.copy_(before + (1 - keep) * (now - before))

            self.average = AveragedModel(self.networks, multi_avg_fn=average, use_buffers=True).requires_grad_(False)

    def forward(self, views: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """(B, 3, H, W) normalised images for each network to (B, C+1, H, W) scores of each."""
        return tuple(network(view) for network, view in zip(self.networks, views, strict=True))

    def after_step(self) -> None:
        """Take the new weights into the average."""
        if self.average is not None:
            self.average.update_parameters(self.networks)

    def result(self) -> Segmenter | SegmenterPair:
        """What the training is for: the average, or the networks as they are."""
        networks = self.networks if self.average is None else cast(nn.ModuleList, self.average.module)
        first, *others = (cast(Segmenter, network) for network in networks)
        return SegmenterPair(first, *others) if others else first
