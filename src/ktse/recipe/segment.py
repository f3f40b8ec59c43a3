"""Settings of the segmentation model and of its use."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from ktse.recipe.masks import CrfRecipe


@dataclass(frozen=True)
class BecoRecipe:
    """Co-training of two networks; the defaults are the published ones (Rong et al., CVPR 2023).

    Attributes:
        warmup: epochs in which pasted pixels bring their mask's label, before the networks' own labels are good enough.
        online_threshold: mean probability of both networks, 0..1, above which their label of a pixel counts as sure.
        mix: probability, 0..1, that an image gets objects of another one of the batch pasted into it; 0: never.
        boundary_weight: what pixels at the edge of something pasted count beyond the 1 of all others.
        boundary_width: pixels on each side of that edge which count so.
    """

    warmup: int = 2
    online_threshold: float = 0.95
    mix: float = 0.5
    boundary_weight: float = 0.2
    boundary_width: int = 1


@dataclass(frozen=True)
class SegmentRecipe:
    """The segmentation model that is trained on the masks.

    Attributes:
        method: one network ("single"), or two that teach each other where the masks are doubtful ("beco"); these are
            used together, at twice the cost.
        targets: what a pixel is to be: the label of its mask ("hard"), or the probabilities of its classes that follow
            from the stored scores and their threshold ("soft", for "single" alone).
        confidence_weight: what counts less: "image", masks of low confidence (masks/confidence.csv); "pixel", the
            doubtful half of each label's pixels (confident/ID.png; for "single" alone); "both", or "none".
        doubtful_weight: what a doubtful pixel counts with "pixel" and "both", 0..1.
        presence: weight of a loss that asks whether a crop shows a class at all, beside the cross entropy of its
            pixels; 0: none (for "single" alone).
        ema: the model is a moving average of the weights, of which each step keeps this share, 0..1; 0: the last ones.
        corrections: folder of corrected masks, named like masks/ID.png; they take the place of the masks in training.
        correction_weight: how many masks of full confidence a corrected mask counts as.
        beco: the co-training.
        architecture: any segmentation_models_pytorch architecture, or deeplabv2.
        encoder: any timm model name.
        weights: initial weights of the encoder: as in classify, or "classify": what its backbone has learned.
        frozen_stages: children of the encoder, from the image on, that stay as they are, which saves their way back;
            -1: the whole encoder.
        batch_norm: that of the encoder "frozen", or "trained".
        epochs: passes over the images.
        most_images: images, each counted as often as it is seen, beyond which there are fewer epochs; 0: no limit.
        batch_size: images in a batch, over all devices together.
        long_side: range in pixels from which the longer side of an image is drawn.
        crop: side of the square that the network is trained on, in pixels.
        jitter: strength of brightness, contrast and saturation changes, 0..1.
        lr: learning rate of the encoder.
        head_lr: factor on the learning rate of the decoder.
        momentum: SGD momentum.
        weight_decay: L2 penalty on weights, not on biases and batch norm.
        power: exponent of the learning rate's polynomial decay.
        end_lr: learning rate of the encoder that the decay ends at.
        clip: largest norm of the gradient; 0: no limit.
        retries: how often a collapse is answered by going back to the start with a quarter of the learning rate, before
            the run gives up.
        precision, seed, workers: as in classify.
    """

    method: Literal["single", "beco"] = "single"
    targets: Literal["hard", "soft"] = "hard"
    confidence_weight: Literal["none", "image", "pixel", "both"] = "none"
    doubtful_weight: float = 0.5
    presence: float = 0.0
    ema: float = 0.0
    corrections: str = ""
    correction_weight: float = 1.0
    beco: BecoRecipe = field(default_factory=BecoRecipe)

    architecture: str = "deeplabv3plus"
    encoder: str = "mobilenetv2_100"
    weights: str = "hub"
    frozen_stages: int = 0
    batch_norm: Literal["frozen", "trained"] = "frozen"
    epochs: int = 12
    most_images: int = 0
    batch_size: int = 16
    long_side: tuple[int, int] = (160, 320)
    crop: int = 192
    jitter: float = 0.2
    lr: float = 0.01
    head_lr: float = 10.0
    momentum: float = 0.9
    weight_decay: float = 1e-4
    power: float = 0.9
    end_lr: float = 0.0
    clip: float = 0.0
    retries: int = 2
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    seed: int = 0
    workers: int = -1

    def passes(self, images: int) -> int:
        """Epochs over so many images, after `most_images`; at least one."""
        limit = round(self.most_images / max(1, images)) if self.most_images else self.epochs
        return max(1, min(self.epochs, limit))


@dataclass(frozen=True)
class PredictRecipe:
    """How the segmentation model is applied.

    Attributes:
        scales: factors on the image's size.
        merge: what becomes of the scales: the mean of their probabilities, or the pixelwise maximum of their scores
            before the softmax ("max", as published).
        flip: also use the mirror image.
        long_side: pixels of the image's longer side at scale 1; 0 keeps the image's own size.
        fuse: for the run's own images, which have masks: weight, 0..1, of the model in fused/ID.png, where mask and
            model decide together, among the image's tags; "auto": the one whose masks the colours of the images explain
            best; 0: there are no fused masks.
        crf: the dense CRF (an extra) that the scores go through; with 0 iterations they do not.
        tile: larger images are cut into overlapping tiles of this many pixels (at scale 1) a side; 0: never.
        overlap: pixels that neighbouring tiles share at least, over which their scores are blended.
        overlay: also write the labels laid over each photo.
        probabilities: also write the probabilities of every n-th pixel in both directions; 0: none.
        precision: as in classify.
    """

    scales: tuple[float, ...] = (1.0,)
    merge: Literal["mean", "max"] = "mean"
    flip: bool = True
    long_side: int = 0
    fuse: float | Literal["auto"] = "auto"
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
