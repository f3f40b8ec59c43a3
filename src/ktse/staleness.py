"""What a stage is, what its result was made from, and whether it still is."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ktse.recipe import Recipe
from ktse.recipe.load import flat, to_dict
from ktse.run_folder import RunFolder
from ktse.runtime.words import many

IRRELEVANT = ("calibrate", "corrections", "other")
"""Settings that name files whose content counts, not their place."""


@dataclass(frozen=True)
class Extent:
    """How much there is to work on.

    Attributes:
        images: number of images.
        training: how many of them are trained on.
        classes: number of classes.
        pixels: of all images.
        tagged_pixels: the same, each image counted once for each of its tags.
        long_side: pixels of the longer side of a typical image; 0: not known yet.
    """

    images: int
    training: int
    classes: int
    pixels: int
    tagged_pixels: int
    long_side: int = 0

    def bounded(self, most: int) -> float:
        """Tagged pixels of scores, which are kept for at most so many pixels of an image; all are alike."""
        return self.tagged_pixels * min(1.0, most * self.images / max(1, self.pixels))


class Costs:
    """What a stage costs before it is done; this one costs nothing.

    Attributes:
        lower: the settings that decide how much memory it needs, in words.
    """

    lower = "compute.workers"

    def work(self, extent: Extent, recipe: Recipe) -> float:
        """Processor seconds."""
        return 0.0

    def maps(self, extent: Extent, recipe: Recipe) -> Mapping[str, int]:
        """Bytes of what it keeps of every image, by folder."""
        return {}

    def networks(self, extent: Extent, recipe: Recipe) -> int:
        """Bytes of its networks, checkpoints, logs and pages.

        Raises:
            RecipeError: a network cannot be built.
        """
        return 0

    def memory(self, extent: Extent, recipe: Recipe) -> float:
        """Bytes of memory at its peak, besides Python with its libraries.

        Raises:
            RecipeError: a network cannot be built.
        """
        return 0.0


@dataclass(frozen=True)
class Stage:
    """One step on the way from images to results; everything that speaks of stages is derived from these records.

    Attributes:
        name: by which commands, settings and the manifest know it.
        do: does it to a job (ktse.job.Job), or goes on with it; loads torch only when it is called.
        outputs: the files and folders that it makes, relative to the run folder.
        costs: what it takes, in time and on disk.
        needs: the stages that it reads from.
        last: the file that it writes last; empty where there is no such file.
        each: the files that it writes for each image.
        given: what it is made from besides settings and stages: by name, how a job opens it.
        trained: random choices decide its result, and its former one goes only when the new training has begun.
        alone: the first of many processes does it, while the others wait.
        measures: it takes whatever is there of what it needs.
        layout: raised when the form of its files changes, so that an older result counts as stale.
        extras: which optional packages it needs with a recipe.
        wanted: whether a run with a recipe has this stage.
    """

    name: str
    do: Callable[[Any], None]
    outputs: tuple[str, ...]
    costs: Costs
    needs: tuple[Stage, ...] = ()
    last: str = ""
    each: tuple[str, ...] = ()
    given: Mapping[str, Callable[[Any], Any]] = field(default_factory=dict)
    trained: bool = False
    alone: bool = False
    measures: bool = False
    layout: int = 1
    extras: Callable[[Recipe], Collection[str]] = lambda _: ()
    wanted: Callable[[Recipe], bool] = lambda _: True

    def settings(self, recipe: Recipe) -> dict[str, Any]:
        """The settings that change its result, by dotted name; none for a stage without settings."""
        found = to_dict(getattr(recipe, self.name)) if hasattr(recipe, self.name) else {}
        found = flat({name: value for name, value in found.items() if name not in IRRELEVANT}, self.name)
        return found | ({"compute.random_seed": recipe.compute.random_seed} if self.trained else {})

    def needed(self, recipe: Recipe) -> tuple[Stage, ...]:
        """The stages that it reads from in a run with this recipe."""
        return tuple(stage for stage in self.needs if stage.wanted(recipe))


def training(name: str, do: Callable[[Any], None], **more: Any) -> Stage:
    """A stage that trains a network, which is in its folder and is what it writes last."""
    return Stage(name, do, outputs=(name,), last=f"{name}/model.safetensors", trained=True, **more)


def short_hash(made_from: Mapping[str, Any]) -> str:
    """A name for what a stage is made from."""
    return hashlib.sha256(json.dumps(made_from, sort_keys=True).encode()).hexdigest()[:16]


def changes(before: Mapping[str, Any], now: Mapping[str, Any], defaults: Mapping[str, Any]) -> list[str]:
    """What of the things that a stage is made from is no longer as it was, in words; nothing if all is.

    A setting that is new was at its default before, and one that is gone, or was a group, cannot be repeated: none of
    them makes a result stale, so that an upgrade repeats nothing. Nor do masks that are not given, now as before.

    Args:
        before: as noted when the stage was done: settings by dotted name, and hashes of everything else.
        now: the same as it is now.
        defaults: of settings, by dotted name.
    """
    found = []
    for name in dict.fromkeys([*now, *before]):
        former, present = before.get(name, defaults.get(name)), now.get(name)
        if former == present or _made_whole(former, present) or not (former or present or "." in name):
            continue
        if "." in name and (name not in now or any(other.startswith(f"{name}.") for other in before)):  # gone
            continue
        setting = f"{name} was {json.dumps(former)} and is {json.dumps(present)}"
        found.append(setting if "." in name else f"{name} changed")
    return found


def _made_whole(former: object, present: object) -> bool:
    """Whether a path is the former one, which was noted as it was given, made absolute."""
    if not isinstance(former, str) or not isinstance(present, str):
        return False
    short, long = Path(former), Path(present)
    parts = short.parts
    return bool(parts) and long.is_absolute() and not short.is_absolute() and long.parts[-len(parts) :] == parts


def gone(run: RunFolder, recipe: Recipe, stage: Stage, ids: Iterable[str]) -> list[str]:
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
    last = [stage.last] if stage.last and not run.path(stage.last).is_file() else []
    kinds = [kind for kind in stage.each if recipe.predict.fuse or not kind.startswith("fused/")]
    there = {name for folder in {kind.partition("/")[0] for kind in kinds} for name in _files(run, folder)}
    files = ([kind.format(image_id) for kind in kinds] for image_id in ids)
    return last + [name for names in files if not there.issuperset(names) for name in names]


def _files(run: RunFolder, folder: str) -> Iterable[str]:
    root = str(run.root)
    for place, _, names in os.walk(run.path(folder)):
        inside = os.path.relpath(place, root).replace(os.sep, "/")
        yield from (f"{inside}/{name}" for name in names)


def of_other_images(run: RunFolder, ids: Collection[str]) -> str:
    """How many of a run's CAMs are of these images, in words, if most are of others; empty if not."""
    made = {name.partition("/")[2].removesuffix(".npz") for name in _files(run, "seeds") if name.endswith(".npz")}
    kept = len(made & set(ids))
    if 2 * kept >= len(made):
        return ""
    return f"of the {many(len(made), 'image')} in it, {many(kept, 'is', 'are')} among these"


def overtaken(run: RunFolder, recipe: Recipe, stage: Stage) -> list[str]:
    """Why what a stage has made no longer fits the run's settings and earlier stages, in words; nothing if it does.

    Images and tags are not looked at: the run may be used where they are not.
    """
    manifest = run.manifest()
    made_from = manifest.get(stage.name, {}).get("made_from", {})
    if not made_from:
        return []
    settings = {name: value for name, value in made_from.items() if "." in name}
    found = changes(settings, stage.settings(recipe), stage.settings(Recipe()))
    seen = made_from.get("the images or tags")
    if seen and run.checked().get("content", seen) != seen:
        found.append("images or tags changed")
    for before in stage.needs:
        if before.name in made_from and before.name in manifest:
            again = manifest[before.name]["key"] != made_from[before.name]
            found += [f"{before.name} was done again"] if again else overtaken(run, recipe, before)
    return list(dict.fromkeys(found))
