"""Whether what a stage has made can be used: finished, and made from what the run is now."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ktse.errors import RunError
from ktse.pipeline import REFINE, STAGES
from ktse.recipe import Recipe
from ktse.recipe.load import changed, merged, recipe_from_dict
from ktse.run_folder import RunFolder
from ktse.runtime.console import say
from ktse.staleness import Stage, overtaken
from ktse.verbs.moved import run_again
from ktse.verbs.verdict import say_verdict


def model_file(path: Path, settings: Mapping[str, Any]) -> tuple[Path, Recipe]:
    """The weights of a segmentation model, given by its run or as a file, and how it is to be applied.

    Raises:
        KtseError: there is no such run, it has no model yet, or a setting cannot be used.
    """
    if path.suffix == ".safetensors":
        return path, recipe_from_dict(merged({}, settings))
    folder = RunFolder.existing(path)
    recipe = folder.read_recipe()
    stage = STAGES[recipe.segment.made_by]
    if not folder.path(stage.last).is_file():
        hint = f"Do it first: ktse {stage.name} {folder.root}"
        raise RunError(f"{folder.root} has no segmentation model yet", hint=hint)
    say_overtaken(folder, recipe, stage)
    say_verdict(folder, "model")
    return folder.own(folder.path(stage.last)), changed(recipe, settings)


def require_sound(run: RunFolder, recipe: Recipe, stage: Stage) -> None:
    """Make sure that what a stage has made can leave the run.

    Args:
        run: the run folder.
        recipe: its settings.
        stage: segment or adapt, whose model is wanted, or refine, whose masks are.

    Raises:
        RunError: the stage has made nothing, failed, was interrupted, or what it has made no longer fits the run.
    """
    name, what = stage.name, "masks" if stage is REFINE else "segmentation model"
    entry = run.manifest().get(name, {})
    again = f"Repeat it: ktse {name} {run.root}\nOr the whole run; what is done stays: {run_again(run, recipe)}"
    if entry.get("state", "done") == "failed":
        raise RunError(
            f"{name} of {run.root} failed: its {what} cannot be used",
            where=entry.get("message", "").splitlines()[:1],
            hint=again,
        )
    if entry.get("state", "done") != "done":
        raise RunError(f"{name} of {run.root} is not finished", hint=again)
    if not run.path(stage.last).is_file():
        raise RunError(f"{run.root} has no {what} yet", hint=f"Do it first: ktse {name} {run.root}")
    if why := overtaken(run, recipe, stage):
        raise RunError(f"what {name} of {run.root} has made is older than the run", where=why, hint=again)


def say_overtaken(run: RunFolder, recipe: Recipe, stage: Stage) -> None:
    """A result that no longer fits its run is used, as it may be all there is, but not without a word."""
    if why := overtaken(run, recipe, stage):
        say(
            f"{run.root}: what {stage.name} has made is older than the run: {'; '.join(why[:3])}. "
            f"Repeat ktse run, or: ktse {stage.name} {run.root}"
        )
