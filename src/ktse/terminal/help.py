"""What ``--help-settings GROUP`` shows: settings with the defaults of the recipe that will be used."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ktse.errors import RecipeError
from ktse.recipe import Recipe
from ktse.recipe.load import load_recipe
from ktse.run_folder import RunFolder
from ktse.terminal.parser import VERBS, settings_parser

OPTION = "--help-settings"


def wants_settings(words: Sequence[str]) -> bool:
    """Whether a command line asks for the help of settings."""
    return any(word.partition("=")[0] == OPTION for word in words)


def settings_help(words: Sequence[str]) -> str:
    """The help of the settings that a command line asks for.

    Args:
        words: verb and arguments, ``--help-settings`` among them; without a group it means all.

    Raises:
        RecipeError: the verb has no such settings, or there is no such recipe.
    """
    name = words[0]
    groups = VERBS[name].settings if name in VERBS else ()
    if not groups:
        with_settings = ", ".join(verb for verb, one in VERBS.items() if one.settings)
        raise RecipeError(f"{name} has no settings", hint=f"These verbs have: {with_settings}.")
    group = _value(words, OPTION) or "all"
    if group != "all" and group not in groups:
        raise RecipeError(f"{name} has no settings {group!r}", hint=f"Give one of {', '.join(groups)}, or all.")
    recipe, source = _recipe_in_use(words)
    return settings_parser(name, groups if group == "all" else (group,), recipe, source).format_help()


def _recipe_in_use(words: Sequence[str]) -> tuple[Recipe, str]:
    """The recipe that a command line will use, and what to call it."""
    named = _value(words, "--recipe")
    if named:
        return load_recipe(named), f"the recipe {named}"
    places = [word for word in words[1:2] if Path(word, "recipe.yaml").is_file()]
    if places:
        return RunFolder(places[0]).read_recipe(), f"the run {places[0]}"
    name = {"demo": "demo", "ablate": "thorough"}.get(words[0], "fast")
    return load_recipe(name), f"the recipe {name}"


def _value(words: Sequence[str], option: str) -> str:
    """The value of an option, after it or after its equals sign; empty if it has none."""
    for word, following in zip(words, [*words[1:], ""], strict=True):
        key, equals, value = word.partition("=")
        if key == option:
            return value if equals else "" if following.startswith("-") else following
    return ""
