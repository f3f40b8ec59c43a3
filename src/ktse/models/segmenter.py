"""The segmentation model: any segmentation_models_pytorch architecture, or DeepLab-v2, on any timm encoder."""

from __future__ import annotations

from functools import partial
from typing import Any, cast

import segmentation_models_pytorch as smp
import timm
import torch
from timm.data.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from torch import Tensor, nn
from torch.nn.functional import pad

from ktse.errors import RecipeError
from ktse.models.backbone import Backbone, forget_weights, pretrained_arguments, quiet_timm, refuse_random
from ktse.models.deeplab import DeepLabV2
from ktse.models.feature_head import HEAD, LEVELS, OUTPUT_STRIDE, HeadOnBackbone
from ktse.models.freezing import PartlyFrozen
from ktse.models.precision import keep_dilated_in_float32
from ktse.models.weights import normalisation

DIVISOR = 32


class Segmenter(PartlyFrozen):
    """Label scores of every pixel, for images of any size.

    Args:
        architecture: segmentation_models_pytorch architecture, deeplabv2, or head.
        encoder: timm model name.
        classes: number of classes C.
        weights: initial weights of the encoder: "hub", "package", "none", or a file.

    Attributes:
        mean, std: (3,) normalisation that the encoder's weights expect.
        licence: of the encoder's downloadable weights, as far as timm says.

    Raises:
        RecipeError: the network or its weights are not available.
    """

    def __init__(self, architecture: str, encoder: str, classes: int, weights: str = "hub") -> None:
        super().__init__()
        if architecture == HEAD:
            backbone = Backbone(encoder, OUTPUT_STRIDE, weights, -1, LEVELS)
            self.network: nn.Module = HeadOnBackbone(backbone, classes + 1)
        elif architecture == "deeplabv2":
            self.network = DeepLabV2(Backbone(encoder, 8, weights), classes)
        else:
            self.network = from_smp(architecture, encoder, classes, weights)
        keep_dilated_in_float32(self.network)
        config = timm.get_pretrained_cfg(encoder)
        self.mean = torch.tensor(config.mean if config else IMAGENET_DEFAULT_MEAN)
        self.std = torch.tensor(config.std if config else IMAGENET_DEFAULT_STD)
        self.licence: str = (config.license or "") if config else ""

    def forward(self, image: Tensor | list[Tensor]) -> Tensor:
        """(B, 3, H, W) normalised images to (B, C+1, H, W) scores in float32.

        A head may be given what its frozen backbone saw in the images; its scores are FINER times as large as the last
        level then.
        """
        if isinstance(image, list):
            return cast(HeadOnBackbone, self.network).of(image).float()
        height, width = image.shape[-2:]
        scores: Tensor = self.network(padded(image))
        return scores[..., :height, :width].float()

    def deepest(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) normalised images to (B, K, h, w) features of the encoder's last stage."""
        features: Tensor | list[Tensor] = self.encoder(padded(image))
        return features if isinstance(features, Tensor) else features[-1]

    @property
    def encoder(self) -> nn.Module:
        """The part that starts from given weights."""
        return self.network.get_submodule("encoder")

    def rest(self) -> nn.ModuleList:
        """The part that starts from random values."""
        return nn.ModuleList(child for name, child in self.network.named_children() if name != "encoder")


def padded(image: Tensor) -> Tensor:
    """(..., H, W) with zeros at the right and below, up to the next sides that every encoder can halve five times."""
    height, width = image.shape[-2:]
    return pad(image, (0, -width % DIVISOR, 0, -height % DIVISOR))


class SegmenterPair(nn.Module):
    """Two networks that are used together: the mean of their scores.

    Args:
        first, second: of the same architecture, encoder and classes.

    Attributes:
        mean, std, licence: those of both.
    """

    def __init__(self, first: Segmenter, second: Segmenter) -> None:
        super().__init__()
        self.first, self.second = first, second
        self.mean, self.std, self.licence = first.mean, first.std, first.licence

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) normalised images to (B, C+1, H, W) scores in float32."""
        scores: Tensor = (self.first(image) + self.second(image)) / 2
        return scores


class Portable(nn.Module):
    """A segmentation model with its normalisation: plain images in, logits out.

    Args:
        model: taken over, in evaluation mode.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, model: Segmenter | SegmenterPair) -> None:
        super().__init__()
        self.model = model.eval()
        self.register_buffer("mean", 255 * model.mean.float().view(1, 3, 1, 1))
        self.register_buffer("std", 255 * model.std.float().view(1, 3, 1, 1))
        self.eval()

    def forward(self, image: Tensor) -> Tensor:
        """(B, H, W, 3) uint8 RGB, of any size, to (B, C+1, H, W) float32 logits."""
        logits: Tensor = self.model((image.permute(0, 3, 1, 2).float() - self.mean) / self.std)
        return logits


def from_smp(architecture: str, encoder: str, classes: int, weights: str) -> nn.Module:
    """A network of segmentation_models_pytorch on a timm encoder.

    Raises:
        RecipeError: the network or its weights are not available.
    """
    arguments = pretrained_arguments(encoder, weights)
    pretrained = arguments.pop("pretrained") or None
    build = partial(smp.create_model, architecture, f"tu-{encoder}", pretrained, classes=classes + 1, **arguments)
    try:
        with quiet_timm():
            network: nn.Module = build()
            if arguments:
                refuse_random(network.get_submodule("encoder"), lambda: build().get_submodule("encoder"))
    except Exception as error:  # smp, timm, its hub and the readers of the file formats share no base class
        raise RecipeError(
            f"the model {architecture!r} with encoder {encoder!r} and weights {weights!r} cannot be built",
            where=str(error).splitlines()[0] if str(error) else type(error).__name__,
            hint="Check the names (timm.list_models()), give --weights FILE with weights of this very encoder, or "
            "--weights none to start from random ones.",
        ) from error
    forget_weights(network)
    return network


def describe(recipe: Any, model: Segmenter | SegmenterPair, classes: tuple[str, ...]) -> dict[str, Any]:
    """Header of a model file: what is needed to build and use the model again."""
    header = {"architecture": recipe.architecture, "encoder": recipe.encoder, "classes": list(classes)}
    header |= {**normalisation(model), "encoder_licence": model.licence}
    return {**header, "networks": 2 if isinstance(model, SegmenterPair) else 1}
