"""Settings of the classification network and of KTSE's objective."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Literal

from ktse.recipe.values import (
    AtLeastOne,
    BatchSize,
    Count,
    Factor,
    File,
    FromMinusOne,
    Levels,
    Positive,
    Rounds,
    Share,
    ShareAboveZero,
    ShareBelowOne,
    ShareInside,
    Side,
    Sides,
)

Stride = Literal[8, 16, 32]

LEAST_IMAGES = 800
"""Images of an epoch at least, where it learns from features."""

WHOLE_IMAGE_TERMS = {"classification", "background", "foreground", "inter_class"}
"""Terms that look at an image as it is."""


@dataclass(frozen=True)
class LossWeights:
    """Weight of each term of the objective; 0 switches a term off and saves its work."""

    classification: Factor = 1.0
    """Multi-label loss of the class scores, the only term of the warm-up."""
    transfer: Factor = 1.0
    """SIE, knowledge transfer between anchor, paired and stitched image (L_kt)."""
    background: Factor = 1.0
    """SSR, cross entropy over the pixels that the pseudo-label calls background."""
    foreground: Factor = 0.0125
    """SSR, cross entropy over the foreground pixels."""
    inter_class: Factor = 0.005
    """SSR, gap between the two strongest classes of a pixel (L_inter)."""
    stitched_background: Factor = 1.0
    """The same as background, on the stitched image."""
    stitched_foreground: Factor = 0.0125
    """The same as foreground, on the stitched image."""
    global_alignment: Factor = 1.0
    """MGA, pooled activation of the erased image against the anchor's."""
    local_alignment: Factor = 1.0
    """MGA, activation of the erased image against the anchor's, pixel by pixel."""
    erased_classification: Factor = 0.0
    """Rival ACoL, multi-label loss of the erased image's class scores."""
    attraction: Factor = 0.0
    """Rival AEFT, pooled GPP features of the erased image against the anchor's."""
    repulsion: Factor = 0.0
    """Rival AEFT, GPP features of the anchor's weak part against those of an image without common tags."""


@dataclass(frozen=True)
class ObjectiveRecipe:
    """The loss of the classification network after the warm-up (paper, section 3)."""

    weights: LossWeights = field(default_factory=LossWeights)
    """Weight of each named term."""
    margin: Factor = 0.05
    """Activation that may differ for free in L_kt and L_local."""
    erase_above: Share = 0.6
    """Foreground score, 0..1, above which MGA erases a pixel."""
    background: Literal["fixed", "auto"] = "fixed"
    """The two background scores are those given ("fixed"), or lie around the threshold at which the colours of the
    images explain the CAMs best ("auto"), found without truth at the end of the warm-up and of every epoch."""
    background_high: ShareInside = 0.3
    """Background score of the first pseudo-label map (beta_h), where it is fixed or not found."""
    background_low: ShareInside = 0.15
    """Background score of the second pseudo-label map (beta_l), likewise."""
    absent_quantile: ShareBelowOne = 0.0
    """Share, 0..1, of the pixels of images without a class on which its map is below the level from which it says
    anything; that level is taken off wherever activations become scores. 0: as published, the level is 0."""
    inter_above: Share = 0.2
    """Foreground score, 0..1, above which a pixel counts in L_inter."""
    pairs: Share = 1.0
    """Share of a batch that is stitched with a paired image, 0..1; at least one image when not 0."""
    erased: ShareAboveZero = 1.0
    """Share of a batch that is also seen erased for MGA."""
    partner: Literal["same-tag", "random"] = "same-tag"
    """The image that an anchor is paired with: a random one of the same tag, or any ("random")."""
    stitch: Literal["height", "width", "random"] = "height"
    """Axis along which anchor and paired image are joined, or a random one for each batch."""
    channels: Literal["all", "tagged"] = "all"
    """Average per-class losses over all classes, or over the tagged ones of an image, which makes their size
    independent of the number of classes."""
    foreground_images: Literal["single-tag", "all"] = "single-tag"
    """Which images teach foreground pixels: those with exactly one tag, or all."""
    inter_classes: Literal["all", "tagged"] = "tagged"
    """Which classes L_inter compares: all, or the tagged ones."""
    empty_cam: Literal["undecided", "published"] = "undecided"
    """What a tagged class without any positive activation means for the pseudo-label: left out ("undecided"), or the
    published code's division by a negative maximum ("published")."""
    par_iterations: Rounds = 10
    """Iterations of the pixel-adaptive refinement of the pseudo-label."""
    cutmix: Share = 0.0
    """Rival CutMix: share of the images, 0..1, into which a part of a random other image is pasted."""

    def conflicts(self) -> Iterator[tuple[str, str, bool]]:
        """Rules between settings."""
        yield "background_low", "at most background_high", self.background_low <= self.background_high


