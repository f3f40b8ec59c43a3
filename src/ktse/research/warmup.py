"""The warm-up of one run as the beginning of others: it is the same for all that differ only in what follows it."""

from __future__ import annotations

import dataclasses
import os
import shutil
from pathlib import Path

from ktse.files import atomic, write_text
from ktse.models.weights import load_tensors
from ktse.recipe import ClassifyRecipe, ObjectiveRecipe, Recipe
from ktse.run_folder import RunFolder
from ktse.runtime.console import say
from ktse.stages.classify import KEPT, WARMUP

AFTER = ("objective", "lr_after", "momentum_after", "ramp", "retries")
"""Settings that act only after the warm-up, or on nothing that is learned; a new setting is not among them."""


def same_warmup(one: Recipe, other: Recipe) -> bool:
    """Whether two recipes train the same warm-up: all that acts in it is equal, and there is one."""
    alike = [
        (recipe.compute.random_seed, recipe.compute.precision, recipe.classify.objective.weights.classification)
        for recipe in (one, other)
    ]
    return one.classify.warmup > 0 and alike[0] == alike[1] and _before(one.classify) == _before(other.classify)


def _before(recipe: ClassifyRecipe) -> ClassifyRecipe:
    plain = {name: getattr(ClassifyRecipe(), name) for name in AFTER if name != "objective"}
    ends = recipe.objective  # what of the objective acts in the warm-up or at its end
    objective = ObjectiveRecipe(background=ends.background, absent_quantile=ends.absent_quantile)
    return dataclasses.replace(recipe, objective=objective, **plain)


def adopt_warmup(run: RunFolder, other: RunFolder, recipe: Recipe) -> bool:
    """Let classify go on from the end of another run's warm-up, as if it had trained it itself.

    Nothing is done where this run has begun already, the other one has not finished its warm-up, or its data or its
    warm-up are not the same. Files are linked where the file system can: checkpoints are replaced, never written into.

    Returns:
        whether the warm-up was adopted.
    """
    folder, source = run.path("classify"), other.path("classify")
    checkpoint = folder / "checkpoint.safetensors"
    if checkpoint.is_file() or not (source / WARMUP).is_file():
        return False
    data = [folder.manifest().get("check", {}).get("key") for folder in (run, other)]
    if data[0] is None or data[0] != data[1] or not same_warmup(recipe, other.read_recipe()):
        return False
    state = load_tensors(source / WARMUP)[1]["state"]
    lines = (source / "metrics.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)[: state["lines"]]
    write_text(folder / "metrics.jsonl", "".join(lines))
    for epoch in range(1, state["epoch"]):
        if (source / KEPT.format(epoch)).is_file():
            _link(source / KEPT.format(epoch), folder / KEPT.format(epoch))
    _link(source / WARMUP, folder / WARMUP)
    _link(source / WARMUP, checkpoint)  # the last: with it, training has begun
    say(f"classify: goes on from the warm-up of {other.root}")
    return True


def _link(source: Path, target: Path) -> None:
    with atomic(target) as part:
        try:
            os.link(source, part)
        except OSError:  # another file system, or one without links
            shutil.copyfile(source, part)
