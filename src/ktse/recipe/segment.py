"""Settings of the segmentation model and of its use."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from ktse.recipe.masks import CrfRecipe


@dataclass(frozen=True)
class SegmentRecipe:
    """The segmentation model that is trained on the masks.

    Attributes:
        architecture: any segmentation_models_pytorch architecture, or deeplabv2.
        encoder: any timm model name.
        weights: initial weights of the encoder: as in classify, or "classify": what its backbone has learned.
        batch_norm: that of the encoder "frozen", or "trained".
        epochs: passes over the images.
        batch_size: images in a batch, over all devices together.
        long_side: range in pixels from which the longer side of an image is drawn.
        crop: side of the square that the network is trained on, in pixels.
        jitter: strength of brightness, contrast and saturation changes, 0..1.
        lr: learning rate of the encoder.
        head_lr: factor on the learning rate of the decoder.
        momentum: SGD momentum.
        weight_decay: L2 penalty on weights, not on biases and batch norm.
        power: exponent of the learning rate's polynomial decay to zero.
        clip: largest norm of the gradient; 0: no limit.
        precision, seed, workers: as in classify.
    """

    architecture: str = "deeplabv3plus"
    encoder: str = "mobilenetv2_100"
    weights: str = "hub"
    batch_norm: Literal["frozen", "trained"] = "frozen"
    epochs: int = 12
    batch_size: int = 16
    long_side: tuple[int, int] = (160, 320)
    crop: int = 192
    jitter: float = 0.2
    lr: float = 0.01
    head_lr: float = 10.0
    momentum: float = 0.9
    weight_decay: float = 1e-4
    power: float = 0.9
    clip: float = 0.0
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    seed: int = 0
    workers: int = -1


@dataclass(frozen=True)
class PredictRecipe:
    """How the segmentation model is applied.

    Attributes:
        scales: factors on the image's size; scores are averaged.
        flip: also use the mirror image.
        long_side: pixels of the image's longer side at scale 1; 0 keeps the image's own size.
        crf: the dense CRF (an extra) that the scores go through; with 0 iterations they do not.
        tile: larger images are cut into overlapping tiles of this many pixels (at scale 1) a side; 0: never.
        overlap: pixels that neighbouring tiles share at least, over which their scores are blended.
        overlay: also write the labels laid over each photo.
        probabilities: also write the probabilities of every n-th pixel in both directions; 0: none.
        precision: as in classify.
    """

    scales: tuple[float, ...] = (1.0,)
    flip: bool = True
    long_side: int = 0
    crf: CrfRecipe = field(
        default_factory=lambda: CrfRecipe(
            iterations=0, near_xy=3.0, near_weight=1.0, colour_xy=67.0, colour_rgb=3.0, colour_weight=4.0
        )
    )
    tile: int = 1024
    overlap: int = 128
    overlay: bool = False
    probabilities: int = 0
    precision: Literal["auto", "bf16", "fp32"] = "auto"
