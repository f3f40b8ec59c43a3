"""What is trained as a segmentation model: one network or two."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from torch import Tensor, nn

from ktse.models.segmenter import Segmenter, SegmenterPair


class Learner(nn.Module):
    """One network, or two of the same architecture that see a view each."""

    def __init__(self, networks: Sequence[Segmenter]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)

    def forward(self, views: Sequence[Tensor | list[Tensor]]) -> tuple[Tensor, ...]:
        """(B, 3, H, W) normalised images for each network, or their features, to (B, C+1, H, W) scores of each."""
        return tuple(network(view) for network, view in zip(self.networks, views, strict=True))

    def result(self) -> Segmenter | SegmenterPair:
        """What the training is for: the network, or both together."""
        first, *others = (cast(Segmenter, network) for network in self.networks)
        return SegmenterPair(first, *others) if others else first
