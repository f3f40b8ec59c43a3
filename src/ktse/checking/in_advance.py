"""How long a run takes, how much disk and memory, and whether these are there, before hours of training."""

from __future__ import annotations

import math
import os
import shutil
from collections import Counter
from collections.abc import Collection, Iterable
from operator import attrgetter
from pathlib import Path

from ktse.errors import RunError
from ktse.recipe import Recipe
from ktse.recipe.load import changed
from ktse.recipe.masks import SEED_PIXELS
from ktse.runtime.console import in_words, say
from ktse.runtime.progress import about
from ktse.staleness import Extent, Stage

CELLS = 2
"""Cells of the finest CAM, along each side, below which an object is usually lost.

Of 175 classes in images that covered less than 2 x 2 cells, on magnetic tiles, steel and street photos, 6 % had a mask
with an IoU of 25 % or more; of those between 2 x 2 and 4 x 4 cells, 36 % (docs/measurements/small-things.md).
"""

BATCHES = ("classify.batch_size", "classify.warmup_batch_size", "affinity.batch_size", "segment.batch_size")
"""Settings that say how many images a network sees at a time in training."""

LIBRARIES = 1.1e9
"""Bytes that a process takes for Python with its libraries, and for what these keep of the shapes that they meet."""


def maps_need(stages: Iterable[Stage], extent: Extent, recipe: Recipe) -> dict[str, int]:
    """Bytes of what a run keeps of every image, by folder. No score is kept at the image's own size."""
    found: Counter[str] = Counter()
    for stage in stages:
        found.update(stage.costs.maps(extent, recipe))
    return dict(found)


def disk_need(stages: Iterable[Stage], extent: Extent, recipe: Recipe) -> int:
    """Bytes of a finished run folder: what is kept of every image, networks, checkpoints, logs and the report.

    Raises:
        RecipeError: a network cannot be built.
    """
    kept = list(stages)
    return sum(maps_need(kept, extent, recipe).values()) + sum(stage.costs.networks(extent, recipe) for stage in kept)


def seconds_need(stages: Iterable[Stage], extent: Extent, recipe: Recipe) -> float:
    """Seconds that stages will take on this machine, if it is as busy then as it is now."""
    from ktse.runtime.pace import pace  # loads torch

    return pace() * sum(stage.costs.work(extent, recipe) for stage in stages)


def smallest_object(extent: Extent, recipe: Recipe) -> int:
    """Side in pixels of the smallest object that masks can show, in a typical image at its own size; 0: not known.

    Follows from the settings alone: the grid of the CAMs at the largest scale, and the longer side of the images.

    Raises:
        RecipeError: the backbone cannot be built.
    """
    from ktse.models.backbone import finest_stride  # loads torch

    if not extent.long_side or not extent.pixels:
        return 0
    stage, seed = recipe.classify, recipe.seed
    own = extent.long_side * min(1.0, math.sqrt(SEED_PIXELS * extent.images / extent.pixels))
    seen = (seed.long_side or own) * max(seed.scales)
    cell = extent.long_side / seen * finest_stride(stage.backbone, stage.output_stride, stage.levels)
    return math.ceil(CELLS * cell)


def detail(side: int, long_side: int) -> str:
    """In words, what size of object masks can show."""
    return (
        f"objects smaller than about {side:,} x {side:,} pixels are usually lost, in an image whose longer side has "
        f"{long_side:,}"
    )


def memory_need(stages: Iterable[Stage], extent: Extent, recipe: Recipe) -> tuple[int, str]:
    """Bytes of memory of all processes of this machine at the peak of a run, and which settings lower them.

    Raises:
        RecipeError: a network cannot be built.
    """
    return max((_memory_of(stage, extent, recipe), stage.costs.lower) for stage in stages)


def _memory_of(stage: Stage, extent: Extent, recipe: Recipe) -> int:
    return round((LIBRARIES + stage.costs.memory(extent, recipe)) * int(os.environ.get("LOCAL_WORLD_SIZE", "1")))


