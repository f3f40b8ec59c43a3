"""The whole job in reading order: each stage is done once, and again only when something before it changed."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import cached_property
from pathlib import Path
from typing import Any

from ktse.checking.check import check_images, to_json
from ktse.checking.disk import check_disk, maps_need, networks_need
from ktse.data.dataset import TaggedImages
from ktse.data.masks import Calibration, Corrections, Truth, open_calibration, open_corrections, open_truth
from ktse.data.open import open_data
from ktse.errors import RunError
from ktse.files import write_json
from ktse.finished import gone, stage_settings
from ktse.provenance import changes, resources, short_hash, versions
from ktse.recipe import Recipe
from ktse.refinement.dense_crf import require_crf
from ktse.run_folder import RunFolder
from ktse.runtime.console import say, say_stage
from ktse.runtime.processes import rank, wait_for_all, world_size
from ktse.runtime.progress import whole_run
from ktse.stages.effort import effort

ORDER = ("check", "classify", "seed", "affinity", "refine", "segment", "predict", "evaluate", "report")
NEEDS = {
    "check": (), "classify": ("check",), "seed": ("classify",), "affinity": ("seed",), "refine": ("seed",),
    "segment": ("refine",),
    "predict": ("refine", "segment"), "evaluate": ("seed", "refine", "predict"), "report": ("evaluate",),
}  # fmt: skip
OUTPUTS = {
    "check": ("check.json",), "classify": ("classify",), "seed": ("seeds",), "affinity": ("affinity",),
    "refine": ("masks", "scores", "confident"),
    "segment": ("segment",), "predict": ("predictions", "fused"),
    "evaluate": ("evaluation.json", "evaluation_images.csv"), "report": ("report.html", "model_card.md"),
}  # fmt: skip
IN_WORDS = ("the files of images and tags", "the files of images, the tags or what is kept for validation")
"""What check is made from, in the manifest and in a message."""

TRAINED = ("classify", "affinity", "segment")
"""Stages whose result cost hours: it goes when the new training has begun, and not when that cannot even begin."""

ALONE = ("check", "evaluate", "report")
"""Stages that the first of many processes does alone."""

LAYOUT = {"check": 2, "seed": 3, "refine": 2, "evaluate": 2}
"""Raised when what a stage stores changes, so that what an earlier version has stored counts as stale."""


@dataclass
class Job:
    """A run folder with its recipe, and the data opened when first needed.

    Args:
        run: the run folder.
        recipe: every setting.
        warmup: another run, whose warm-up classify goes on from where this run's own would be the same.
    """

    run: RunFolder
    recipe: Recipe
    warmup: RunFolder | None = None

    @cached_property
    def opened(self) -> TaggedImages:
        """Images and tags as they were given.

        Raises:
            DataError: they cannot be used.
        """
        return open_data(self.recipe.data)

    @property
    def data(self) -> TaggedImages:
        """The same, without the images that check could not read, if the user wants these skipped."""
        unreadable = self.run.checked().get("unreadable", [])
        return self.opened.without(unreadable) if self.recipe.data.skip_bad and unreadable else self.opened

    @cached_property
    def truth(self) -> Truth | None:
        """True masks for measuring, if the user gave some.

        Raises:
            DataError: they cannot be used.
        """
        masks = self.recipe.truth.masks
        if not masks:
            return None
        truth = open_truth(Path(masks), self.opened)
        truth.say()
        return truth

    @cached_property
    def calibration(self) -> Calibration | None:
        """True masks that choose the background threshold, if the user gave some.

        Raises:
            DataError: they cannot be used.
        """
        folder = self.recipe.refine.calibrate
        if not folder:
            return None
        calibration = open_calibration(Path(folder), self.opened)
        calibration.say()
        return calibration

    @cached_property
    def corrections(self) -> Corrections:
        """Masks that a person has corrected, to learn from, if the user gave some.

        Raises:
            DataError: they cannot be used.
        """
        folder = self.recipe.segment.corrections
        if not folder:
            return Corrections()
        corrections = open_corrections(Path(folder), self.opened)
        corrections.say()
        return corrections

    @cached_property
    def fingerprint(self) -> str:
        """Hash of images and tags, of the files no more than name, size and time of change."""
        return self.opened.fingerprint()

    @property
    def content(self) -> str:
        """Hash of the images and tags that check has seen, or nothing if it has not seen those that are there now.

        Copied, unpacked or mounted anew, files have other times. Then check is done again; hours of training are not.
        """
        return str(self.run.checked()["content"]) if self.state("check") == "done" else ""

    def needs(self, stage: str) -> tuple[str, ...]:
        """The stages that a stage reads from."""
        walks = stage == "refine" and "irn" in self.recipe.refine.method
        return (*NEEDS[stage], "affinity") if walks else NEEDS[stage]

    def require_extras(self, stages: Collection[str] = ORDER) -> None:
        """Make sure, before hours of training, that what the recipe names is there.

        Args:
            stages: those that are to be done.

        Raises:
            RunError: an extra or its weights are missing.
        """
        recipe, chain = self.recipe, self.recipe.refine.method
        crf = {
            "affinity": "irn" in chain and recipe.affinity.labels == "crf",
            "refine": "crf" in chain,
            "predict": recipe.predict.crf.iterations > 0,
        }
        if any(crf.get(stage) for stage in stages):
            require_crf()
        if "sam" in chain and "refine" in stages:
            from ktse.models.sam import require_sam  # loads torch

            require_sam(recipe.refine.sam_weights)

    def check_disk(self) -> None:
        """Say, before hours of training, how much disk the run folder will take.

        Raises:
            RunError: there is far less.
        """
        checked = self.run.checked()
        if "pixels" not in checked:  # of an earlier version
            return
        images, classes = checked["images"], len(self.opened.classes)
        need = maps_need(images, classes, checked["pixels"], checked["tagged_pixels"], self.recipe)
        networks = networks_need(images - checked["validation"], classes, self.recipe)
        say(f"check: {check_disk(self.run.root, sum(need.values()) + sum(networks.values()))}")

    def made_from(self, stage: str) -> dict[str, Any]:
        """Everything that a stage's result depends on: settings by dotted name, and hashes of everything else."""
        parts: dict[str, Any] = {"its form on disk": LAYOUT.get(stage, 1)}
        if stage == "check":
            parts |= {"the files of images and tags": self.fingerprint, "data.skip_bad": self.recipe.data.skip_bad}
        elif stage == "evaluate":
            parts["the true masks"] = self.truth.fingerprint() if self.truth else ""
        elif stage != "report":
            parts |= stage_settings(self.recipe, stage)
        if stage == "segment":
            parts["the corrected masks"] = self.corrections.fingerprint()
        if stage == "refine":
            parts["the masks to calibrate with"] = self.calibration.fingerprint() if self.calibration else ""
        for before in self.needs(stage):
            parts |= (
                {"the images or tags": self.content} if before == "check" else {before: self._before(stage, before)}
            )
        return parts

    def _before(self, stage: str, before: str) -> str:
        """The key of an earlier stage; evaluate, which measures what there is, tells whether there was one."""
        made = stage != "evaluate" or self.state(before) != "missing"
        return self.key(before) if made else "not made yet"

    def key(self, stage: str) -> str:
        """Name for what a stage's result depends on: the one in the manifest, if it is still made from the same."""
        entry, parts = self.run.manifest().get(stage, {}), self.made_from(stage)
        known = "made_from" in entry and not changes(entry["made_from"], parts, stage_settings(Recipe(), stage))
        return str(entry["key"]) if known else short_hash({**parts, "stage": stage})

    def state(self, stage: str) -> str:
        """Return "done", "stale" (made from something else), "unfinished", or "missing"."""
        entry = self.run.manifest().get(stage)
        if entry is None or not any(self.run.path(name).exists() for name in OUTPUTS[stage]):
            return "missing"
        if entry["key"] != self.key(stage):
            return "stale"
        return "done" if entry["state"] == "done" else "unfinished"

    def why_stale(self, stage: str) -> list[str]:
        """What a stage was made from and is no longer the same, in words."""
        entry = self.run.manifest()[stage]
        if "made_from" not in entry:
            return ["an earlier version made it"]
        found = changes(entry["made_from"], self.made_from(stage), stage_settings(Recipe(), stage))
        return [text.replace(*IN_WORDS) for text in found]

    def gone(self, stage: str) -> list[str]:
        """Files of a finished stage that must be made again, as some are no longer there."""
        return gone(self.run, self.recipe, stage, self.data.ids)

    def do(self, stage: str) -> None:
        """Do one stage, or go on with it; nothing if it is done.

        Raises:
            RunError: a stage that it needs is not done.
        """
        meet()  # so that every process finds the same state,
        if stage != "check":
            self.look_again()
        state = self.state(stage)
        wait_for_all()  # and none has changed it meanwhile
        lost = self.gone(stage) if state == "done" else []
        if state == "done" and not lost:
            say(f"{stage}: done already")
            return
        needed = {before: self.state(before) for before in self.needs(stage)}
        # What has never been made is simply not measured.
        fine = ("done", "missing") if stage == "evaluate" else ("done",)
        missing = [before for before, found in needed.items() if found not in fine]
        if missing:
            raise RunError(
                f"{stage} needs {missing[0]}, which is {needed[missing[0]]}",
                where=self.why_stale(missing[0]) if needed[missing[0]] == "stale" else (),
                hint=f"Repeat ktse run --out {self.run.root} as it was called first: what is done stays."
                if missing[0] == "check"  # as a verb, it looks at a run's tags and needs its network
                else f"Do it first: ktse {missing[0]} {self.run.root}",
            )
        if rank() > 0:
            wait_for_all()
            if stage not in ALONE:
                stage_function(stage)(self)
            wait_for_all()
            return
        if state == "stale":
            say(f"{stage}: done again, as {'; '.join(self.why_stale(stage))}")
            self.set_aside(stage) if stage in TRAINED else self.clear(stage)
        if lost:
            say(f"{stage}: files are gone; these are made anew: {', '.join(lost[:3])}{' ...' if len(lost) > 3 else ''}")
            state = "unfinished"
            for name in lost:
                self.run.path(name).unlink(missing_ok=True)
        say_stage(stage)
        started, clock = datetime.now(timezone.utc).isoformat(timespec="seconds"), time.monotonic()
        before = self.run.manifest().get(stage, {})
        spent = before.get("seconds", 0.0) if state == "unfinished" else 0.0
        entry: dict[str, Any] = {
            "state": "running",
            "key": self.key(stage),
            "made_from": self.made_from(stage),
            "started": started,
            "versions": versions(),
            "processes": world_size(),
        }
        self.run.record(stage, {**entry, "seconds": spent})
        try:
            wait_for_all()
            stage_function(stage)(self)
            wait_for_all()
            entry["state"] = "done"
        except BaseException as error:
            entry |= {"state": "failed", "message": str(error) or type(error).__name__}
            raise
        finally:
            seconds = round(spent + time.monotonic() - clock, 2)
            back = self.take_back(stage, wanted=state == "stale")
            self.run.record(stage, before if back else {**entry, "seconds": seconds, **resources()})

    def look_again(self) -> None:
        """Do check again if the images' files are no longer those that it has seen, if only by their times."""
        if self.state("check") == "stale":
            self.do("check")

    def set_aside(self, stage: str) -> None:
        """Move the folder of a trained network out of the way."""
        former = self.run.path(f".{stage}.former")
        shutil.rmtree(former, ignore_errors=True)
        self.run.path(stage).rename(former)

    def take_back(self, stage: str, *, wanted: bool) -> bool:
        """Put back what was set aside, if that is wanted and nothing new was made, else remove it; say which."""
        former, now = self.run.path(f".{stage}.former"), self.run.path(stage)
        back = wanted and former.is_dir() and not now.exists()
        if back:
            former.rename(now)
        shutil.rmtree(former, ignore_errors=True)
        return back

    def clear(self, stage: str) -> None:
        """Remove what a stage has made."""
        for name in OUTPUTS[stage]:
            path = self.run.path(name)
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)