@dataclass(frozen=True)
class ClassifyRecipe:
    """The classification network and its training."""

    backbone: str = "mobilenetv2_100"
    """Any timm model name, or resnet38d (the paper's WideResNet-38)."""
    output_stride: Stride = 16
    """Pixels of the image per pixel of the CAM."""
    weights: File = "hub"
    """Initial weights of the backbone: "hub" (timm's download), "package" (a Python package of them, extra offline),
    "none", or a safetensors or .pth file; the head of a CAM network of the same classes is taken along."""
    levels: Levels = 1
    """How many of the backbone's levels, counted from the last, CAMs are made of. With 1 it is the last map, as
    published. More are each normalised, brought to the finest one's size and joined: the earlier ones see less of an
    object's surroundings, and say better where it is."""
    pooling: Literal["gpp", "lse"] = "gpp"
    """Class scores from the CAM by gated pyramid pooling ("gpp", the paper's) or by the log of the mean exponential
    ("lse"; Pinheiro & Collobert, CVPR 2015), which lets an object of any size speak for itself."""
    dropout: ShareBelowOne = 0.0
    """Share of the feature channels that are left out in training."""
    frozen_stages: FromMinusOne = 2
    """Children of the backbone, from the image on, that stay as they are; 4 for the paper's resnet38d (first
    convolution and first residual stage); -1 is the whole backbone."""
    batch_norm: Literal["frozen", "warmup"] = "frozen"
    """"frozen" throughout, or trained in the "warmup" and frozen after it."""
    objective: ObjectiveRecipe = field(default_factory=ObjectiveRecipe)
    """The loss after the warm-up."""
    epochs: AtLeastOne = 20
    """Passes over the images, warm-up included."""
    warmup: Count = 10
    """Number of epochs with the classification loss alone; equal to epochs is a plain CAM."""
    ramp: Factor = 1.0
    """Epochs over which the other terms grow to their weight after the warm-up."""
    batch_size: BatchSize = 16
    """Images in a batch after the warm-up, over all devices together."""
    warmup_batch_size: BatchSize = 16
    """Images in a batch during the warm-up."""
    long_side: Sides = (160, 320)
    """Range in pixels from which the longer side of an image is drawn."""
    crop: Side = 192
    """Side of the square that the network is trained on, in pixels."""
    optimizer: Literal["sgd", "adamw"] = "sgd"
    """"sgd", or "adamw", which has no use for momentum."""
    lr: Positive = 0.01
    """Learning rate of the backbone in the warm-up."""
    lr_after: Factor = 1.0
    """Factor on every learning rate after the warm-up."""
    momentum: ShareBelowOne = 0.9
    """SGD momentum in the warm-up."""
    momentum_after: ShareBelowOne = 0.9
    """SGD momentum after the warm-up."""
    head_lr: Positive = 10.0
    """Factor on the learning rate of the layers that start from random values."""
    weight_decay: Factor = 5e-4
    """L2 penalty on weights, not on biases and batch norm."""
    schedule: Literal["to-zero", "warmup-batch"] = "to-zero"
    """Where the decay of the learning rate ends: at zero after the last epoch ("to-zero"), or, as published, where as
    many steps of the warm-up's batch size would end, so that larger batches afterwards leave it above zero
    ("warmup-batch")."""
    retries: Rounds = 2
    """How often a collapse is answered by going back to the end of the warm-up with a quarter of the learning rate,
    before the run gives up."""
    keep_every: Count = 0
    """Keep the checkpoint of every so many epochs, to look at later (ktse phenomenon); 0: none."""

    @property
    def on_features(self) -> bool:
        """Whether everything that is learned can be learned from what a frozen backbone sees in whole images.

        Then each image goes through the backbone once, not once in each epoch. The terms that look at stitched, erased
        or mixed images need the backbone in each step.
        """
        used = {name for name, weight in asdict(self.objective.weights).items() if weight}
        frozen = self.frozen_stages == -1 and self.batch_norm == "frozen" and self.levels > 1
        return frozen and self.pooling == "lse" and self.objective.cutmix == 0 and used <= WHOLE_IMAGE_TERMS

    @property
    def least_images(self) -> int:
        """Images of an epoch at least; fewer are each seen several times, which costs little on features."""
        return LEAST_IMAGES if self.on_features else 0

    def conflicts(self) -> Iterator[tuple[str, str, bool]]:
        """Rules between settings."""
        yield "warmup", "in 0..classify.epochs", self.warmup <= self.epochs
        weights = self.objective.weights
        compares = bool(weights.attraction or weights.repulsion)
        yield (
            "pooling",
            "gpp with the weights attraction and repulsion, which compare its pyramid",
            self.pooling == "gpp" or not compares,
        )
