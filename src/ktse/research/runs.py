"""The runs of an ablation: ordinary run folders, each arm and random seed one, of which each process does its share."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ktse.data.given import Input
from ktse.errors import CollapseError
from ktse.files import read_json, write_json
from ktse.job import Job
from ktse.pipeline import AFFINITY, CHECK, CLASSIFY, EVALUATE, REFINE, SEED
from ktse.recipe import Recipe
from ktse.recipe.load import merged, recipe_from_dict, to_dict
from ktse.recipe.values import absolute
from ktse.research.arms import PLAIN, Arm
from ktse.run_folder import RunFolder
from ktse.runtime.console import say
from ktse.runtime.lock import locked
from ktse.runtime.processes import alone, my_share
from ktse.staleness import Stage

NOTE = "collapsed.json"
"""In a run folder: which stage collapsed, from what, and how."""

LOOK_SECONDS = 1.0


@dataclass(frozen=True)
class ArmRun:
    """One arm with one random seed.

    Attributes:
        arm: what is changed.
        random_seed: of the training.
        job: the run.
        plain: the run of the plain CAM with the same random seed, whose warm-up this one goes on from; None for that
            one.
    """

    arm: Arm
    random_seed: int
    job: Job
    plain: RunFolder | None

    def collapse(self, stage: Stage) -> str:
        """How a stage collapsed, with these very settings; empty if it did not."""
        path = self.job.run.path(NOTE)
        noted = read_json(path).get(stage.name, {}) if path.is_file() else {}
        return str(noted["message"]) if noted.get("key") == self.job.key(stage) else ""

    def finished(self, masks: bool) -> bool:
        """Whether nothing is left to do; what collapsed is not tried again."""
        if self.collapse(CLASSIFY):
            return True
        refined = not masks or self.job.state(REFINE) == "done" or bool(self.collapse(REFINE))
        return refined and self.job.state(EVALUATE) == "done"

    def do(self, masks: bool) -> None:
        """Train, compute the CAMs, and measure; with `masks` the pseudo-masks too."""
        job = self.job
        job.run.write_recipe(job.recipe)
        self._share_check()
        if job.state(CHECK) != "done":
            job.do(CHECK)
        if self.plain is not None:
            from ktse.research.warmup import adopt_warmup  # loads torch

            if adopt_warmup(job.run, self.plain, job.recipe):
                job.adopt(CLASSIFY, self.plain.key(CLASSIFY.name))
        if self.collapse(CLASSIFY) or not self._survives(CLASSIFY):
            return
        job.do(SEED)
        if masks and job.state(REFINE) != "done" and not self.collapse(REFINE):
            job.clear(EVALUATE)
            if AFFINITY.wanted(job.recipe):
                job.do(AFFINITY)
            self._survives(REFINE)
        elif job.state(REFINE) not in ("done", "missing"):
            job.clear(REFINE)  # masks of other settings, which nobody asks for now
        job.do(EVALUATE)
        # The model is there, and there are many runs: the optimiser's state has had its time.
        job.run.path("classify", "checkpoint.safetensors").unlink(missing_ok=True)

    def _survives(self, stage: Stage) -> bool:
        try:
            self.job.do(stage)
        except CollapseError as error:
            say(f"ablate: {self.arm.words}, random seed {self.random_seed}: {error}")
            path = self.job.run.path(NOTE)
            noted = read_json(path) if path.is_file() else {}
            write_json(path, {**noted, stage.name: {"key": self.job.key(stage), "message": error.what}})
            if stage is REFINE:
                self.job.clear(stage)  # what there is of it is no result
            return False
        return True

    def _share_check(self) -> None:
        """Every run has the same images: the first one has looked at them."""
        if self.plain is None or self.job.state(CHECK) == "done":
            return
        entry = self.plain.manifest().get("check", {})
        if entry.get("state") == "done" and entry.get("key") == self.job.key(CHECK):
            for name in ("check.json", "classes.txt"):
                shutil.copyfile(self.plain.path(name), self.job.run.path(name))
            self.job.run.record("check", entry)


def make_runs(base: Recipe, arms: list[Arm], random_seeds: int, out: Path) -> list[ArmRun]:
    """Every arm with every random seed, those of the plain CAM first; nothing is written.

    Raises:
        KtseError: an arm's settings are out of range, or the data cannot be used.
    """
    given: dict[tuple[Any, ...], Input] = {}
    runs = []
    for arm in arms:
        for seed in range(base.compute.random_seed, base.compute.random_seed + random_seeds):
            changes = {**arm.changes, "compute.random_seed": seed}
            recipe = absolute(recipe_from_dict(merged(to_dict(base), changes), arm.words))
            plain = RunFolder(out / "runs" / f"{PLAIN.name}-{seed}")
            own = RunFolder(out / "runs" / f"{arm.name}-{seed}")
            known = given.get((recipe.data, recipe.truth, recipe.refine.calibrate))
            job = Job(own, recipe, known)
            given[recipe.data, recipe.truth, recipe.refine.calibrate] = job.given
            _ = job.given.images  # opened once, for all
            runs.append(ArmRun(arm, seed, job, None if arm.name == PLAIN.name else plain))
    return runs


def do_runs(runs: list[ArmRun], masks: bool, after: Callable[[], None]) -> None:
    """Do this process's share of the runs; `after` is called whenever one is finished.

    Plain CAMs come first, and all processes wait for them, as the other arms go on from their warm-up.
    """
    plain = [run for run in runs if run.arm.name == PLAIN.name]
    others = [run for run in runs if run.arm.name != PLAIN.name]
    for group in (plain, others):
        mine = my_share(group)
        for number, run in enumerate(mine, start=1):
            if not run.finished(masks):
                say(f"ablate: {number} of {len(mine)}: {run.arm.words}, random seed {run.random_seed}")
                with alone(), locked(run.job.run.root):
                    run.do(masks)
                after()
        for run in group:
            while not run.finished(masks):  # another process does it; torchrun stops all of them if one fails
                time.sleep(LOOK_SECONDS)
