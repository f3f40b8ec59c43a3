"""A run whose images or tags are no longer where they were, and the command that goes on with a run."""

from __future__ import annotations

import shlex
from pathlib import Path

from ktse.data.dataset import TaggedImages
from ktse.data.remote import is_url
from ktse.errors import KtseError, RunError
from ktse.job import Job
from ktse.recipe import Recipe
from ktse.run_folder import RunFolder


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
    there = is_url(recipe.data.images) or (images.is_dir() and any(images.iterdir()))
    if there and (not recipe.data.tags or tags.exists()):
        return None
    what, place = ("tags", tags) if there else ("images", images)
    return RunError(
        f"the {what} of this run were at {place}",
        hint=f"If they have moved: {run_again(run, recipe, 'IMAGES' if not there else '', 'TAGS')}",
    )