def stage_function(stage: str) -> Callable[[Job], object]:
    """What a stage does. Only evaluate and report are given the truth."""
    # Imported here so that what needs no network (check, report) does not load torch.
    match stage:
        case "check":
            return check
        case "classify":
            return _classify
        case "seed":
            from ktse.stages.seed import seed

            return lambda job: seed(job.run, job.data, job.recipe.seed)
        case "affinity":
            from ktse.stages.affinity import affinity

            return lambda job: affinity(job.run, job.data, job.recipe.affinity)
        case "refine":
            from ktse.stages.refine import refine

            return lambda job: refine(job.run, job.data, job.recipe.refine, job.calibration)
        case "segment":
            from ktse.stages.segment import segment

            return lambda job: segment(job.run, job.data, job.recipe.segment, job.corrections)
        case "predict":
            from ktse.stages.predict import predict

            return lambda job: predict(job.run, job.data, job.recipe.predict, job.corrections)
        case "evaluate":
            from ktse.stages.evaluate import evaluate

            return lambda job: evaluate(job.run, job.data, job.truth, job.recipe)
        case "report":
            from ktse.reporting.model_card import write_model_card
            from ktse.reporting.page import write_report

            return lambda job: (
                write_report(job.run, job.data, job.truth),
                write_model_card(job.run, job.data, job.truth),
            )
    raise ValueError(f"there is no stage {stage!r}")