def in_memory(need: int, lower: str) -> str:
    """What a run needs of memory and what the device has, in a line; more than it has gets advice.

    Args:
        need: bytes.
        lower: settings, in words.
    """
    from ktse.runtime.memory import memory_there  # loads torch

    there = memory_there()
    text = f"at its peak a run will take about {in_words(need)} of memory"
    if there is None:
        return text
    text = f"{text}; there are {in_words(there)}"
    return text if need <= there else f"{text}: this will hardly be enough. Lower {lower}"


def memory_said(stages: Iterable[Stage], extent: Extent, recipe: Recipe) -> tuple[int, str]:
    """Bytes of memory at the peak of a run, and a line that says so; if they are not there, with batches that fit.

    Raises:
        RecipeError: a network cannot be built.
    """
    from ktse.runtime.memory import memory_there  # loads torch

    there, needs = memory_there(), [(_memory_of(stage, extent, recipe), stage) for stage in stages]
    need, lower = max((need, stage.costs.lower) for need, stage in needs)
    text = in_memory(need, lower)
    if there is None or need <= there:
        return need, text
    fits = batches_that_fit([stage for need, stage in needs if need > there], extent, recipe, there)
    return need, f"{text}. These would fit, with a lower lr: {fits}" if fits else text


def batches_that_fit(stages: Iterable[Stage], extent: Extent, recipe: Recipe, there: int) -> str:
    """Settings, as the shell takes them, that halve batches as often as it takes until stages fit into the memory.

    Args:
        stages: those that do not fit.
        extent: how much there is to work on.
        recipe: all settings.
        there: bytes of memory.

    Returns:
        nothing if batches of two do not fit either.

    Raises:
        RecipeError: a network cannot be built.
    """
    smaller: dict[str, int] = {}
    for stage in stages:
        while _memory_of(stage, extent, recipe) > there:
            sizes = {name: attrgetter(name)(recipe) for name in BATCHES if name in stage.costs.lower}
            halved = {name: max(2, size // 2) for name, size in sizes.items() if size > 2}
            if not halved:
                return ""
            smaller |= halved
            recipe = changed(recipe, smaller)
    return " ".join(f"--{name} {size}" for name, size in smaller.items())


def check_disk(folder: Path, need: int) -> str:
    """Compare what a run folder needs, besides what it holds, with what the disk has left.

    Args:
        folder: the run folder; need not exist.
        need: bytes of the finished folder.

    Returns:
        one line for the user.

    Raises:
        RunError: not even half of it is there.
    """
    held = sum(os.path.getsize(Path(place) / name) for place, _, names in os.walk(folder) for name in names)  # noqa: PTH202
    exists = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(exists).free
    left = max(0, need - held)
    text = f"the run folder will take about {in_words(need)} of disk; {in_words(free)} are free"
    if free < left / 2:
        hint = "Make room, give --out on another disk, or raise seed.stride and refine.stride, which store less."
        raise RunError(text, where=str(exists), hint=hint)
    return text if free >= left else f"{text}: this may not be enough"


def say_costs(folder: Path, stages: Collection[Stage], left: Collection[Stage], extent: Extent, recipe: Recipe) -> None:
    """Say, after check and before hours of work, how long it takes, how much disk and memory, and what is too small.

    Args:
        folder: the run folder.
        stages: all of the run.
        left: those that are not done.
        extent: how much there is to work on.
        recipe: all settings.

    Raises:
        RunError: there is far less disk.
    """
    say(f"check: the run will take {about(seconds_need(left, extent, recipe))} if this machine stays as busy as it is")
    say(f"check: {check_disk(folder, disk_need(stages, extent, recipe))}")
    say(f"check: {memory_said(left, extent, recipe)[1]}")
    if any(stage.name == "seed" for stage in left) and (side := smallest_object(extent, recipe)):
        say(f"check: {detail(side, extent.long_side)}")
