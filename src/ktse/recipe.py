"""Every setting of a run: one frozen dataclass per stage; read from YAML, set by name from Python or the shell."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import yaml
from jsonargparse import ArgumentError, ArgumentParser

from ktse.errors import RecipeError

RECIPES = ("demo", "fast")


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
        stitch: axis along which anchor and paired image are joined, or a random one for each batch.
        channels: average per-class losses over all classes, or over the tagged ones of an image, which makes
            their size independent of the number of classes.
        foreground_images: which images teach foreground pixels: those with exactly one tag, or all.
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
    stitch: Literal["height", "width", "random"] = "height"
    channels: Literal["all", "tagged"] = "all"
    foreground_images: Literal["single-tag", "all"] = "single-tag"
    inter_classes: Literal["all", "tagged"] = "tagged"
    empty_cam: Literal["undecided", "published"] = "undecided"
    par_iterations: int = 10


@dataclass(frozen=True)
class ClassifyRecipe:
    """The classification network and its training.

    Attributes:
        backbone: any timm model name.
        output_stride: pixels of the image per pixel of the CAM.
        weights: initial weights of the backbone: "hub" (timm's download), "none", or a safetensors or .pth file.
        hidden: channels between backbone and CAM.
        frozen_stages: children of the backbone, from the image on, that stay as they are.
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
class RefineRecipe:
    """Masks from CAMs.

    Attributes:
        method: "par" (pixel-adaptive refinement) or "none".
        iterations: iterations of PAR.
        stride: pixels of the image per pixel of the map on which PAR works.
        threshold: background threshold in 0..1, or "auto": chosen from the scores of all images alone.
        undecided: half width of the band of scores around the threshold that becomes 255 in the mask.
    """

    method: Literal["par", "none"] = "par"
    iterations: int = 10
    stride: int = 2
    threshold: float | Literal["auto"] = "auto"
    undecided: float = 0.0


@dataclass(frozen=True)
class SegmentRecipe:
    """The segmentation model that is trained on the masks.

    Attributes:
        architecture: any segmentation_models_pytorch architecture.
        encoder: any timm model name.
        weights: initial weights of the encoder: as in classify.
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
        precision: as in classify.
    """

    scales: tuple[float, ...] = (1.0,)
    flip: bool = True
    long_side: int = 0
    precision: Literal["auto", "bf16", "fp32"] = "auto"


@dataclass(frozen=True)
class DataRecipe:
    """Where the images and their tags are. Whatever trains sees nothing else.

    Attributes:
        images: folder of images.
        tags: CSV file with a column of image names and one of tags.
        validation: share of the images, 0..1, kept out of all training.
        seed: seed of that choice.
    """

    images: str = ""
    tags: str = ""
    validation: float = 0.0
    seed: int = 0


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
        classify, seed, refine, segment, predict: the settings of each stage.
    """

    data: DataRecipe = field(default_factory=DataRecipe)
    truth: TruthRecipe = field(default_factory=TruthRecipe)
    classify: ClassifyRecipe = field(default_factory=ClassifyRecipe)
    seed: SeedRecipe = field(default_factory=SeedRecipe)
    refine: RefineRecipe = field(default_factory=RefineRecipe)
    segment: SegmentRecipe = field(default_factory=SegmentRecipe)
    predict: PredictRecipe = field(default_factory=PredictRecipe)


_STAGES = tuple(stage.name for stage in dataclasses.fields(Recipe))


def add_recipe_arguments(parser: ArgumentParser, stages: tuple[str, ...] = _STAGES) -> None:
    """Add settings to a parser, as ``--classify.epochs`` and so on."""
    for stage in dataclasses.fields(Recipe):
        if stage.name in stages:
            parser.add_class_arguments(stage.default_factory, stage.name)


def _parser() -> ArgumentParser:
    parser = ArgumentParser(exit_on_error=False)
    add_recipe_arguments(parser)
    return parser


def recipe_path(name: str | Path) -> Path:
    """The file of a recipe given by the name of a packaged one or by path.

    Raises:
        RecipeError: there is no such recipe.
    """
    if str(name) in RECIPES:
        return Path(str(resources.files("ktse") / "recipes" / f"{name}.yaml"))
    if not Path(name).is_file():
        raise RecipeError(
            f"there is no recipe {str(name)!r}", hint=f"Give one of {', '.join(RECIPES)}, or the path of a YAML file."
        )
    return Path(name)


def load_recipe(name: str | Path, settings: Mapping[str, Any] | None = None) -> Recipe:
    """Read a recipe and change settings in it.

    Args:
        name: name of a packaged recipe, or path of a YAML file.
        settings: changes, nested (``{"classify": {"epochs": 5}}``) or dotted (``{"classify.epochs": 5}``).

    Raises:
        RecipeError: there is no such recipe, or a setting is unknown or has the wrong type.
    """
    path = recipe_path(name)
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path} is not valid YAML", where=str(error)) from error
    if not isinstance(content, dict):
        raise RecipeError(f"{path} does not hold settings", hint="Write lines such as 'classify: {epochs: 10}'.")
    return recipe_from_dict(merged(content, settings or {}), source=str(path))


def recipe_from_dict(content: Mapping[str, Any], source: str = "settings") -> Recipe:
    """Turn nested plain values into a checked recipe.

    Raises:
        RecipeError: a setting is unknown or has the wrong type.
    """
    parser = _parser()
    flat = [key for key, value in content.items() if key in _STAGES and not isinstance(value, Mapping)]
    if flat:
        raise RecipeError(f"{flat[0]} in {source} must hold settings", hint=f"For example: {flat[0]}: {{seed: 1}}")
    try:
        parsed = parser.instantiate(parser.parse_object(dict(content)))
    except (ArgumentError, TypeError, ValueError) as error:
        raise RecipeError(
            f"a setting in {source} cannot be used", where=str(error), hint="All settings: ktse run --help"
        ) from error
    recipe = Recipe(**{stage.name: parsed[stage.name] for stage in dataclasses.fields(Recipe)})
    validate(recipe)
    return recipe


def to_dict(recipe: Any) -> dict[str, Any]:
    """Plain nested values of a recipe or of one stage's part, ready for YAML and JSON."""
    return {key: _plain(value) for key, value in dataclasses.asdict(recipe).items()}


def validate(recipe: Recipe) -> None:
    """Check the ranges that types cannot express, all at once.

    Raises:
        RecipeError: settings out of range, each named.
    """
    problems = []

    def need(fine: bool, key: str, rule: str, value: object) -> None:
        if not fine:
            problems.append(f"{key} is {value}, but must be {rule}")

    classify, objective = recipe.classify, recipe.classify.objective
    for name, stage in (("classify", classify), ("segment", recipe.segment)):
        need(stage.epochs >= 1, f"{name}.epochs", "1 or more", stage.epochs)
        need(stage.batch_size >= 1, f"{name}.batch_size", "1 or more", stage.batch_size)
        need(stage.crop >= 32, f"{name}.crop", "32 or more", stage.crop)
        need(stage.lr > 0, f"{name}.lr", "above 0", stage.lr)
        need(0 <= stage.momentum < 1, f"{name}.momentum", "in 0..1", stage.momentum)
        need(
            32 <= stage.long_side[0] <= stage.long_side[1],
            f"{name}.long_side",
            "an increasing range from 32",
            stage.long_side,
        )
    need(classify.warmup_batch_size >= 1, "classify.warmup_batch_size", "1 or more", classify.warmup_batch_size)
    need(classify.output_stride in (8, 16, 32), "classify.output_stride", "8, 16 or 32", classify.output_stride)
    need(0 <= classify.warmup <= classify.epochs, "classify.warmup", "in 0..classify.epochs", classify.warmup)
    need(0 <= objective.pairs <= 1, "classify.objective.pairs", "in 0..1", objective.pairs)
    need(
        0 < objective.background_low <= objective.background_high < 1,
        "classify.objective.background_low",
        "above 0 and at most background_high",
        objective.background_low,
    )
    need(
        len(recipe.seed.scales) > 0 and min(recipe.seed.scales) > 0,
        "seed.scales",
        "positive numbers",
        recipe.seed.scales,
    )
    need(
        len(recipe.predict.scales) > 0 and min(recipe.predict.scales) > 0,
        "predict.scales",
        "positive numbers",
        recipe.predict.scales,
    )
    need(recipe.seed.stride >= 1, "seed.stride", "1 or more", recipe.seed.stride)
    need(recipe.refine.stride >= 1, "refine.stride", "1 or more", recipe.refine.stride)
    need(
        recipe.refine.threshold == "auto" or 0 <= float(recipe.refine.threshold) <= 1,
        "refine.threshold",
        "auto or in 0..1",
        recipe.refine.threshold,
    )
    need(0 <= recipe.data.validation < 1, "data.validation", "in 0..1, below 1", recipe.data.validation)
    if problems:
        raise RecipeError("some settings are out of range", where=problems)


def merged(content: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Plain nested values with changes, which may be nested or dotted."""
    result = copy.deepcopy(dict(content))
    for key, value in settings.items():
        _merge(result, _nested(key, value))
    return result


def _nested(key: str, value: Any) -> dict[str, Any]:
    for part in reversed(key.split(".")):
        value = {part: value}
    return dict(value)


def _merge(base: dict[str, Any], change: Mapping[str, Any]) -> None:
    for key, value in change.items():
        if isinstance(value, Mapping) and isinstance(base.get(key), dict):
            _merge(base[key], value)
        else:
            base[key] = value


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    return value
