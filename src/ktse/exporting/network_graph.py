"""A network as ONNX, by torch: normalised images in, logits out, nothing around it."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from types import MethodType
from typing import Any, cast

import onnx
import torch
from timm.layers.conv2d_same import Conv2dSame
from torch import Tensor, nn
from torch.nn.functional import conv2d, pad

from ktse.errors import ExportError
from ktse.models.segmenter import DIVISOR, Portable, SegmenterPair
from ktse.runtime.console import say

OPSET = 18
"""The first operator set whose Resize has a filter that widens where it shrinks."""

IMAGES, LOGITS = "images", "logits"
NAMES: dict[str, Any] = {"opset_version": OPSET, "input_names": [IMAGES], "output_names": [LOGITS]}
EXAMPLE = (2, 3, 3 * DIVISOR, 4 * DIVISOR)

UNFIT = (
    "Architectures whose layers pool to a fixed size (pspnet, upernet) cannot; head, unet, fpn, deeplabv3plus and "
    "deeplabv2 can."
)


class _Bare(nn.Module):
    """The network of a model without the padding around it; of two networks, the mean of their logits."""

    def __init__(self, model: Portable) -> None:
        super().__init__()
        inner = model.model
        models = (inner.first, inner.second) if isinstance(inner, SegmenterPair) else (inner,)
        self.networks = nn.ModuleList(one.network for one in models)

    def forward(self, images: Tensor) -> Tensor:
        scores: list[Tensor] = [network(images).float() for network in self.networks]
        return scores[0] if len(scores) == 1 else (scores[0] + scores[1]) / 2


def network_graph(model: Portable) -> onnx.ModelProto:
    """Write the network of a model as ONNX: (B, 3, H, W) normalised float32 to (B, C+1, H, W) logits, any B, H and W.

    H and W must be multiples of 32. torch's newer exporter writes it; what that cannot express, the older one does.

    Args:
        model: in evaluation mode, on the CPU.

    Raises:
        ExportError: neither can.
    """
    bare = _Bare(model).eval()
    loud = ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")
    with quiet(*loud), torch.no_grad(), _fixed_padding(bare):
        try:
            graph, reason = _by_dynamo(bare), ""
        except Exception as error:  # torch's exporter raises whatever its parts raise
            reason = _first_line(error)
            try:
                graph = _by_tracing(bare)
            except Exception as second:
                reasons = [reason, _first_line(second)]
                raise ExportError("this model cannot be written as ONNX", where=reasons, hint=UNFIT) from second
    if reason:
        say(f"export: written by torch's older exporter, as the newer one cannot express this network: {reason}")
    return graph


@contextmanager
def _fixed_padding(bare: nn.Module) -> Iterator[None]:
    """Let convolutions that pad by the size of their input (TensorFlow's "same") pad as they do for whole cells.

    Sides are multiples of 32, so that the result is the same. torch's exporter takes half an hour to see that.
    """
    padding = [module for module in bare.modules() if isinstance(module, Conv2dSame)]
    for module in padding:
        module.forward = MethodType(_padded, module)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for module in padding:
            del module.forward


def _padded(self: Conv2dSame, features: Tensor) -> Tensor:
    sizes = zip(self.kernel_size, self.stride, self.dilation, strict=True)
    height, width = (max(0, dilation * (kernel - 1) + 1 - stride) for kernel, stride, dilation in sizes)
    whole = pad(features, (width // 2, width - width // 2, height // 2, height - height // 2))
    return conv2d(whole, self.weight, self.bias, self.stride, 0, self.dilation, self.groups)


def _by_dynamo(bare: nn.Module) -> onnx.ModelProto:
    dim = torch.export.Dim
    shapes = {0: dim("batch"), 2: DIVISOR * dim("rows", min=1), 3: DIVISOR * dim("columns", min=1)}
    program = torch.export.export(bare, (torch.zeros(EXAMPLE),), dynamic_shapes=(shapes,), strict=False)
    written = torch.onnx.export(program, dynamo=True, verbose=False, **NAMES)
    if written is None:
        raise TypeError("torch has written nothing")
    return written.model_proto


def _by_tracing(bare: nn.Module) -> onnx.ModelProto:
    file, free = BytesIO(), {0: "batch", 2: "rows", 3: "columns"}
    axes = {IMAGES: free, LOGITS: free}
    torch.onnx.export(bare, (torch.zeros(EXAMPLE),), cast(Any, file), dynamo=False, dynamic_axes=axes, **NAMES)
    return onnx.load_model_from_string(file.getvalue())


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0][:300]


@contextmanager
def quiet(*loggers: str) -> Iterator[None]:
    """Show no warnings and no remarks of these loggers, which speak to people who write networks."""
    levels = {log: log.level for log in map(logging.getLogger, loggers)}
    for log in levels:
        log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for log, level in levels.items():
            log.setLevel(level)
