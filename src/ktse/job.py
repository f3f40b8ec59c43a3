"""A run with its data: what each stage is made from, whether that is done, and doing it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable
from datetime import datetime, timezone
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from ktse.data.dataset import TaggedImages
from ktse.data.masks import Calibration, Corrections, Truth, open_calibration, open_corrections, open_truth
from ktse.data.open import open_data
from ktse.errors import RunError
from ktse.recipe import Recipe
from ktse.run_folder import RunFolder
from ktse.runtime.console import say, say_stage
from ktse.runtime.environment import resources, versions
from ktse.runtime.limits import machine_limits
from ktse.runtime.processes import meet, rank, wait_for_all, world_size
from ktse.staleness import Stage, changes, gone, short_hash

IN_WORDS = ("the files of images and tags", "the files of images, the tags or what is kept for validation")
"""What check is made from, in the manifest and in a message."""


Masks = TypeVar("Masks", Truth, Calibration, Corrections)


def _shown(masks: Masks) -> Masks:
    """The same masks, after a message about what was found."""
    masks.say()
    return masks


class Input:
    """What the user gave: images and tags, and masks for different uses; each is opened when first needed.

    Args:
        recipe: where everything is.
    """

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe

    @cached_property
    def images(self) -> TaggedImages:
        """Images and tags as they were given.

        Raises:
            DataError: they cannot be used.
        """
        return open_data(self.recipe.data)

    @cached_property
    def fingerprint(self) -> str:
        """Hash of images and tags, of the files no more than name, size and time of change."""
        return self.images.fingerprint()

    @cached_property
    def truth(self) -> Truth | None:
        """True masks for measuring, if the user gave some.

        Raises:
            DataError: they cannot be used.
        """
        masks = self.recipe.truth.masks
        return _shown(open_truth(Path(masks), self.images)) if masks else None

    @cached_property
    def calibration(self) -> Calibration | None:
        """True masks that choose the background threshold, if the user gave some.

        Raises:
            DataError: they cannot be used.
        """
        folder = self.recipe.refine.calibrate
        return _shown(open_calibration(Path(folder), self.images)) if folder else None

    @cached_property
    def corrections(self) -> Corrections:
        """Masks that a person has corrected, to learn from, if the user gave some.

        Raises:
            DataError: they cannot be used.
        """
        folder = self.recipe.segment.corrections
        return _shown(open_corrections(Path(folder), self.images)) if folder else Corrections()


class Job:
    """A run folder with its recipe and its input.

    Args:
        run: the run folder.
        recipe: every setting.
        given: the input, where another job with the same one has opened it already.
    """

    def __init__(self, run: RunFolder, recipe: Recipe, given: Input | None = None) -> None:
        self.run, self.recipe, self.given = run, recipe, given or Input(recipe)

    @property
    def data(self) -> TaggedImages:
        """Images and tags, without the images that check could not read, if the user wants these skipped."""
        unreadable = self.run.checked().get("unreadable", [])
        return self.given.images.without(unreadable) if self.recipe.data.skip_bad else self.given.images

    def made_from(self, stage: Stage) -> dict[str, Any]:
        """Everything that a stage's result depends on: settings by dotted name, and hashes of everything else."""
        parts: dict[str, Any] = {"its form on disk": stage.layout, **stage.settings(self.recipe)}
        if stage.given is not None:
            name, opened = stage.given
            masks = opened(self)
            parts[name] = masks.fingerprint() if masks is not None else ""
        if not stage.needs:
            parts |= {"the files of images and tags": self.given.fingerprint}
            parts["data.skip_bad"] = self.recipe.data.skip_bad
        for before in stage.needed(self.recipe):
            if not before.needs:
                parts["the images or tags"] = self._content(before)
            else:  # what measures whatever there is depends on whether there was anything
                made = not stage.measures or self.state(before) != "missing"
                parts[before.name] = self.key(before) if made else "not made yet"
        return parts

    def _content(self, check: Stage) -> str:
        """Hash of the images and tags that check has seen, or nothing if it has not seen those that are there now.

        Copied, unpacked or mounted anew, files have other times. Then check is done again; hours of training are not.
        """
        return str(self.run.checked()["content"]) if self.state(check) == "done" else ""

    def key(self, stage: Stage) -> str:
        """Name for what a stage's result depends on: the one in the manifest, if it is still made from the same."""
        entry = self.run.manifest().get(stage.name, {})
        if "made_from" in entry and not self._changes(stage, entry):
            return str(entry["key"])
        return short_hash({**self.made_from(stage), "stage": stage.name})

    def _changes(self, stage: Stage, entry: dict[str, Any]) -> list[str]:
        return changes(entry.get("made_from", {}), self.made_from(stage), stage.settings(Recipe()))

    def state(self, stage: Stage) -> str:
        """Return "done", "stale" (made from something else), "unfinished", or "missing"."""
        entry = self.run.manifest().get(stage.name)
        if entry is None or not any(self.run.path(name).exists() for name in stage.outputs):
            return "missing"
        if entry["key"] != self.key(stage):
            return "stale"
        return "done" if entry["state"] == "done" else "unfinished"

    def why_stale(self, stage: Stage) -> list[str]:
        """What a stage was made from and is no longer the same, in words."""
        return [text.replace(*IN_WORDS) for text in self._changes(stage, self.run.manifest()[stage.name])]

    def gone(self, stage: Stage) -> list[str]:
        """Files of a finished stage that must be made again, as some are no longer there."""
        return gone(self.run, self.recipe, stage, self.data.ids)

    def do(self, stage: Stage) -> None:
        """Do one stage, or go on with it; nothing if it is done.

        Raises:
            RunError: a stage that it needs is not done.
        """
        meet()  # so that every process finds the same state,
        self.look_again(stage.needs)
        state = self.state(stage)
        wait_for_all()  # and none has changed it meanwhile
        lost = self.gone(stage) if state == "done" else []
        if state == "done" and not lost:
            say(f"{stage.name}: done already")
            return
        self._require_needed(stage)
        if rank() > 0:
            wait_for_all()
            if not stage.alone:
                with machine_limits(stage.lower):
                    stage.do(self)
            wait_for_all()
            return
        if state == "stale":
            say(f"{stage.name}: done again, as {'; '.join(self.why_stale(stage))}")
            self._set_aside(stage) if stage.trained else self.clear(stage)
        if lost:
            more = " ..." if len(lost) > 3 else ""
            say(f"{stage.name}: files are gone; these are made anew: {', '.join(lost[:3])}{more}")
            for name in lost:
                self.run.path(name).unlink(missing_ok=True)
        say_stage(stage.name)
        self._record(stage, goes_on=state == "unfinished" or bool(lost), wanted_back=state == "stale")

    def look_again(self, stages: Iterable[Stage]) -> None:
        """Do check again if the images' files are no longer those that it has seen, if only by their times."""
        for stage in stages:
            if stage.needs:
                self.look_again(stage.needs[:1])
            elif self.state(stage) == "stale":
                self.do(stage)

    def _require_needed(self, stage: Stage) -> None:
        fine = ("done", "missing") if stage.measures else ("done",)
        for before in stage.needed(self.recipe):
            if (state := self.state(before)) in fine:
                continue
            raise RunError(
                f"{stage.name} needs {before.name}, which is {state}",
                where=self.why_stale(before) if state == "stale" else (),
                hint=f"Do it first: ktse {before.name} {self.run.root}"
                if before.needs  # check, as a verb, looks at a run's tags and needs its network
                else f"Repeat ktse run --out {self.run.root} as it was called first: what is done stays.",
            )

    def _record(self, stage: Stage, *, goes_on: bool, wanted_back: bool) -> None:
        """Do a stage and note in the manifest what it was made from, how long it took and how it ended."""
        clock, before = time.monotonic(), self.run.manifest().get(stage.name, {})
        spent = before.get("seconds", 0.0) if goes_on else 0.0
        entry: dict[str, Any] = {
            "state": "running",
            "key": self.key(stage),
            "made_from": self.made_from(stage),
            "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "versions": versions(),
            "processes": world_size(),
        }
        self.run.record(stage.name, {**entry, "seconds": spent})
        try:
            wait_for_all()
            with machine_limits(stage.lower):
                stage.do(self)
            wait_for_all()
            entry["state"] = "done"
        except BaseException as error:
            entry |= {"state": "failed", "message": str(error) or type(error).__name__}
            raise
        finally:
            seconds = round(spent + time.monotonic() - clock, 2)
            back = self._take_back(stage, wanted=wanted_back)
            self.run.record(stage.name, before if back else {**entry, "seconds": seconds, **resources()})

    def _set_aside(self, stage: Stage) -> None:
        """Move the folder of a trained network out of the way."""
        former = self.run.path(f".{stage.name}.former")
        shutil.rmtree(former, ignore_errors=True)
        self.run.path(stage.name).rename(former)

    def _take_back(self, stage: Stage, *, wanted: bool) -> bool:
        """Put back what was set aside, if that is wanted and nothing new was made, else remove it; say which."""
        former, now = self.run.path(f".{stage.name}.former"), self.run.path(stage.name)
        back = wanted and former.is_dir() and not now.exists()
        if back:
            former.rename(now)
        shutil.rmtree(former, ignore_errors=True)
        return back

    def clear(self, stage: Stage) -> None:
        """Remove what a stage has made."""
        for name in stage.outputs:
            path = self.run.path(name)
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
