"""IRN's network (Ahn et al., CVPR 2019, section 4.1): boundary and displacement branches over a backbone's levels."""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, max_pool2d, pad, relu

from ktse.errors import RecipeError
from ktse.models.backbone import create

STRIDE = 4
"""Pixels of the image per pixel of both outputs."""

_COARSE = 8
_DIVISOR = 32


class AffinityMaps(NamedTuple):
    """What the network says about images.

    Attributes:
        edge: (B, h, w) float32, logit of a boundary between objects.
        displacement: (B, 2, h, w) float32, (dy, dx) from each pixel to its object's middle, in pixels of this map.
    """

    edge: Tensor
    displacement: Tensor


class AffinityNetwork(nn.Module):
    """Boundaries and displacements at a quarter of the image's size.

    With backbone "resnet50.tv_in1k" and output stride 16 it is the published network: the levels after the first max
    pooling and after each of the four stages, the last one without stride and without dilation. The published code
    subtracts the data set's mean displacement afterwards, to tell objects of one class apart, which masks do not need.

    Args:
        backbone: any timm model with features_only that takes images of any size.
        output_stride: pixels of the image per pixel of the coarsest level; 32 leaves the model as it is.
        weights: "hub", "none", or a file.
        train_backbone: whether the backbone learns (its batch norm never does); the published one stays as it is.

    Attributes:
        mean, std: (3,) normalisation that the weights expect.

    Raises:
        RecipeError: the model, its stride or its weights are not available.
    """

    def __init__(
        self, backbone: str, output_stride: int = 16, weights: str = "hub", train_backbone: bool = False
    ) -> None:
        super().__init__()
        stride = {} if output_stride == 32 else {"output_stride": output_stride}
        self.backbone: Any = create(backbone, weights, features_only=True, **stride)
        for module in self.backbone.modules():
            if isinstance(module, nn.Conv2d) and module.dilation != (1, 1) and not isinstance(module.padding, str):
                module.padding = cast(Any, tuple(p // d for p, d in zip(module.padding, module.dilation, strict=True)))
                module.dilation = (1, 1)
        self.train_backbone = train_backbone
        for module in self.backbone.modules():
            frozen = not train_backbone or isinstance(module, nn.modules.batchnorm._BatchNorm)
            for parameter in module.parameters(recurse=False):
                parameter.requires_grad_(not frozen)
        config = cast(dict[str, Any], self.backbone.pretrained_cfg)
        self.mean, self.std = torch.tensor(config["mean"]), torch.tensor(config["std"])
        levels = cast(Any, self.backbone.feature_info)
        self.channels: list[int] = levels.channels()
        self.strides: list[int] = levels.reduction()
        if max(self.strides) > _DIVISOR:
            raise RecipeError(f"the backbone {backbone!r} shrinks images more than {_DIVISOR} times")
        fine = [n for n, s in zip(self.channels, self.strides, strict=True) if s <= STRIDE]
        coarse = [n for n, s in zip(self.channels, self.strides, strict=True) if s > STRIDE]
        widths = [64 if number == 0 else 128 for number in range(len(fine))]
        self.edge = nn.ModuleList(_layer(n, 32, 4) for n in self.channels)
        self.edge_last = nn.Conv2d(32 * len(self.channels), 1, 1)
        self.displacement = nn.ModuleList(
            [_layer(n, w, w // 8) for n, w in zip(fine, widths, strict=True)] + [_layer(n, 256, 16) for n in coarse]
        )
        self.displacement_coarse = _layer(256 * len(coarse), 256, 16)
        self.displacement_last = nn.Sequential(
            _layer(sum(widths) + 256, 256, 16), nn.ReLU(), nn.Conv2d(256, 2, 1, bias=False)
        )

    def forward(self, image: Tensor) -> AffinityMaps:
        """(B, 3, H, W) normalised images to maps of ceil(H / 4) x ceil(W / 4)."""
        height, width = -(-image.shape[-2] // STRIDE), -(-image.shape[-1] // STRIDE)
        padded = pad(image, (0, -image.shape[-1] % _DIVISOR, 0, -image.shape[-2] % _DIVISOR))
        size = (padded.shape[-2] // STRIDE, padded.shape[-1] // STRIDE)
        levels = [
            _level(features, channels, stride)
            for features, channels, stride in zip(self.backbone(padded), self.channels, self.strides, strict=True)
        ]
        edges = [_enlarged(layer(level), size) for layer, level in zip(self.edge, levels, strict=True)]
        edge = self.edge_last(torch.cat(edges, dim=1))[:, 0]
        half = (padded.shape[-2] // _COARSE, padded.shape[-1] // _COARSE)
        parts = [
            _enlarged(layer(level), size if stride <= STRIDE else half)
            for layer, level, stride in zip(self.displacement, levels, self.strides, strict=True)
        ]
        fine = sum(stride <= STRIDE for stride in self.strides)
        coarse = _enlarged(self.displacement_coarse(torch.cat(parts[fine:], dim=1)), size)
        displacement = self.displacement_last(torch.cat([*parts[:fine], coarse], dim=1))
        return AffinityMaps(edge[:, :height, :width].float(), displacement[..., :height, :width].float())

    def train(self, mode: bool = True) -> AffinityNetwork:
        """Switch to training; the backbone's batch norm, or all of it, stays in evaluation."""
        super().train(mode)
        for module in self.backbone.modules():
            if not self.train_backbone or isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.training = False
        return self

    def edge_layers(self) -> nn.ModuleList:
        """The boundary branch."""
        return nn.ModuleList([self.edge, self.edge_last])

    def displacement_layers(self) -> nn.ModuleList:
        """The displacement branch."""
        return nn.ModuleList([self.displacement, self.displacement_coarse, self.displacement_last])


def _layer(channels: int, width: int, groups: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, width, 1, bias=False), nn.GroupNorm(groups, width))


def _level(features: Tensor, channels: int, stride: int) -> Tensor:
    features = features if features.shape[1] == channels else features.permute(0, 3, 1, 2)
    while stride < STRIDE:  # as ResNet itself goes on from its first convolution
        features, stride = max_pool2d(features, 3, stride=2, padding=1), stride * 2
    return features


def _enlarged(maps: Tensor, size: tuple[int, int]) -> Tensor:
    same = maps.shape[-2:] == size
    return relu(maps if same else interpolate(maps, size, mode="bilinear", align_corners=False))
