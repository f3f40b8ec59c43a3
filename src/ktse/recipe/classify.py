"""Settings of the classification network and of KTSE's objective."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class LossWeights:
    """Weight of each term of the objective; 0 switches a term off and saves its work.

    Attributes:
        classification: multi-label loss of the class scores, the only term of the warm-up.
        transfer: SIE, knowledge transfer between anchor, paired and stitched image (L_kt).
        background: SSR, cross entropy over the pixels that the pseudo-label calls background.
        foreground: SSR, cross entropy over the foreground pixels.
        inter_class: SSR, gap between the two strongest classes of a pixel (L_inter).
        stitched_background: the same as background, on the stitched image.
        stitched_foreground: the same as foreground, on the stitched image.
        global_alignment: MGA, pooled activation of the erased image against the anchor's.
        local_alignment: MGA, activation of the erased image against the anchor's, pixel by pixel.
        erased_classification: rival ACoL, multi-label loss of the erased image's class scores.
        attraction: rival AEFT, pooled GPP features of the erased image against the anchor's.
        repulsion: rival AEFT, GPP features of the anchor's weak part against those of an image without common tags.
    """

    classification: float = 1.0
    transfer: float = 1.0
    background: float = 1.0
    foreground: float = 0.0125
    inter_class: float = 0.005
    stitched_background: float = 1.0
    stitched_foreground: float = 0.0125
    global_alignment: float = 1.0
    local_alignment: float = 1.0
    erased_classification: float = 0.0
    attraction: float = 0.0
    repulsion: float = 0.0


@dataclass(frozen=True)
class ObjectiveRecipe:
    """The loss of the classification network after the warm-up (paper, section 3).

    Attributes:
        weights: weight of each named term.
        margin: activation that may differ for free in L_kt and L_local.
        erase_above: foreground score, 0..1, above which MGA erases a pixel.
        background: the two background scores are those given ("fixed"), or lie around the threshold at which the
            colours of the images explain the CAMs best ("auto"), found without truth at the end of the warm-up and of
            every epoch.
        background_high: background score of the first pseudo-label map (beta_h), where it is fixed or not found.
        background_low: background score of the second pseudo-label map (beta_l), likewise.
        background_spread: how far the two lie from the found threshold, as a share of it, 0..1.
        absent_quantile: share, 0..1, of the pixels of images without a class on which its map is below the level from
            which it says anything; that level is taken off wherever activations become scores. 0: as published, the
            level is 0.
        inter_above: foreground score, 0..1, above which a pixel counts in L_inter.
        pairs: share of a batch that is stitched with a paired image, 0..1; at least one image when not 0.
        erased: share of a batch that is also seen erased for MGA, above 0, at most 1.
        partner: the image that an anchor is paired with: a random one of the same tag, or any ("random").
        stitch: axis along which anchor and paired image are joined, or a random one for each batch.
        channels: average per-class losses over all classes, or over the tagged ones of an image, which makes
            their size independent of the number of classes.
        foreground_images: which images teach foreground pixels: those with exactly one tag, or all.
        foreground_balance: every foreground pixel counts alike ("pixel"), or every class of an image ("class"), so
            that small objects are not drowned by large ones.
        inter_classes: which classes L_inter compares: all, or the tagged ones.
        empty_cam: what a tagged class without any positive activation means for the pseudo-label: left out
            ("undecided"), or the published code's division by a negative maximum ("published").
        par_iterations: iterations of the pixel-adaptive refinement of the pseudo-label.
        cutmix: rival CutMix: share of the images, 0..1, into which a part of a random other image is pasted.
        repel_below: normalised activation, 0..1, under which a pixel belongs to the weak part in the repulsion.
        repel_margin: squared distance from which images are far enough apart for the repulsion.
    """

    weights: LossWeights = field(default_factory=LossWeights)
    margin: float = 0.05
    erase_above: float = 0.6
    background: Literal["fixed", "auto"] = "fixed"
    background_high: float = 0.3
    background_low: float = 0.15
    background_spread: float = 0.15
    absent_quantile: float = 0.0
    inter_above: float = 0.2
    pairs: float = 1.0
    erased: float = 1.0
    partner: Literal["same-tag", "random"] = "same-tag"
    stitch: Literal["height", "width", "random"] = "height"
    channels: Literal["all", "tagged"] = "all"
    foreground_images: Literal["single-tag", "all"] = "single-tag"
    foreground_balance: Literal["pixel", "class"] = "pixel"
    inter_classes: Literal["all", "tagged"] = "tagged"
    empty_cam: Literal["undecided", "published"] = "undecided"
    par_iterations: int = 10
    cutmix: float = 0.0
    repel_below: float = 0.2
    repel_margin: float = 0.5


@dataclass(frozen=True)
class ClassifyRecipe:
    """The classification network and its training.

    Attributes:
        backbone: any timm model name, or resnet38d (the paper's WideResNet-38).
        output_stride: pixels of the image per pixel of the CAM.
        weights: initial weights of the backbone: "hub" (timm's download), "none", or a safetensors or .pth file; from
            a CAM network of the same classes the head comes along.
        levels: how many of the backbone's levels, counted from the last, CAMs are made of. With 1 it is the last map,
            as published. More are each normalised, brought to the finest one's size and joined: the earlier ones see
            less of an object's surroundings, and say better where it is.
        hidden: channels between backbone and CAM.
        pooling: class scores from the CAM by gated pyramid pooling ("gpp", the paper's) or by the log of the mean
            exponential ("lse"; Pinheiro & Collobert, CVPR 2015), which lets an object of any size speak for itself.
        dropout: share of the feature channels that are left out in training, 0..1.
        frozen_stages: children of the backbone, from the image on, that stay as they are; 4 for the paper's
            resnet38d (first convolution and first residual stage); -1 is the whole backbone.
        batch_norm: "frozen" throughout, or trained in the "warmup" and frozen after it.
        objective: the loss after the warm-up.
        epochs: passes over the images, warm-up included.
        warmup: largest number of epochs with the classification loss alone; equal to epochs is a plain CAM.
        warmup_patience: end the warm-up early after this many epochs in which the tags got no better; 0: never.
        ramp: epochs over which the other terms grow to their weight after the warm-up.
        batch_size: images in a batch after the warm-up, over all devices together.
        warmup_batch_size: images in a batch during the warm-up.
        long_side: range in pixels from which the longer side of an image is drawn.
        crop: side of the square that the network is trained on, in pixels.
        jitter: strength of brightness, contrast and saturation changes, 0..1.
        optimizer: "sgd", or "adamw", which has no use for momentum.
        lr: learning rate of the backbone in the warm-up.
        lr_after: factor on every learning rate after the warm-up.
        momentum: SGD momentum in the warm-up.
        momentum_after: SGD momentum after the warm-up.
        head_lr: factor on the learning rate of the layers that start from random values.
        weight_decay: L2 penalty on weights, not on biases and batch norm.
        power: exponent of the learning rate's polynomial decay.
        schedule: where that decay ends: at zero after the last epoch ("to-zero"), or, as published, where as many
            steps of the warm-up's batch size would end, so that larger batches afterwards leave it above zero
            ("warmup-batch").
        clip: largest norm of the gradient; 0: no limit.
        retries: how often a collapse is answered by going back to the end of the warm-up with a quarter of the
            learning rate, before the run gives up.
        keep_every: keep the checkpoint of every so many epochs, to look at later (ktse phenomenon); 0: none.
        precision: "auto" takes bfloat16 where the device computes it natively.
        seed: seed of every random choice.
        workers: processes that read images; -1 chooses by the number of cores, 0: none but the one that trains.
    """

    backbone: str = "mobilenetv2_100"
    output_stride: int = 16
    weights: str = "hub"
    levels: int = 1
    hidden: int = 256
    pooling: Literal["gpp", "lse"] = "gpp"
    dropout: float = 0.0
    frozen_stages: int = 2
    batch_norm: Literal["frozen", "warmup"] = "frozen"
    objective: ObjectiveRecipe = field(default_factory=ObjectiveRecipe)
    epochs: int = 20
    warmup: int = 10
    warmup_patience: int = 0
    ramp: float = 1.0
    batch_size: int = 16
    warmup_batch_size: int = 16
    long_side: tuple[int, int] = (160, 320)
    crop: int = 192
    jitter: float = 0.0
    optimizer: Literal["sgd", "adamw"] = "sgd"
    lr: float = 0.01
    lr_after: float = 1.0
    momentum: float = 0.9
    momentum_after: float = 0.9
    head_lr: float = 10.0
    weight_decay: float = 5e-4
    power: float = 0.9
    schedule: Literal["to-zero", "warmup-batch"] = "to-zero"
    clip: float = 0.0
    retries: int = 2
    keep_every: int = 0
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    seed: int = 0
    workers: int = -1
