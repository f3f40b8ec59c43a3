"""Settings from CAMs to masks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

MEGAPIXEL = 1 << 20
"""Pixels of an image of 1024 x 1024; those of VOC and COCO have less than half of it."""


@dataclass(frozen=True)
class SeedRecipe:
    """Class activation maps of every image.

    Attributes:
        scales: factors on the image's size; each is used with its mirror image.
        long_side: pixels of the image's longer side at scale 1; 0 keeps the image's own size, up to `pixels`.
        pixels: a larger image is taken as one of this many pixels, so that memory has a bound; 0: none.
        stride: pixels of the image per pixel of the stored CAM.
        source: network that the CAMs come from: the trained one ("final"), the one at the end of the "warmup", which is
            a plain CAM, or "auto": final, unless masks of the warm-up clearly follow the images better.
        precision: as in classify.
    """

    scales: tuple[float, ...] = (0.5, 1.0, 1.5, 2.0)
    long_side: int = 0
    pixels: int = MEGAPIXEL
    stride: int = 4
    source: Literal["final", "warmup", "auto"] = "final"
    precision: Literal["auto", "bf16", "fp32"] = "auto"


@dataclass(frozen=True)
class CrfRecipe:
    """A dense CRF; the defaults are those published for seeds.

    Attributes:
        iterations: steps of mean-field inference.
        near_xy: reach in pixels of the kernel that wants neighbours to agree.
        near_weight: its weight.
        colour_xy: reach in pixels of the kernel that wants neighbours of like colour to agree.
        colour_rgb: difference of colour, 0..255, that still counts as alike.
        colour_weight: its weight.
    """

    iterations: int = 10
    near_xy: float = 3.0
    near_weight: float = 3.0
    colour_xy: float = 50.0
    colour_rgb: float = 5.0
    colour_weight: float = 10.0


@dataclass(frozen=True)
class AffinityRecipe:
    """IRN's boundary network and its training on confident seeds; the defaults are the published ones.

    Attributes:
        backbone: any timm model with features_only.
        output_stride: pixels of the image per pixel of the backbone's coarsest level; 32 leaves the model as it is.
        weights: initial weights of the backbone: as in classify.
        labels: what makes the seed follow the image before training: "crf", "par" or "none".
        background_high: background score of the label map that decides what is foreground.
        background_low: background score of the label map that decides what is background.
        crf: the dense CRF of the labels.
        radius: pairs of pixels, at a quarter of the image's size, are closer than this.
        epochs: passes over the images.
        batch_size: images in a batch, over all devices together.
        long_side: range in pixels from which the longer side of an image is drawn (0.5 to 1.5 times VOC's 500).
        crop: side of the square that the network is trained on, in pixels, a multiple of 4.
        pixels: as in seed, for the labels.
        lr: learning rate of the boundary branch.
        head_lr: factor on it for the displacement branch.
        backbone_lr: factor on it for the backbone; 0 leaves the backbone as it is.
        momentum: SGD momentum (published: the weight decay, in momentum's place).
        weight_decay: L2 penalty on weights, not on biases and norms.
        power: exponent of the learning rate's polynomial decay to zero.
        clip: largest norm of the gradient; 0: no limit.
        precision, seed, workers: as in classify; the workers make labels too.
    """

    backbone: str = "resnet50.tv_in1k"
    output_stride: int = 16
    weights: str = "hub"
    labels: Literal["crf", "par", "none"] = "crf"
    background_high: float = 0.3
    background_low: float = 0.1
    crf: CrfRecipe = field(default_factory=CrfRecipe)
    radius: int = 10
    epochs: int = 3
    batch_size: int = 32
    long_side: tuple[int, int] = (250, 750)
    crop: int = 512
    pixels: int = MEGAPIXEL
    lr: float = 0.1
    head_lr: float = 10.0
    backbone_lr: float = 0.0
    momentum: float = 1e-4
    weight_decay: float = 1e-4
    power: float = 0.9
    clip: float = 0.0
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    seed: int = 0
    workers: int = -1


@dataclass(frozen=True)
class RefineRecipe:
    """Masks from CAMs.

    Attributes:
        method: refiners, one after another, such as [par] or [irn, crf]: par (pixel-adaptive refinement), irn (random
            walk between the boundaries of the affinity stage), sam (masks of a SAM that fit the seed, an extra), and,
            as the last, crf (dense CRF, an extra); [] is none.
        iterations: iterations of PAR.
        walk_radius: a step of the random walk leads to pixels, at a quarter of the image's size, closer than this.
        walk_power: exponent of the affinity in the random walk.
        walk_steps: steps of the random walk.
        sam_weights: folder of a SAM, config.json and model.safetensors, for the refiner sam.
        sam_points: places of a class, at most, that the SAM is asked about.
        crf: the dense CRF.
        stride: pixels of the image per pixel of the map on which PAR works, and of the stored scores.
        pixels: as in seed; the mask still has the image's own size.
        threshold: background threshold in 0..1, or "auto": chosen from the scores of all images alone.
        calibrate: folder of a handful of true masks, named like their images, that choose the threshold instead; empty:
            none. Their images are not measured.
        undecided: half width of the band of scores around the threshold that becomes 255 in the mask.
        precision, workers: as in classify.
    """

    method: tuple[Literal["par", "irn", "sam", "crf"], ...] = ("par",)
    iterations: int = 10
    walk_radius: int = 5
    walk_power: float = 10.0
    walk_steps: int = 256
    sam_weights: str = ""
    sam_points: int = 4
    crf: CrfRecipe = field(default_factory=CrfRecipe)
    stride: int = 2
    pixels: int = 4 * MEGAPIXEL
    threshold: float | Literal["auto"] = "auto"
    calibrate: str = ""
    undecided: float = 0.0
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    workers: int = -1

    @property
    def chain(self) -> str:
        """The refiners as words, such as "irn+crf", or "none"."""
        return "+".join(self.method) or "none"
