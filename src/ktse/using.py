"""Before the results of a run are used: whether they can be, and what is to be said about them."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ktse.console import say
from ktse.errors import RunError
from ktse.finished import overtaken
from ktse.recipe import PredictRecipe, Recipe
from ktse.run_folder import RunFolder, read_json
from ktse.settings import changed, merged, recipe_from_dict
from ktse.verdict import read_verdict

SIGNS = 3
"""Signs of a verdict that are said at the end of a run."""


def model_file(path: Path, settings: Mapping[str, Any]) -> tuple[Path, PredictRecipe]:
    """The weights of a segmentation model, given by its run or as a file, and how it is to be applied.

    Raises:
        KtseError: there is no such run, it has no model yet, or a setting cannot be used.
    """
    if path.suffix == ".safetensors":
        return path, recipe_from_dict(merged({}, settings)).predict
    folder = RunFolder.existing(path)
    recipe = folder.read_recipe()
    if not folder.path("segment", "model.safetensors").is_file():
        raise RunError(f"{folder.root} has no segmentation model yet", hint=f"Do it first: ktse segment {folder.root}")
    say_overtaken(folder, recipe, "segment")
    say_doubts(folder)
    return folder.path("segment", "model.safetensors"), changed(recipe, settings).predict


def run_again(run: RunFolder, recipe: Recipe, images: str = "", tags: str = "") -> str:
    """The command that goes on with a run as it was made: its own recipe.yaml holds every setting.

    Args:
        run: the run folder.
        recipe: its settings.
        images: where the images are; empty: where they were.
        tags: where the tags are; empty: where they were, if the run has a file of tags.
    """
    masks = recipe.truth.masks
    parts = ["ktse run", images or shlex.quote(recipe.data.images)]
    parts += [f"--tags {tags or shlex.quote(recipe.data.tags)}"] if recipe.data.tags else []
    parts += [f"--masks {shlex.quote(masks)}"] if masks and Path(masks).exists() else []
    root, settings = shlex.quote(str(run.root)), shlex.quote(str(run.path("recipe.yaml")))
    return " ".join([*parts, f"--out {root} --recipe {settings}"])


def moved_error(run: RunFolder, recipe: Recipe) -> RunError | None:
    """The error for a run whose images or tags are no longer where they were; None if they are there.

    Args:
        run: the run folder.
        recipe: its settings.
    """
    images, tags = Path(recipe.data.images), Path(recipe.data.tags)
    there = images.is_dir() and any(images.iterdir())
    if there and (not recipe.data.tags or tags.exists()):
        return None
    what, place = ("tags", tags) if there else ("images", images)
    return RunError(
        f"the {what} of this run were at {place}",
        hint=f"If they have moved: {run_again(run, recipe, 'IMAGES' if not there else '', 'TAGS')}",
    )


def say_overtaken(run: RunFolder, recipe: Recipe, stage: str) -> None:
    """A result that no longer fits its run is used, as it may be all there is, but not without a word."""
    if why := overtaken(run, recipe, stage):
        say(
            f"{run.root}: what {stage} has made is older than the run: {'; '.join(why[:3])}. Repeat ktse run, or: ktse "
            f"{stage} {run.root}"
        )


def say_doubts(run: RunFolder) -> None:
    """Repeat what segment has said against its model, where that model is used."""
    path = run.path("segment", "summary.json")
    for warning in read_json(path).get("warnings", []) if path.is_file() else []:
        say(f"{run.root}: {warning}")


def say_end(run: RunFolder) -> None:
    """At the end of a whole run: the verdict on it, the first signs behind that, and what comes next."""
    verdict = read_verdict(run)
    if verdict is None:
        say_doubts(run)
    else:
        say(f"verdict: {verdict.sentence}")
        for sign in verdict.signs[:SIGNS]:
            say(f"  - {sign.about + ': ' if sign.about else ''}{sign.text} {sign.next}".rstrip())
        if len(verdict.signs) > SIGNS:
            say(f"  - ... and {len(verdict.signs) - SIGNS} more: ktse status {run.root}")
    say(f"next: look at {run.path('report.html')}; then ktse predict {shlex.quote(str(run.root))} IMAGES --out DIR")


def keep_apart(images: Path, out: Path) -> None:
    """Make sure that predictions are not taken for images the next time.

    Raises:
        RunError: they would be, or there are no images, or no folder for the predictions.
    """
    if not images.exists():
        raise RunError(f"{images} does not exist", hint="Give an image or a folder of images.")
    if out.exists() and not out.is_dir():
        raise RunError(f"{out} is a file", hint="Give a folder for the predictions as --out.")
    inside = out.resolve().is_relative_to(images.resolve())
    if inside or (out / f"{images.stem}.png").resolve() == images.resolve():
        raise RunError(f"{out} is where the images are: predictions would mix with them", hint="Give another --out.")
