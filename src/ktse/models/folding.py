"""Frozen batch norms that cost little: the convolution before each does their work, or they hold no copy of a map."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from types import MethodType
from typing import Any, cast

import torch
from timm.layers.norm_act import BatchNormAct2d
from torch import Tensor, nn
from torch.nn.functional import batch_norm
from torch.utils import _pytree

FOLDED = (nn.BatchNorm2d, BatchNormAct2d)

SIDE = 96
"""Pixels of the square image on which convolutions and batch norms are paired."""

CLOSE = 1e-3
"""Difference, relative to the largest value, up to which two outputs are the same."""


@torch.no_grad()
def fold_batch_norms(model: nn.Module) -> int:
    """Let every convolution that is followed by a batch norm scale its weights by it, whenever it is called.

    On a CPU, a batch norm in evaluation costs half as much time as the convolutions, all of it for moving memory.
    Weights that learn and are more than what they make are left as they are. There, and where no convolution can do a
    batch norm's work, it at least keeps no copy of its input: it is a multiplication by constants.
    Parameters and their names stay as they are, so that folded models are trained, filled, copied and stored like
    others; but the batch norms have to stay in evaluation. Where a convolution's output has other uses, folding would
    change the model: then it is left as it was.

    Args:
        model: takes (B, 3, H, W) images; returns tensors.

    Returns:
        how many batch norms were folded, 0 if none can be.
    """
    unfold_batch_norms(model)
    norms = [module for module in model.modules() if type(module) in FOLDED]
    if not norms:
        return 0
    training = {module: module.training for module in model.modules()}
    model.eval()
    device = next(model.parameters()).device
    image = torch.randn(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0)).to(device)
    try:
        with _shaken(model):
            before, pairs = _pairs(model, image)
            for norm in norms:
                norm.forward = MethodType(_lean, norm)
            for convolution, norm in pairs:
                convolution.folded = (norm,)  # a tuple, as the norm is no child of the convolution
                convolution.forward = MethodType(_scaled, convolution)
                norm.forward = MethodType(_passed, norm)
            if pairs and not _same(before, _outputs(model(image))):
                unfold_batch_norms(model)
                return 0
            return len(pairs)
    finally:
        for module, mode in training.items():
            module.training = mode


def unfold_batch_norms(model: nn.Module) -> None:
    """Undo fold_batch_norms; nothing if the model is not folded."""
    for module in model.modules():
        if "folded" in vars(module) or (type(module) in FOLDED and "forward" in vars(module)):
            for name in ("folded", "forward", "scaled_from", "scaled"):
                vars(module).pop(name, None)


@contextmanager
def _shaken(model: nn.Module) -> Iterator[None]:
    """Batch norms that do something: as they start, they are the identity, and folding these proves nothing."""
    generator = torch.Generator().manual_seed(1)
    norms = [module for module in model.modules() if type(module) in FOLDED]
    kept = [(value, value.clone()) for norm in norms for value in norm.buffers() if value.is_floating_point()]
    for value, was in kept:
        value.copy_((was + torch.rand(was.shape, generator=generator).to(was)) * 0.5)
    try:
        yield
    finally:
        for value, was in kept:
            value.copy_(was)


def _pairs(model: nn.Module, image: Tensor) -> tuple[list[Tensor], list[tuple[Any, Any]]]:
    """The model's outputs, and each convolution with the batch norm that is given what it has made."""
    made: dict[int, tuple[Tensor, nn.Module]] = {}  # the tensor too, so that its id is not given to another
    pairs: list[tuple[Any, Any]] = []

    def note(module: nn.Module, _: Any, output: Tensor) -> None:
        made[id(output)] = (output, module)

    def look(module: nn.Module, given: tuple[Tensor, ...]) -> None:
        if id(given[0]) in made:
            pairs.append((made[id(given[0])][1], module))

    hooks = []
    for module in model.modules():
        if isinstance(module, nn.Conv2d) and type(module).forward is nn.Conv2d.forward:
            hooks.append(module.register_forward_hook(note))
        elif type(module) in FOLDED:
            hooks.append(module.register_forward_pre_hook(look))
    try:
        outputs = _outputs(model(image))
    finally:
        for hook in hooks:
            hook.remove()
    uses = Counter(module for pair in pairs for module in pair)
    return outputs, [pair for pair in pairs if max(uses[module] for module in pair) == 1]


def _outputs(result: Any) -> list[Tensor]:
    return [value for value in _pytree.tree_leaves(result) if isinstance(value, Tensor)]


def _same(first: list[Tensor], second: list[Tensor]) -> bool:
    return all(
        bool((one - other).abs().max() <= CLOSE * one.abs().max()) for one, other in zip(first, second, strict=True)
    )


def _scaled(self: Any, image: Tensor) -> Tensor:
    """The convolution with the weights that make its batch norm superfluous; those of a frozen one are kept."""
    (norm,) = self.folded
    made_of = (self.weight, self.bias, norm.running_mean, norm.running_var, norm.weight, norm.bias)
    there = [part for part in made_of if part is not None]
    learns = any(part.requires_grad for part in there)
    if torch.compiler.is_compiling() or torch.onnx.is_in_onnx_export():
        return cast(Tensor, self._conv_forward(image, *_weights(self, norm)))
    if learns and self.weight[0].numel() > len(image) * prod(image.shape[2:]) / prod(self.stride):
        return _normalised(norm, self._conv_forward(image, self.weight, self.bias))
    if learns:
        return cast(Tensor, self._conv_forward(image, *_weights(self, norm)))
    state = [(part._version, part.device, part.dtype) for part in there]
    if getattr(self, "scaled_from", None) != state:
        with torch.inference_mode(mode=False), torch.no_grad():
            self.scaled, self.scaled_from = _weights(self, norm), state
    return cast(Tensor, self._conv_forward(image, *self.scaled))


def _weights(self: Any, norm: Any) -> tuple[Tensor, Tensor]:
    scale, shift = torch.rsqrt(norm.running_var + norm.eps), -norm.running_mean
    if self.bias is not None:
        shift = shift + self.bias
    if norm.affine:
        scale = scale * norm.weight
    shift = shift * scale
    if norm.affine:
        shift = shift + norm.bias
    return self.weight * scale[:, None, None, None], shift


def _passed(self: Any, features: Tensor) -> Tensor:
    """What is left of a batch norm: in timm's, the activation."""
    if isinstance(self, BatchNormAct2d):
        features = self.act(self.drop(features))
    return features


def _lean(self: Any, features: Tensor) -> Tensor:
    """A batch norm that no convolution does."""
    if self.training or self.running_mean is None:
        return cast(Tensor, type(self).forward(self, features))
    return _passed(self, _normalised(self, features))


def _normalised(norm: Any, features: Tensor) -> Tensor:
    if torch.is_grad_enabled() and features.requires_grad and not (norm.affine and norm.weight.requires_grad):
        normalised: Tensor = _FrozenNorm.apply(features, norm)
        return normalised
    return batch_norm(features, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps)


class _FrozenNorm(torch.autograd.Function):
    """A batch norm whose statistics and weights are constants: its gradient needs these alone."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, norm: Any) -> Tensor:
        scale = torch.rsqrt(norm.running_var + norm.eps)
        ctx.save_for_backward(scale * norm.weight if norm.affine else scale)
        return batch_norm(features, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (scale,) = ctx.saved_tensors
        return (gradients[0] * scale[:, None, None]).to(gradients[0].dtype), None
