"""SIE: knowledge transfer with simulated inter-image erasing (paper, section 3.2).

Joining a second image with the same object lowers the activation of the anchor's part; what the anchor finds alone
is then taught to the stitched image, and, as nothing is detached, the other way round.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import relu

from ktse.method.erasing import Channels, mean_over_classes


def transfer_loss(
    reference: Tensor, stitched: Tensor, tags: Tensor, margin: float = 0.05, channels: Channels = "all"
) -> Tensor:
    """L_kt: how much weaker the stitched image's CAM is than those of its two halves.

    Args:
        reference: (P, C, 2h, w) float, CAMs of anchor and paired image, joined.
        stitched: (P, C, 2h, w) float, CAM of the stitched image.
        tags: (P, C) 0 or 1, union of both images' tags.
        margin: difference that costs nothing.
        channels: see mean_over_classes.

    Returns:
        scalar, 0 or more.
    """
    return mean_over_classes(relu(reference - stitched - margin), tags, channels)
