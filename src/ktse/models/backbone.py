"""Any timm model as a backbone: one feature map at a chosen output stride, initial weights from hub or file."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import timm
import torch
from torch import Tensor, nn

from ktse.errors import RecipeError


class Backbone(nn.Module):
    """The last feature map of a timm model.

    Args:
        name: any timm model name.
        output_stride: pixels of the image per pixel of the map, for models that can be dilated.
        weights: "hub", "none", or a safetensors or PyTorch file.
        frozen_stages: children of the model, from the image on, that stay as they are.

    Attributes:
        channels: channels of the map.
        mean, std: (3,) normalisation that the weights expect.

    Raises:
        RecipeError: the model, its stride or its weights are not to be had.
    """

    def __init__(self, name: str, output_stride: int, weights: str = "hub", frozen_stages: int = 0) -> None:
        super().__init__()
        self.model: Any = create(name, weights, num_classes=0, global_pool="", output_stride=output_stride)
        config = cast(dict[str, Any], self.model.pretrained_cfg)
        self.mean, self.std = torch.tensor(config["mean"]), torch.tensor(config["std"])
        self.batch_norm_frozen = False
        self._freeze_stages(frozen_stages)
        features = self.eval()(torch.zeros(1, 3, 96, 96))
        self.channels = features.shape[1]
        self._freeze_unused(features)

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) normalised images to (B, channels, h, w) features."""
        features: Tensor = self.model.forward_features(image)
        return features.permute(0, 3, 1, 2) if getattr(self.model, "output_fmt", "NCHW") == "NHWC" else features

    def freeze_batch_norm(self, frozen: bool = True) -> None:
        """Keep the statistics and the affine part of every batch norm as they are."""
        self.batch_norm_frozen = frozen
        for module in self.model.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.requires_grad_(not frozen)
        for module in self._frozen:
            module.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> Backbone:
        """Switch to training; frozen batch norm and frozen stages stay in evaluation."""
        super().train(mode)
        for module in self.model.modules():
            if self.batch_norm_frozen and isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()
        for module in self._frozen:
            module.eval()
        return self

    def _freeze_unused(self, features: Tensor) -> None:
        # ConvNeXt's last norm, for one, belongs to the classifier. Training on many devices waits for every gradient.
        learning = [weight for weight in self.parameters() if weight.requires_grad and features.requires_grad]
        gradients = torch.autograd.grad(features.sum(), learning, allow_unused=True) if learning else ()
        for weight, gradient in zip(learning, gradients, strict=True):
            weight.requires_grad_(gradient is not None)

    def _freeze_stages(self, count: int) -> None:
        # Containers such as MobileNetV2's "blocks" count by their members, so that stages mean the same everywhere.
        children: list[nn.Module] = []
        for child in self.model.children():
            children += list(child.children()) if isinstance(child, nn.Sequential | nn.ModuleList) else [child]
        with_weights = [child for child in children if any(True for _ in child.parameters())]
        self._frozen = children[: children.index(with_weights[min(count, len(with_weights)) - 1]) + 1] if count else []
        for module in self._frozen:
            module.requires_grad_(False)


def create(name: str, weights: str, **arguments: Any) -> nn.Module:
    """Create a timm model with initial weights from the hub, from a file, or random ones.

    Args:
        name: any timm model name.
        weights: "hub", "none", or a safetensors or PyTorch file (read without unpickling code).
        arguments: passed on to timm.create_model.

    Raises:
        RecipeError: the model, its stride or its weights are not to be had.
    """
    arguments |= pretrained_arguments(weights)
    random_state = torch.get_rng_state()
    try:
        with quiet_timm():
            model = timm.create_model(name, **arguments)
        if "pretrained_cfg_overlay" in arguments and (left := _left_random(model, name, arguments, random_state)):
            raise ValueError(f"the file lacks {len(left)} weights of this model, such as {left[0]}")
        return model
    except Exception as error:  # timm, its hub and the readers of the file formats share no base class
        raise RecipeError(
            f"the backbone {name!r} with weights {weights!r} cannot be built",
            where=f"{type(error).__name__}: {error}".splitlines()[0],
            hint="Check the name (timm.list_models()), give --weights FILE with weights of this very model, "
            "--weights none to start from random ones, or another output_stride.",
        ) from error


@contextmanager
def quiet_timm() -> Iterator[None]:
    """Keep timm from listing the classifier's weights, which a backbone has no use for."""
    log = logging.getLogger("timm")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(level)


def _left_random(model: nn.Module, name: str, arguments: dict[str, Any], random_state: Tensor) -> list[str]:
    """Names of weights that still have their random start: timm skips, without a word, what a file lacks."""
    with torch.random.fork_rng(devices=[]):
        torch.set_rng_state(random_state)
        blank = timm.create_model(name, **arguments | {"pretrained": False})
    pairs = zip(model.named_parameters(), blank.parameters(), strict=True)
    return [key for (key, weight), start in pairs if weight.dim() > 1 and torch.equal(weight, start)]


def pretrained_arguments(weights: str) -> dict[str, Any]:
    """Arguments of timm.create_model for initial weights.

    Raises:
        RecipeError: a file was named that does not exist.
    """
    if weights == "none":
        return {"pretrained": False}
    if weights == "hub":
        return {"pretrained": True}
    if not Path(weights).is_file():
        raise RecipeError(f"the weights {weights!r} are not a file", hint="Give 'hub', 'none', or the path of a file.")
    return {"pretrained": True, "pretrained_cfg_overlay": {"file": str(weights)}}