def _classify(job: Job) -> None:
    from ktse.stages.classify import classify

    if job.warmup is not None:
        from ktse.stages.warmup import adopt_warmup

        adopt_warmup(job.run, job.warmup, job.recipe.classify)
    classify(job.run, job.data, job.recipe.classify)


def check(job: Job) -> None:
    """Look at every image before training.

    Raises:
        DataError: images cannot be read; nothing is trained.
    """
    checked = check_images(job.opened, skip_bad=job.recipe.data.skip_bad)
    for warning in checked.warnings:
        say(f"check: {warning}")
    checked.raise_errors()
    job.run.write_classes(job.opened.classes)
    write_json(job.run.path("check.json"), to_json(checked))


def meet() -> None:
    """Let the processes that torchrun started find each other, and wait for all of them."""
    if world_size() > 1:
        from ktse.runtime.fabric import make_fabric

        make_fabric("fp32")
        wait_for_all()


def run_all(job: Job) -> None:
    """All stages in order; what is done already is left alone."""
    job.require_extras()
    stages = tuple(stage for stage in ORDER if stage != "affinity" or stage in job.needs("refine"))
    with whole_run(effort(job.recipe, len(job.data), len(job.data.training), stages)) as whole:
        for stage in stages:
            whole.begin(stage)
            job.do(stage)
            if stage == "check" and rank() == 0 and any(job.state(later) != "done" for later in stages):
                job.check_disk()
