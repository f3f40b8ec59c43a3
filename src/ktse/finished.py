"""What a run folder alone tells of its finished stages: files that are gone, results that are overtaken."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from typing import Any

from ktse.provenance import changes, flat
from ktse.recipe import Recipe
from ktse.recipe.load import to_dict
from ktse.run_folder import RunFolder

IRRELEVANT = ("workers", "precision", "calibrate", "corrections")
"""Settings that do not change what a stage means, so that changing them repeats nothing; of files, the content does."""

ONE = {
    "classify": "classify/model.safetensors", "affinity": "affinity/model.safetensors", "refine": "masks/summary.json",
    "segment": "segment/model.safetensors", "evaluate": "evaluation.json", "report": "report.html",
}  # fmt: skip
"""What a stage writes last."""

OTHER_DATA = "images or tags changed"

EACH = {
    "seed": ("seeds/{}.npz",), "refine": ("masks/{}.npz", "masks/{}.png", "confident/{}.png"),
    "predict": ("fused/{}.png", "predictions/{}.png"),
}  # fmt: skip
"""What a stage writes for each image."""


def stage_settings(recipe: Recipe, stage: str) -> dict[str, Any]:
    """The settings that change what a stage makes, by dotted name; none for a stage without settings."""
    settings = to_dict(getattr(recipe, stage)) if hasattr(recipe, stage) else {}
    return flat({name: value for name, value in settings.items() if name not in IRRELEVANT}, stage)


def gone(run: RunFolder, recipe: Recipe, stage: str, ids: Iterable[str]) -> list[str]:
    """Files that a finished stage has left incomplete, relative to the run folder.

    Args:
        run: the run folder.
        recipe: its settings.
        stage: which stage; it is finished.
        ids: names of the images.

    Returns:
        the file that it writes last, if that is missing; and of each image that lacks a file, all of its files, since
        they are made together.
    """
    last = [ONE[stage]] if stage in ONE and not run.path(ONE[stage]).is_file() else []
    kinds = [kind for kind in EACH.get(stage, ()) if recipe.predict.fuse or not kind.startswith("fused/")]
    there = {name for folder in {kind.partition("/")[0] for kind in kinds} for name in _files(run, folder)}
    files = ([kind.format(image_id) for kind in kinds] for image_id in ids)
    return last + [name for names in files if not there.issuperset(names) for name in names]


def _files(run: RunFolder, folder: str) -> Iterable[str]:
    root = str(run.root)
    for place, _, names in os.walk(run.path(folder)):
        inside = os.path.relpath(place, root).replace(os.sep, "/")
        yield from (f"{inside}/{name}" for name in names)


def of_other_images(run: RunFolder, ids: Collection[str]) -> str:
    """Say so if a run has made masks or CAMs of images most of which are not among these; empty if not."""
    made = {name.partition("/")[2].removesuffix(".npz") for name in _files(run, "seeds") if name.endswith(".npz")}
    kept = len(made & set(ids))
    return f"of the {len(made)} images in it, {kept} are among these" if 2 * kept < len(made) else ""


def overtaken(run: RunFolder, recipe: Recipe, stage: str) -> list[str]:
    """Why what a stage has made no longer fits the run's settings and earlier stages, in words; nothing if it does.

    Images and tags are not looked at: the run may be used where they are not.
    """
    manifest = run.manifest()
    made_from = manifest.get(stage, {}).get("made_from", {})
    if not made_from:
        return []
    settings = {name: value for name, value in made_from.items() if "." in name}
    found = changes(settings, stage_settings(recipe, stage), stage_settings(Recipe(), stage))
    seen = made_from.get("the images or tags")
    if seen and run.checked().get("content", seen) != seen:
        found.append(OTHER_DATA)
    for before in made_from:
        if before in manifest and manifest[before]["key"] != made_from[before]:
            found.append(f"{before} was done again")
        elif before in manifest:
            found += overtaken(run, recipe, before)
    return list(dict.fromkeys(found))
