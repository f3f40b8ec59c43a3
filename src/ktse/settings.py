"""Settings from YAML, from Python and from the shell: read, merged and checked into a recipe."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import ArgumentError, ArgumentParser

from ktse.errors import RecipeError
from ktse.recipe import Recipe, SegmentRecipe, TruthRecipe

RECIPES = (
    "demo", "fast", "voc12-official", "voc12", "voc12-vgg", "coco14-official", "coco14", "coco14-vgg",
)  # fmt: skip
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

    A recipe with a line such as ``base: voc12`` is that one with changes; the base is a packaged recipe or a file
    beside this one.

    Args:
        name: name of a packaged recipe, or path of a YAML file.
        settings: changes, nested (``{"classify": {"epochs": 5}}``) or dotted (``{"classify.epochs": 5}``).

    Raises:
        RecipeError: there is no such recipe, or a setting is unknown or has the wrong type.
    """
    return recipe_from_dict(merged(_read(recipe_path(name)), settings or {}), source=str(recipe_path(name)))


def _read(path: Path, followed: tuple[Path, ...] = ()) -> dict[str, Any]:
    """Plain nested values of a recipe file, on top of those of its base."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path} is not valid YAML", where=str(error)) from error
    if not isinstance(content, dict):
        raise RecipeError(f"{path} does not hold settings", hint="Write lines such as 'classify: {epochs: 10}'.")
    base = content.pop("base", None)
    if base is None:
        return content
    if path in followed:
        raise RecipeError(f"{path} is based on itself", where=map(str, followed))
    beside = path.parent / str(base)
    return merged(_read(recipe_path(beside if beside.is_file() else str(base)), (*followed, path)), content)


def given_recipe(
    name: str | Path, settings: Mapping[str, Any] | None, images: str | Path, tags: str | Path | None,
    masks: str | Path | None, weights: str | None, skip_bad: bool,
) -> Recipe:  # fmt: skip
    """The recipe of a run from what its verb was given; arguments as of ktse.run.

    Raises:
        RecipeError: there is no such recipe, or a setting is unknown or has the wrong type.
    """
    given = {"data": given_data(images, tags, skip_bad), "truth": {"masks": str(masks or "")}}
    base = load_recipe(name, settings)
    if weights is not None:
        given["classify"] = {"weights": weights}
        # A file holds the weights of one model, so that another encoder cannot start from it.
        fits = base.segment.encoder == base.classify.backbone or weights in ("hub", "none")
        if fits and base.segment.weights != "classify":
            given["segment"] = {"weights": weights}
        if base.affinity.backbone == base.classify.backbone or weights in ("hub", "none"):
            given["affinity"] = {"weights": weights}
    return recipe_from_dict(merged(to_dict(base), given))


def given_data(images: str | Path, tags: str | Path | None, skip_bad: bool) -> dict[str, Any]:
    """Changes to the data settings from what a verb was given."""
    given: dict[str, Any] = {"images": str(images), "tags": str(tags or "")}
    return given | {"skip_bad": True} if skip_bad else given


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


def absolute(recipe: Recipe) -> Recipe:
    """Make paths valid from anywhere, so that the run can be used from another folder later."""

    def whole(path: str) -> str:
        return str(Path(path).absolute()) if path and Path(path).exists() else path  # classes may be "voc"

    names = ("images", "tags", "classes", "train_list", "validation_list")
    places: dict[str, Any] = {name: whole(getattr(recipe.data, name)) for name in names}
    data = dataclasses.replace(recipe.data, **places)
    few, sam = whole(recipe.refine.calibrate), whole(recipe.refine.sam_weights)
    refine = dataclasses.replace(recipe.refine, calibrate=few, sam_weights=sam)
    segment = dataclasses.replace(recipe.segment, corrections=whole(recipe.segment.corrections))
    truth = TruthRecipe(whole(recipe.truth.masks))
    return dataclasses.replace(recipe, data=data, truth=truth, refine=refine, segment=segment)


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
    for name, stage in (("classify", classify), ("affinity", recipe.affinity), ("segment", recipe.segment)):
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
    need(classify.levels >= 1, "classify.levels", "1 or more", classify.levels)
    need(0 <= classify.dropout < 1, "classify.dropout", "in 0..1, below 1", classify.dropout)
    need(classify.frozen_stages >= -1, "classify.frozen_stages", "-1 or more", classify.frozen_stages)
    weights = objective.weights
    need(
        classify.pooling == "gpp" or not (weights.attraction or weights.repulsion),
        "classify.pooling",
        "gpp with the weights attraction and repulsion, which compare its pyramid",
        classify.pooling,
    )
    need(classify.keep_every >= 0, "classify.keep_every", "0 or more", classify.keep_every)
    need(0 <= objective.pairs <= 1, "classify.objective.pairs", "in 0..1", objective.pairs)
    need(0 < objective.erased <= 1, "classify.objective.erased", "above 0 and at most 1", objective.erased)
    need(0 <= objective.cutmix <= 1, "classify.objective.cutmix", "in 0..1", objective.cutmix)
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
    predict = recipe.predict
    need(predict.tile == 0 or predict.tile >= 64, "predict.tile", "0, or 64 or more", predict.tile)
    need(
        predict.overlap >= 0 and (predict.tile == 0 or predict.overlap <= predict.tile // 2),
        "predict.overlap",
        "0 or more, and at most half of predict.tile",
        predict.overlap,
    )
    need(predict.probabilities >= 0, "predict.probabilities", "0 or more", predict.probabilities)
    for name, part in (("seed", recipe.seed), ("affinity", recipe.affinity), ("refine", recipe.refine)):
        need(part.pixels == 0 or part.pixels >= 4096, f"{name}.pixels", "0, or 4096 or more", part.pixels)
    _need_segment(recipe.segment, need)
    need(recipe.seed.stride >= 1, "seed.stride", "1 or more", recipe.seed.stride)
    affinity, method = recipe.affinity, recipe.refine.method
    need(affinity.radius >= 2, "affinity.radius", "2 or more", affinity.radius)
    need(affinity.output_stride in (8, 16, 32), "affinity.output_stride", "8, 16 or 32", affinity.output_stride)
    need(
        affinity.crop % 4 == 0 and affinity.crop > 8 * (affinity.radius - 1),
        "affinity.crop",
        "a multiple of 4 and more than 8 (affinity.radius - 1)",
        affinity.crop,
    )
    need(
        0 < affinity.background_low <= affinity.background_high < 1,
        "affinity.background_low",
        "above 0 and at most background_high",
        affinity.background_low,
    )
    need(
        len(set(method)) == len(method) and "crf" not in method[:-1],
        "refine.method",
        "a chain of different refiners, crf the last",
        method,
    )
    need(recipe.refine.walk_radius >= 2, "refine.walk_radius", "2 or more", recipe.refine.walk_radius)
    need(recipe.refine.walk_steps >= 0, "refine.walk_steps", "0 or more", recipe.refine.walk_steps)
    need(recipe.refine.sam_points >= 0, "refine.sam_points", "0 or more", recipe.refine.sam_points)
    need(recipe.refine.stride >= 1, "refine.stride", "1 or more", recipe.refine.stride)
    need(
        recipe.refine.threshold == "auto" or 0 <= float(recipe.refine.threshold) <= 1,
        "refine.threshold",
        "auto or in 0..1",
        recipe.refine.threshold,
    )
    need(
        recipe.refine.threshold == "auto" or not recipe.refine.calibrate,
        "refine.threshold",
        "auto where refine.calibrate names masks that choose it",
        recipe.refine.threshold,
    )
    need(0 <= recipe.data.validation < 1, "data.validation", "in 0..1, below 1", recipe.data.validation)
    if problems:
        raise RecipeError("some settings are out of range", where=problems)


def _need_segment(segment: SegmentRecipe, need: Callable[[bool, str, str, object], None]) -> None:
    """The ranges of learning from noisy masks."""
    beco = segment.beco
    need(0 <= segment.doubtful_weight <= 1, "segment.doubtful_weight", "in 0..1", segment.doubtful_weight)
    need(0 <= segment.ema < 1, "segment.ema", "in 0..1, below 1", segment.ema)
    need(0 <= segment.end_lr <= segment.lr, "segment.end_lr", "in 0..segment.lr", segment.end_lr)
    need(segment.correction_weight > 0, "segment.correction_weight", "above 0", segment.correction_weight)
    need(beco.warmup >= 0, "segment.beco.warmup", "0 or more", beco.warmup)
    need(0 <= beco.online_threshold < 1, "segment.beco.online_threshold", "in 0..1, below 1", beco.online_threshold)
    need(0 <= beco.mix <= 1, "segment.beco.mix", "in 0..1", beco.mix)
    need(beco.boundary_weight >= 0, "segment.beco.boundary_weight", "0 or more", beco.boundary_weight)
    need(beco.boundary_width >= 1, "segment.beco.boundary_width", "1 or more", beco.boundary_width)
    if segment.method == "beco":
        need(segment.targets == "hard", "segment.targets", "hard with segment.method beco", segment.targets)
        need(
            segment.confidence_weight in ("none", "image"),
            "segment.confidence_weight",
            "none or image with segment.method beco, which has its own use for doubtful pixels",
            segment.confidence_weight,
        )


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
