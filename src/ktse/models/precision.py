"""Where bfloat16 takes longer than float32."""

from __future__ import annotations

from contextlib import nullcontext
from types import MethodType

import torch
from torch import Tensor, nn


def keep_dilated_in_float32(model: nn.Module) -> None:
    """Let dilated depthwise convolutions be trained in float32 on a CPU.

    There, the way back through them takes far longer in bfloat16, longer than that through all else in their block.

    Args:
        model: any; parameters and their names stay as they are.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d) and module.groups == module.in_channels > 1 and max(module.dilation) > 1:
            module._conv_forward = MethodType(_in_float32, module)  # type: ignore[method-assign]


def _in_float32(self: nn.Conv2d, image: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    slow = image.device.type == "cpu" and torch.is_grad_enabled()
    if slow:
        image, weight, bias = image.float(), weight.float(), None if bias is None else bias.float()
    with torch.autocast("cpu", enabled=False) if slow else nullcontext():
        result: Tensor = nn.Conv2d._conv_forward(self, image, weight, bias)
    return result
