"""Settings from YAML, from Python and from the shell: read, merged and checked into a recipe."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, cast

from jsonargparse import ArgumentParser, set_parsing_settings

from ktse.errors import RecipeError
from ktse.recipe import Recipe
from ktse.recipe.values import MOST_BYTES, File, absolute, filled, fitted, short
from ktse.recipe.yaml_file import read_yaml
from ktse.runtime.console import say_once

RECIPES = [
    "demo",
    "fast",
    "strong",
    "thorough",
    "voc12-official",
    "voc12",
    "voc12-vgg",
    "coco14-official",
    "coco14",
    "coco14-vgg",
]
GROUPS = tuple(group.name for group in dataclasses.fields(Recipe))

set_parsing_settings(docstring_parse_attribute_docstrings=True)


def add_recipe_arguments(parser: ArgumentParser, groups: tuple[str, ...] = GROUPS) -> None:
    """Add settings to a parser, as ``--classify.epochs`` and so on."""
    for group in dataclasses.fields(Recipe):
        if group.name in groups:
            parser.add_class_arguments(group.default_factory, group.name)


def recipe_path(name: str | Path) -> Path:
    """The file of a recipe given by the name of a packaged one or by path.

    Raises:
        RecipeError: there is no such recipe.
    """
    try:
        name = fitted(File, name)
    except ValueError as error:
        raise RecipeError(f"the recipe is {short(name)}, but must be a name or {error}") from error
    if name in RECIPES:
        return Path(str(resources.files("ktse.recipe") / "packaged" / f"{name}.yaml"))
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
    recipe = recipe_from_dict(_read(recipe_path(name)), source=str(recipe_path(name)))
    return changed(recipe, settings) if settings else recipe


def _read(path: Path, followed: tuple[Path, ...] = ()) -> dict[str, Any]:
    """Plain nested values of a recipe file, on top of those of its base."""
    content = read_yaml(path) or {}
    if not isinstance(content, dict):
        raise RecipeError(f"{path} does not hold settings", hint="Write lines such as 'classify: {epochs: 10}'.")
    base = content.pop("base", None)
    if base is None:
        return content
    if path in followed:
        raise RecipeError(f"{path} is based on itself", where=map(str, followed))
    if not isinstance(base, str) or "\0" in base or len(base) > MOST_BYTES:
        raise RecipeError(f"the base of {path} is {short(base)}, but must be the name of a recipe or a file")
    beside = path.parent / base
    return merged(_read(recipe_path(beside if beside.is_file() else base), (*followed, path)), content)


def given_recipe(
    name: str | Path,
    settings: Mapping[str, Any] | None,
    images: str | Path,
    tags: str | Path | None,
    masks: str | Path | None,
    weights: str | None,
    skip_bad: bool,
) -> Recipe:
    """The recipe of a run from what its verb was given; arguments as of ktse.run.

    Raises:
        RecipeError: there is no such recipe, or a setting is unknown or has the wrong type.
    """
    given = {"data": given_data(images, tags, skip_bad), "truth": {"masks": str(masks or "")}}
    base = load_recipe(name, settings)
    if weights is not None:
        given["classify"] = {"weights": weights}
        # A file holds the weights of one model, so that another encoder cannot start from it.
        fits = base.segment.encoder == base.classify.backbone or weights in ("hub", "package", "none")
        if fits and base.segment.weights != "classify":
            given["segment"] = {"weights": weights}
        if base.affinity.backbone == base.classify.backbone or weights in ("hub", "package", "none"):
            given["affinity"] = {"weights": weights}
    # A setting of a single stage, which the user gave, is more precise than what the verb means for all.
    recipe: Recipe = absolute(recipe_from_dict(merged(merged(to_dict(base), given), settings or {})))
    return recipe


def given_data(images: str | Path, tags: str | Path | None, skip_bad: bool) -> dict[str, Any]:
    """Changes to the data settings from what a verb was given."""
    given: dict[str, Any] = {"images": str(images), "tags": str(tags or "")}
    return given | {"skip_bad": True} if skip_bad else given


def recipe_from_dict(content: Mapping[str, Any], source: str = "the call") -> Recipe:
    """Turn nested plain values into a checked recipe.

    Raises:
        RecipeError: settings are unknown, have the wrong type or are out of range; all are listed.
    """
    found: list[str] = []
    recipe = filled(Recipe, content, "", found)
    if found:
        raise RecipeError(f"settings in {source} cannot be used", where=found, hint="All settings: ktse run --help")
    return recipe


def known_settings(content: Mapping[str, Any], defaults: Any = None) -> dict[str, Any]:
    """Nested values without settings that there are no longer, as in the recipe.yaml of an older run."""
    defaults = to_dict(Recipe()) if defaults is None else defaults
    known = {}
    for key, value in content.items():
        grouped = isinstance(value, dict)
        if key in defaults and grouped == isinstance(defaults[key], dict):
            known[key] = known_settings(value, defaults[key]) if grouped else value
    return known


def changed(recipe: Recipe, settings: Mapping[str, Any]) -> Recipe:
    """A recipe with changes, which may be nested or dotted; with fewer epochs, its warm-up is shorter, too."""
    return recipe_from_dict(merged(to_dict(recipe), _with_warmup(recipe, settings)))


def _with_warmup(recipe: Recipe, settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """Settings that shorten the training shorten its warm-up with it, unless they say how long that is."""
    given, former = merged({}, settings).get("classify", {}), recipe.classify
    epochs = given.get("epochs") if isinstance(given, Mapping) and "warmup" not in given else None
    if not isinstance(epochs, int) or not 1 <= epochs < former.epochs or former.warmup == 0:
        return settings
    rest = 1 if former.warmup < former.epochs else 0  # what follows the warm-up keeps an epoch
    warmup = max(1, min(round(epochs * former.warmup / former.epochs), epochs - rest))
    say_once(
        f"classify.epochs is {epochs}, not {former.epochs}: the warm-up has {warmup}, not {former.warmup} of them "
        "(classify.warmup sets it)"
    )
    return {**settings, "classify.warmup": warmup}


def to_dict(recipe: Any) -> dict[str, Any]:
    """Plain nested values of a recipe or of one stage's part, ready for YAML and JSON."""
    plain: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(recipe)))
    return plain


def merged(content: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Plain nested values with changes, which may be nested or dotted."""
    if not isinstance(settings, Mapping) or not all(isinstance(key, str) for key in settings):
        text = f"the settings are {short(settings)}, but must have names"
        raise RecipeError(text, hint="For example: {'classify.epochs': 5}")
    result = _copied(content)
    for key, value in settings.items():
        _merge(result, _nested(key, value))
    return result


def _copied(content: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _copied(value) if isinstance(value, Mapping) else value for key, value in content.items()}


def _nested(key: str, value: Any) -> dict[str, Any]:
    for part in reversed(key.split(".")):
        value = {part: value}
    return cast(dict[str, Any], value)


def _merge(base: dict[str, Any], change: Mapping[str, Any]) -> None:
    for key, value in change.items():
        if isinstance(value, Mapping) and isinstance(base.get(key), dict):
            _merge(base[key], value)
        else:
            base[key] = _copied(value) if isinstance(value, Mapping) else value


def flat(settings: Mapping[str, Any], start: str) -> dict[str, Any]:
    """Nested settings with dotted names, as they are written in the shell: ``segment.beco.mix``."""
    found: dict[str, Any] = {}
    for name, value in settings.items():
        found |= flat(value, f"{start}.{name}") if isinstance(value, Mapping) else {f"{start}.{name}": value}
    return found
