"""Any timm model as a backbone: one feature map at a chosen output stride, initial weights from hub or file."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any, cast

import timm
import torch
from safetensors import SafetensorError, safe_open
from timm.models.vgg import VGG
from torch import Tensor, nn
from torch.nn.functional import interpolate, layer_norm

from ktse.errors import RecipeError
from ktse.models import hub, resnet38  # noqa: F401 (resnet38 adds its model to timm's)
from ktse.models.freezing import PartlyFrozen
from ktse.models.import_weights import PACKAGES
from ktse.models.packaged import install, packaged_file, packaged_weights
from ktse.models.precision import keep_dilated_in_float32
from ktse.runtime.words import many


class Backbone(PartlyFrozen):
    """The last feature map of a timm model, or its last few, joined.

    Args:
        name: any timm model name.
        output_stride: pixels of the image per pixel of the map. A plain transformer sees the image resized, so that one
            of its patches covers so many pixels; another model that cannot be dilated has only its own.
        weights: "hub", "package", "none", or a safetensors or PyTorch file.
        frozen_stages: children of the model, from the image on, that stay as they are; -1: all.
        levels: how many of the model's feature maps, counted from the last; several are normalised over their channels,
            brought to the finest one's size, and joined.

    Attributes:
        channels: channels of the map.
        level_channels: those of each map that it is joined from.
        mean, std: (3,) normalisation that the weights expect.

    Raises:
        RecipeError: the model, its stride or its weights are not available.
    """

    def __init__(
        self, name: str, output_stride: int, weights: str = "hub", frozen_stages: int = 0, levels: int = 1
    ) -> None:
        super().__init__()
        self.model: Any = create_with_stride(name, weights, output_stride, levels)
        keep_dilated_in_float32(self.model)
        self.levels, self.output_stride, self.patch = levels, output_stride, patch_side(self.model)
        config = cast(dict[str, Any], self.model.pretrained_cfg)
        self.mean, self.std = torch.tensor(config["mean"]), torch.tensor(config["std"])
        self.freeze_stages(frozen_stages)
        levels_there = self.eval().levels_of(torch.zeros(1, 3, 96, 96))
        self.level_channels = [level.shape[1] for level in levels_there]
        features = join(levels_there)
        self.channels = features.shape[1]
        self._freeze_unused(features)

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) normalised images to (B, channels, h, w) features."""
        return join(self.levels_of(image))

    def levels_of(self, image: Tensor) -> list[Tensor]:
        """(B, 3, H, W) normalised images to the maps that are joined, the finest first."""
        if self.patch:  # whole patches: padding would move the map against the image
            sides = [-(-side // self.output_stride) * self.patch for side in image.shape[-2:]]
            image = interpolate(image, sides, mode="bilinear", align_corners=False)
        whole = hasattr(self.model, "forward_features")
        features: list[Tensor] = [self.model.forward_features(image)] if whole else self.model(image)
        order = getattr(self.model, "output_fmt", None) or "NCHW"
        if str(getattr(order, "value", order)) == "NHWC":
            features = [level.permute(0, 3, 1, 2) for level in features]
        return features[-1:] if self.levels == 1 else [_normalised(level) for level in features]

    @property
    def encoder(self) -> nn.Module:
        """The timm model."""
        return cast(nn.Module, self.model)

    def _freeze_unused(self, features: Tensor) -> None:
        # ConvNeXt's last norm, for one, belongs to the classifier. Training on many devices waits for every gradient.
        learning = [weight for weight in self.parameters() if weight.requires_grad and features.requires_grad]
        gradients = torch.autograd.grad(features.sum(), learning, allow_unused=True) if learning else ()
        for weight, gradient in zip(learning, gradients, strict=True):
            weight.requires_grad_(gradient is not None)


def join(levels: Sequence[Tensor]) -> Tensor:
    """Maps (B, K, h, w), the finest first, brought to its size and joined over their channels."""
    first, *others = levels
    size = first.shape[-2:]
    return torch.cat([first, *(interpolate(x, size, mode="bilinear", align_corners=False) for x in others)], dim=1)


def _normalised(features: Tensor) -> Tensor:
    """Each pixel's channels brought to mean 0 and spread 1, so that levels of any scale can be joined."""
    last = features.permute(0, 2, 3, 1)
    return layer_norm(last, (int(features.shape[1]),)).permute(0, 3, 1, 2)  # a number, which can be exported


def patch_side(model: nn.Module) -> int:
    """Side in pixels of a plain transformer's patches, all of whose levels have one size; 0 for other models."""
    if not hasattr(getattr(model, "model", None), "patch_embed"):  # timm wraps what is no list of stages
        return 0
    reductions = set(cast(Any, model).feature_info.reduction())
    return int(reductions.pop()) if len(reductions) == 1 else 0


@cache
def parameters(name: str) -> int:
    """How many weights a model has, of any kind.

    Raises:
        RecipeError: there is no such model.
    """
    with torch.device("meta"):  # no weights, no memory
        return sum(weight.numel() for weight in create(name, "none", num_classes=0).parameters())


@cache
def outline(name: str, output_stride: int, levels: int) -> list[tuple[int, int]]:
    """Channels of each of a backbone's last levels, the finest first, and pixels of an image per pixel of the level.

    Raises:
        RecipeError: the model or its stride is not available.
    """
    with torch.device("meta"):
        model: Any = create_with_stride(name, "none", output_stride, max(2, levels))
    strides = model.feature_info.reduction() if not patch_side(model) else [output_stride] * max(2, levels)
    return list(zip(model.feature_info.channels(), strides, strict=True))[-levels:]


def finest_stride(name: str, output_stride: int, levels: int) -> int:
    """Pixels of an image, as a backbone sees it, per pixel of the map that its levels are joined to.

    Raises:
        RecipeError: the model or its stride is not available.
    """
    return output_stride if levels == 1 else outline(name, output_stride, levels)[0][1]


def create_with_stride(name: str, weights: str, output_stride: int, levels: int = 1) -> nn.Module:
    """Create a timm model that gives feature maps, the last at an output stride.

    Most convolutional models take the stride themselves, some (MobileNetV3) only without their last layer; others, such
    as Swin, have a stride of their own. A plain transformer has patches: `Backbone` resizes what it sees.

    Raises:
        RecipeError: the model, its stride or its weights are not available.
    """
    last: dict[str, Any] = {"features_only": True, "out_indices": tuple(range(-levels, 0))}
    whole = {"num_classes": 0, "global_pool": "", "output_stride": output_stride}
    vit, swin = {**last, "dynamic_img_size": True}, {**last, "strict_img_size": False}
    attempts = (whole, {**last, "output_stride": output_stride}, vit, swin, last)
    for arguments in attempts if levels == 1 else attempts[1:]:
        try:
            model = create(name, weights, **arguments)
        except RecipeError as error:
            if arguments is last or not isinstance(error.__cause__, TypeError | AssertionError):
                raise
            continue
        free = "output_stride" in arguments or patch_side(model)
        own = output_stride if free else int(cast(Any, model).feature_info.reduction()[-1])
        if own != output_stride:
            raise RecipeError(
                f"the backbone {name!r} cannot be dilated to an output stride of {output_stride}",
                hint=f"Set output_stride to {own}, its own, or choose one that can, such as a ResNet or MobileNet.",
            )
        return model
    raise AssertionError("the last attempt returns or raises")


def create(name: str, weights: str, **arguments: Any) -> nn.Module:
    """Create a timm model with initial weights from the hub, from a file, or random ones.

    Args:
        name: any timm model name.
        weights: "hub", "package", "none", or a safetensors or PyTorch file (read without unpickling code).
        arguments: passed on to timm.create_model.

    Raises:
        RecipeError: the model, its stride or its weights are not available.
    """
    arguments |= pretrained_arguments(name, weights)
    stride = arguments.get("output_stride", 32)
    if name.startswith("vgg"):
        arguments["output_stride"] = 32
    try:
        with quiet_timm(), hub.asked_once(weights):
            model = timm.create_model(name, **arguments)
            if "pretrained_cfg_overlay" in arguments:
                refuse_random(model, partial(timm.create_model, name, **arguments))
        if isinstance(model, VGG):
            dilate_vgg(model, stride)
        forget_weights(model)
        return model
    except Exception as error:  # timm, its hub and the readers of the file formats share no base class
        other = "--weights FILE with weights of this very model"
        if weights == "hub" and not isinstance(error, TypeError | AssertionError) and not hub.reachable():
            raise RecipeError(
                f"the weights of the backbone {name!r} cannot be downloaded: {hub.address()} cannot be reached",
                hint=f"{_packaged_hint(name)}Give {other}{_downloaded_elsewhere(name)} (ktse import-weights makes "
                "such a file from other formats), or --weights none to start from random ones, which a frozen backbone "
                "keeps.",
            ) from error
        raise RecipeError(
            f"the backbone {name!r} with weights {weights!r} cannot be built",
            where=f"{type(error).__name__}: {error}".splitlines()[0],
            hint=f"Check the name (timm.list_models()), give {other}, --weights none to start from random ones, or "
            "another output_stride. ktse import-weights makes such a file from other formats.",
        ) from error


def _packaged_hint(name: str) -> str:
    if name not in PACKAGES:
        return ""
    first = "Give" if packaged_file(name) else f"Install them as a package ({install(name)}) and give"
    return f"{first} --weights package. Or: "


def _downloaded_elsewhere(name: str) -> str:
    config = timm.get_pretrained_cfg(name)
    known = config.hf_hub_id if config is not None else None
    return f", downloaded elsewhere: model.safetensors of {hub.address()}/{known}" if known else ""


def forget_weights(model: nn.Module) -> None:
    """Let go of the second copy of initial weights that timm keeps in a model's description."""
    for module in model.modules():
        if isinstance(config := getattr(module, "pretrained_cfg", None), dict):
            config.pop("state_dict", None)


def dilate_vgg(model: VGG, output_stride: int) -> None:
    """Let a VGG keep its resolution from an output stride on, as DeepLab does, and drop its classifier.

    A pooling layer beyond the stride no longer strides; what follows it is dilated to see as far as before.

    Raises:
        ValueError: the stride is not 8, 16 or 32.
    """
    if output_stride not in (8, 16, 32):
        raise ValueError(f"an output stride of {output_stride} is not possible, only 8, 16 or 32")
    stride, dilation = 1, 1
    for index, layer in enumerate(model.features):
        if isinstance(layer, nn.Conv2d):
            layer.dilation = layer.padding = (dilation, dilation)
        elif isinstance(layer, nn.MaxPool2d) and stride < output_stride:
            stride *= 2
        elif isinstance(layer, nn.MaxPool2d):
            # An odd window, so that the map keeps its size.
            model.features[index] = nn.MaxPool2d(3, 1, 1)
            dilation *= 2
    model.register_module("pre_logits", nn.Identity())
    model.register_module("head", nn.Identity())


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


def refuse_random(model: nn.Module, again: Callable[[], nn.Module]) -> None:
    """Make sure that a file held all weights: timm skips, without a word, what a file lacks.

    What the file lacks is random, so that it differs between two models that are filled from the same file.

    Args:
        model: the model that was filled from the file.
        again: makes and fills the same model once more.

    Raises:
        ValueError: some weights still have their random start.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(torch.initial_seed() + 1)
        pairs = zip(model.named_parameters(), again().parameters(), strict=True)
        left = [key for (key, weight), other in pairs if weight.dim() > 1 and not torch.equal(weight, other)]
    if left:
        raise ValueError(f"the file lacks {many(len(left), 'weight')} of this model, such as {left[0]}")


def pretrained_arguments(name: str, weights: str) -> dict[str, Any]:
    """Arguments of timm.create_model for initial weights.

    Raises:
        RecipeError: a file was named that does not exist, or a package that is not installed.
    """
    if weights in ("hub", "none"):
        return {"pretrained": weights == "hub"}
    if weights == "package":
        return {"pretrained": True, "pretrained_cfg_overlay": {"state_dict": packaged_weights(name)}}
    if not Path(weights).is_file():
        hint = "Give 'hub', 'package', 'none', or the path of a file."
        raise RecipeError(f"the weights {weights!r} are not a file", hint=hint)
    own = _own_names(name, part_of_network(weights, "backbone.model.")[0])
    # An own file lacks what no level needs, such as a last norm. timm minds that in models that never had a classifier,
    # such as DINOv2, and no other. What is needed is missed by refuse_random.
    return {
        "pretrained": True,
        "pretrained_cfg_overlay": {"state_dict": own, "num_classes": 1} if own else {"file": str(weights)},
    }


def _own_names(name: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tensors under the names of the whole model; where timm gives several levels, stages.0 is stages_0 in some."""
    if not tensors:
        return tensors
    with torch.device("meta"):  # no weights, no memory
        names = create(name, "none", num_classes=0).state_dict().keys()
    renamed = {own.replace(".", "_", 1): own for own in names}
    return {key if key in names else renamed.get(key, key): tensor for key, tensor in tensors.items()}


def part_of_network(path: str | Path, prefix: str) -> tuple[dict[str, Tensor], list[str]]:
    """Part of a CAM network's file, as classify and import-weights write it.

    Args:
        path: any file.
        prefix: "backbone.model." or "head.".

    Returns:
        tensors by name, without the prefix, and the network's classes; nothing for any other file.
    """
    try:
        with safe_open(path, framework="pt") as file:
            names = [name for name in file.keys() if name.startswith(prefix)]  # noqa: SIM118 (not a dictionary)
            inner = f"{prefix}model."  # timm wraps transformers once more
            whole = inner if names and all(name.startswith(inner) for name in names) else prefix
            tensors = {name.removeprefix(whole): file.get_tensor(name) for name in names}
            return tensors, json.loads((file.metadata() or {}).get("classes", "[]"))
    except (SafetensorError, OSError, ValueError):
        return {}, []
