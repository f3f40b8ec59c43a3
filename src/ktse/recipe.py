"""Every setting of a run: one frozen dataclass per stage."""

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


@dataclass(frozen=True)
class ObjectiveRecipe:
    """The loss of the classification network after the warm-up (paper, section 3).

    Attributes:
        weights: weight of each named term.
        margin: activation that may differ for free in L_kt and L_local.
        erase_above: foreground score, 0..1, above which MGA erases a pixel.
        background_high: background score of the first pseudo-label map (beta_h).
        background_low: background score of the second pseudo-label map (beta_l).
        inter_above: foreground score, 0..1, above which a pixel counts in L_inter.
        pairs: share of a batch that is stitched with a paired image, 0..1; at least one image when not 0.
        erased: share of a batch that is also seen erased for MGA, above 0, at most 1.
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
    """

    weights: LossWeights = field(default_factory=LossWeights)
    margin: float = 0.05
    erase_above: float = 0.6
    background_high: float = 0.3
    background_low: float = 0.15
    inter_above: float = 0.2
    pairs: float = 1.0
    erased: float = 1.0
    stitch: Literal["height", "width", "random"] = "height"
    channels: Literal["all", "tagged"] = "all"
    foreground_images: Literal["single-tag", "all"] = "single-tag"
    foreground_balance: Literal["pixel", "class"] = "pixel"
    inter_classes: Literal["all", "tagged"] = "tagged"
    empty_cam: Literal["undecided", "published"] = "undecided"
    par_iterations: int = 10


@dataclass(frozen=True)
class ClassifyRecipe:
    """The classification network and its training.

    Attributes:
        backbone: any timm model name, or resnet38d (the paper's WideResNet-38).
        output_stride: pixels of the image per pixel of the CAM.
        weights: initial weights of the backbone: "hub" (timm's download), "none", or a safetensors or .pth file; from
            a CAM network of the same classes the head comes along.
        hidden: channels between backbone and CAM.
        frozen_stages: children of the backbone, from the image on, that stay as they are; 4 for the paper's
            resnet38d (first convolution and first residual stage).
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
        lr: learning rate of the backbone in the warm-up.
        lr_after: factor on every learning rate after the warm-up.
        momentum: SGD momentum in the warm-up.
        momentum_after: SGD momentum after the warm-up.
        head_lr: factor on the learning rate of the layers that start from random values.
        weight_decay: L2 penalty on weights, not on biases and batch norm.
        power: exponent of the learning rate's polynomial decay to zero.
        clip: largest norm of the gradient; 0: no limit.
        retries: how often a collapse is answered by going back to the end of the warm-up with a quarter of the
            learning rate, before the run gives up.
        precision: "auto" takes bfloat16 where the device computes it natively.
        seed: seed of every random choice.
        workers: processes that read images; -1 chooses by the number of cores.
    """

    backbone: str = "mobilenetv2_100"
    output_stride: int = 16
    weights: str = "hub"
    hidden: int = 256
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
    lr: float = 0.01
    lr_after: float = 1.0
    momentum: float = 0.9
    momentum_after: float = 0.9
    head_lr: float = 10.0
    weight_decay: float = 5e-4
    power: float = 0.9
    clip: float = 0.0
    retries: int = 2
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    seed: int = 0
    workers: int = -1


@dataclass(frozen=True)
class SeedRecipe:
    """Class activation maps of every image.

    Attributes:
        scales: factors on the image's size; each is used with its mirror image.
        long_side: pixels of the image's longer side at scale 1; 0 keeps the image's own size.
        stride: pixels of the image per pixel of the stored CAM.
        precision: as in classify.
    """

    scales: tuple[float, ...] = (0.5, 1.0, 1.5, 2.0)
    long_side: int = 0
    stride: int = 4
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
            walk between the boundaries of the affinity stage), and, as the last, crf (dense CRF, an extra); [] is none.
        iterations: iterations of PAR.
        walk_radius: a step of the random walk leads to pixels, at a quarter of the image's size, closer than this.
        walk_power: exponent of the affinity in the random walk.
        walk_steps: steps of the random walk.
        crf: the dense CRF.
        stride: pixels of the image per pixel of the map on which PAR works, and of the stored scores.
        threshold: background threshold in 0..1, or "auto": chosen from the scores of all images alone.
        undecided: half width of the band of scores around the threshold that becomes 255 in the mask.
        precision, workers: as in classify.
    """

    method: tuple[Literal["par", "irn", "crf"], ...] = ("par",)
    iterations: int = 10
    walk_radius: int = 5
    walk_power: float = 10.0
    walk_steps: int = 256
    crf: CrfRecipe = field(default_factory=CrfRecipe)
    stride: int = 2
    threshold: float | Literal["auto"] = "auto"
    undecided: float = 0.0
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    workers: int = -1

    @property
    def chain(self) -> str:
        """The refiners as words, such as "irn+crf", or "none"."""
        return "+".join(self.method) or "none"


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


@dataclass(frozen=True)
class DataRecipe:
    """Where the images and their tags are. Whatever trains sees nothing else.

    Attributes:
        images: folder of images, or the root of a data set.
        tags: file of tags; empty where the folder says what is in its images.
        form: "table" (CSV, TSV, JSON, list), "folders" (one per class), "voc", "coco", "datasets" (Hugging Face), or
            "auto": found out.
        image_column: column of image names in a table; empty: found by its name.
        tag_column: column of tags in a table, or several, joined by commas, with 0 and 1; empty: found by its name.
        separator: what stands between tags in a cell; empty: the first of ; | , that occurs.
        classes: file with one class name a line, the only ones used and in this order; "voc": the 20 of PASCAL VOC.
        train_list: file with one image name a line: only these, and those for validation, are used.
        validation_list: file with one image name a line: these are kept out of all training.
        validation: share of the images, 0..1, kept out of all training where no list says which.
        seed: seed of that choice.
        skip_bad: leave out images that cannot be read, instead of stopping.
    """

    images: str = ""
    tags: str = ""
    form: Literal["auto", "table", "folders", "voc", "coco", "datasets"] = "auto"
    image_column: str = ""
    tag_column: str = ""
    separator: str = ""
    classes: str = ""
    train_list: str = ""
    validation_list: str = ""
    validation: float = 0.0
    seed: int = 0
    skip_bad: bool = False


@dataclass(frozen=True)
class TruthRecipe:
    """True masks, for measuring only.

    Attributes:
        masks: folder of mask PNGs (0 background, k class k, 255 ignored), or empty.
    """

    masks: str = ""


@dataclass(frozen=True)
class Recipe:
    """All settings of a run.

    Attributes:
        data: images and tags.
        truth: true masks, for measuring only.
        classify, seed, affinity, refine, segment, predict: the settings of each stage.
    """

    data: DataRecipe = field(default_factory=DataRecipe)
    truth: TruthRecipe = field(default_factory=TruthRecipe)
    classify: ClassifyRecipe = field(default_factory=ClassifyRecipe)
    seed: SeedRecipe = field(default_factory=SeedRecipe)
    affinity: AffinityRecipe = field(default_factory=AffinityRecipe)
    refine: RefineRecipe = field(default_factory=RefineRecipe)
    segment: SegmentRecipe = field(default_factory=SegmentRecipe)
    predict: PredictRecipe = field(default_factory=PredictRecipe)
