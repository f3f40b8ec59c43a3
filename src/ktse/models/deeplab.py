"""DeepLab-v2: a backbone at output stride 8 and four dilated convolutions whose scores are summed.

Source: Chen et al., DeepLab, TPAMI 2018, section 3.2; dropout as in BECO (Rong et al., CVPR 2023).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from ktse.models.backbone import Backbone

DILATIONS = (6, 12, 18, 24)
DROPOUT = 0.1


class Aspp(nn.Module):
    """Atrous spatial pyramid pooling of the second version: no batch norm, no hidden layer, no image level.

    Args:
        channels: channels of the features.
        outputs: channels of the scores.
    """

    def __init__(self, channels: int, outputs: int) -> None:
        super().__init__()
        self.drop = nn.Dropout2d(DROPOUT)
        self.branches = nn.ModuleList(
            nn.Conv2d(channels, outputs, 3, padding=dilation, dilation=dilation) for dilation in DILATIONS
        )
        for name, weight in self.branches.named_parameters():
            nn.init.zeros_(weight) if name.endswith("bias") else nn.init.normal_(weight, std=0.01)

    def forward(self, features: Tensor) -> Tensor:
        """(B, channels, h, w) features to (B, outputs, h, w) scores."""
        features = self.drop(features)
        return torch.stack([branch(features) for branch in self.branches]).sum(dim=0)


class DeepLabV2(nn.Module):
    """Scores at the size of the image.

    Args:
        encoder: a backbone at output stride 8.
        classes: number of classes C.
    """

    def __init__(self, encoder: Backbone, classes: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.aspp = Aspp(encoder.channels, classes + 1)

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) normalised images to (B, C+1, H, W) scores."""
        scores = self.aspp(self.encoder(image))
        return interpolate(scores, image.shape[-2:], mode="bilinear", align_corners=False)
