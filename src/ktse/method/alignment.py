"""MGA: multi-granularity alignment of the erased image with its anchor (paper, section 3.4)."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import relu

from ktse.method.erasing import Channels, mean_over_classes


def global_alignment(erased: Tensor, anchor: Tensor, tags: Tensor, channels: Channels = "all") -> Tensor:
    """L_global: difference of the pooled activation of each tagged class.

    Args:
        erased: (B, C, h, w) float, signed CAM of the erased image.
        anchor: the same of its anchor.
        tags: (B, C) 0 or 1.
        channels: see mean_over_classes.

    Returns:
        scalar, 0 or more.
    """
    pooled = relu(erased).mean(dim=(-2, -1)) - relu(anchor).mean(dim=(-2, -1))
    return mean_over_classes(pooled.abs(), tags, channels)


def local_alignment(
    erased: Tensor, anchor: Tensor, keep: Tensor, tags: Tensor, margin: float = 0.05, *, channels: Channels = "all"
) -> Tensor:
    """L_local: activation that appears only after erasing, on pixels that were not erased.

    Args:
        erased: (B, C, h, w) float, signed CAM of the erased image.
        anchor: the same of its anchor.
        keep: (B, 1, h, w) 0 or 1, see keep_mask.
        tags: (B, C) 0 or 1.
        margin: difference that costs nothing.
        channels: see mean_over_classes.

    Returns:
        scalar, 0 or more.
    """
    return mean_over_classes(relu(erased * keep - anchor * keep - margin), tags, channels)
