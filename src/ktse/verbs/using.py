"""Before the results of a run are used: whether they can be, and what is to be said about them."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from ktse.data.dataset import TaggedImages
from ktse.errors import KtseError, RunError
from ktse.job import Job
from ktse.pipeline import SEGMENT
from ktse.quality.verdict import Verdict, read_verdict
from ktse.recipe import Recipe
from ktse.recipe.load import changed, merged, recipe_from_dict
from ktse.run_folder import RunFolder
from ktse.runtime.console import say
from ktse.staleness import Stage, overtaken

SIGNS = 3
"""Signs of a verdict that are said; the report has all."""


def model_file(path: Path, settings: Mapping[str, Any]) -> tuple[Path, Recipe]:
    """The weights of a segmentation model, given by its run or as a file, and how it is to be applied.

    Raises:
        KtseError: there is no such run, it has no model yet, or a setting cannot be used.
    """
    if path.suffix == ".safetensors":
        return path, recipe_from_dict(merged({}, settings))
    folder = RunFolder.existing(path)
    recipe = folder.read_recipe()
    if not folder.path("segment", "model.safetensors").is_file():
        raise RunError(f"{folder.root} has no segmentation model yet", hint=f"Do it first: ktse segment {folder.root}")
    say_overtaken(folder, recipe, SEGMENT)
    say_verdict(folder, "model")
    return folder.path("segment", "model.safetensors"), changed(recipe, settings)


def require_sound(run: RunFolder, recipe: Recipe, stage: Stage) -> None:
    """Make sure that what a stage has made can leave the run.

    Args:
        run: the run folder.
        recipe: its settings.
        stage: segment, whose model is wanted, or refine, whose masks are.

    Raises:
        RunError: the stage has made nothing, failed, was interrupted, or what it has made no longer fits the run.
    """
    name, what = stage.name, "segmentation model" if stage is SEGMENT else "masks"
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


def images_of(job: Job) -> TaggedImages:
    """Images and tags of a run.

    Raises:
        KtseError: they are no longer where they were, or cannot be used.
    """
    try:
        return job.data
    except KtseError as error:
        raise moved_error(job.run, job.recipe) or error from error


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


def say_overtaken(run: RunFolder, recipe: Recipe, stage: Stage) -> None:
    """A result that no longer fits its run is used, as it may be all there is, but not without a word."""
    if why := overtaken(run, recipe, stage):
        say(
            f"{run.root}: what {stage.name} has made is older than the run: {'; '.join(why[:3])}. "
            f"Repeat ktse run, or: ktse {stage.name} {run.root}"
        )


def say_verdict(run: RunFolder, what: Literal["model", "masks"]) -> None:
    """Say whether the model or the masks of a run should be used, where they are used, and the worst signs if not."""
    verdict = read_verdict(run)
    _say_verdict(
        run, verdict.of_masks if verdict and what == "masks" else verdict, f"{run.root}: verdict on the {what}"
    )


def say_end(run: RunFolder) -> None:
    """At the end of a whole run: the verdict on it, its worst signs, and what comes next."""
    verdict = read_verdict(run)
    _say_verdict(run, verdict, "verdict")
    bad = verdict is not None and verdict.model == "do-not-use"
    then = "" if bad else f"; then ktse predict {shlex.quote(str(run.root))} IMAGES --out DIR"
    say(f"next: look at {run.path('report.html')}{then}")


def _say_verdict(run: RunFolder, verdict: Verdict | None, start: str) -> None:
    if verdict is None:
        say(f"{start}: these results were not judged yet: ktse evaluate {run.root}")
        return
    say(f"{start}: {verdict.sentence}")
    for sign in verdict.signs[:SIGNS]:
        say(f"  - {sign.about + ': ' if sign.about else ''}{sign.text} Next: {sign.next}")
    if len(verdict.signs) > SIGNS:
        say(f"  - ... and {len(verdict.signs) - SIGNS} more: ktse status {run.root}")


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
