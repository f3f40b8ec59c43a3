"""WideResNet-38 as the paper's classification network uses it, under the name resnet38d among the models of timm.

Source: Wu et al., Wider or Deeper (model A1). Parameter names are those of the published weights.
"""

from __future__ import annotations

from typing import Any

from timm.data.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from torch import Tensor, nn
from torch.nn.functional import relu

Ints = tuple[int, ...]

DROPOUT = 0.2
"""Share of the channels dropped in the two bottleneck units while training."""

BRANCH = ("2a", "2b1", "2b2")
"""Names of the convolutions of a unit."""

# No address: the authors publish MXNet weights, which `ktse import-weights` reads.
CONFIG = {"mean": IMAGENET_DEFAULT_MEAN, "std": IMAGENET_DEFAULT_STD, "num_classes": 1000, "input_size": (3, 224, 224)}
default_cfgs = generate_default_cfgs({"resnet38d": {**CONFIG, "first_conv": "conv1a", "classifier": None}})


class Unit(nn.Module):
    """A residual unit: batch norm, ReLU and convolution, two or three times, added to the input or its projection.

    Args:
        inputs: channels of the input.
        widths: output channels of each convolution.
        kernels: kernel of each convolution.
        dilations: dilation of each convolution.
        stride: stride of the first convolution.
        dropout: share of channels dropped before every convolution but the first.
    """

    def __init__(
        self, inputs: int, widths: Ints, kernels: Ints, dilations: Ints, stride: int = 1, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.count = len(widths)
        before = inputs
        for number, (width, kernel, dilation) in enumerate(zip(widths, kernels, dilations, strict=True)):
            padding = dilation * (kernel // 2)
            conv = nn.Conv2d(before, width, kernel, 1 if number else stride, padding, dilation, bias=False)
            self.add_module(f"bn_branch{BRANCH[number]}", nn.BatchNorm2d(before))
            self.add_module(f"conv_branch{BRANCH[number]}", conv)
            before = width
        self.drop = nn.Dropout2d(dropout)
        projected = inputs != before or stride != 1
        self.conv_branch1 = nn.Conv2d(inputs, before, 1, stride, bias=False) if projected else None

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, widths[-1], H / stride, W / stride)."""
        out = relu(self.get_submodule("bn_branch2a")(x))
        # The projection, unlike the plain shortcut, starts behind the first batch norm.
        shortcut = x if self.conv_branch1 is None else self.conv_branch1(out)
        out = self.get_submodule("conv_branch2a")(out)
        for name in BRANCH[1 : self.count]:
            # Dropped before the ReLU, which gives the same, and one map to keep instead of two.
            out = relu(self.drop(self.get_submodule(f"bn_branch{name}")(out)))
            out = self.get_submodule(f"conv_branch{name}")(out)
        total: Tensor = shortcut + out
        return total


class ResNet38d(nn.Module):
    """WideResNet-38 without its classifier; stages whose stride would pass the output stride are dilated instead.

    Args:
        output_stride: 8 (the paper), 16 or 32.
        in_chans: channels of the image.

    Raises:
        ValueError: another output stride.
    """

    def __init__(self, output_stride: int = 32, in_chans: int = 3, **_: Any) -> None:
        super().__init__()
        if output_stride not in (8, 16, 32):
            raise ValueError(f"an output stride of {output_stride} is not possible, only 8, 16 or 32")
        fifth, last = max(1, 16 // output_stride), 32 // output_stride
        plain, narrow = (3, 3), (1, 3, 1)
        self.conv1a = nn.Conv2d(in_chans, 64, 3, padding=1, bias=False)
        self._stage("b2", 3, 64, (128, 128), 2)
        self._stage("b3", 3, 128, (256, 256), 2)
        self._stage("b4", 6, 256, (512, 512), 2)
        self.b5 = Unit(512, (512, 1024), plain, (1, fifth), 1 if fifth > 1 else 2)
        for name in ("b5_1", "b5_2"):
            self.add_module(name, Unit(1024, (512, 1024), plain, (fifth, fifth)))
        stride = 2 if output_stride == 32 else 1
        self.b6 = Unit(1024, (512, 1024, 2048), narrow, (1, last, 1), stride, DROPOUT)
        self.b7 = Unit(2048, (1024, 2048, 4096), narrow, (1, last, 1), 1, DROPOUT)
        self.bn7 = nn.BatchNorm2d(4096)
        self.relu7 = nn.ReLU()
        self.num_classes, self.num_features = 0, 4096
        ends = {"b2_2": (128, 2), "b3_2": (256, 4), "b4_5": (512, 8), "b5_2": (1024, 16), "relu7": (4096, 32)}
        self.feature_info = [
            {"num_chs": channels, "reduction": min(stride, output_stride), "module": name}
            for name, (channels, stride) in ends.items()
        ]

    def _stage(self, name: str, units: int, inputs: int, widths: tuple[int, int], stride: int) -> None:
        self.add_module(name, Unit(inputs, widths, (3, 3), (1, 1), stride))
        for number in range(1, units):
            self.add_module(f"{name}_{number}", Unit(widths[-1], widths, (3, 3), (1, 1)))

    def forward_features(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) normalised images to (B, 4096, h, w) features, 0 or more."""
        for part in self.children():
            image = part(image)
        return image

    def forward(self, image: Tensor) -> Tensor:
        """The same as forward_features: there is no classifier."""
        return self.forward_features(image)


@register_model
def resnet38d(pretrained: bool = False, **arguments: Any) -> nn.Module:
    """WideResNet-38 for timm.create_model."""
    model: nn.Module = build_model_with_cfg(
        ResNet38d, "resnet38d", pretrained, feature_cfg={"flatten_sequential": True}, **arguments
    )
    return model
