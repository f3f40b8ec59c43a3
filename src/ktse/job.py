"""A run with its data: what each stage is made from, whether that is done, and doing it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime, timezone
from functools import partial
from typing import Any

from ktse.artefacts import damage, files_of, known, made_for, made_with, note, spare, stamp, wrong
from ktse.checking.check import typical_side
from ktse.data.dataset import TaggedImages
from ktse.data.given import Input
from ktse.errors import KtseError, RunError
from ktse.files import flush_folder, rename
from ktse.recipe import Recipe
from ktse.run_folder import RunFolder
from ktse.runtime.console import say, say_stage
from ktse.runtime.environment import resources, versions
from ktse.runtime.limits import machine_limits
from ktse.runtime.processes import from_first, meet, rank, wait_for_all, world_size
from ktse.staleness import Extent, Stage, changes, short_hash

IN_WORDS = ("the files of images and tags", "the files of images, the tags or what is kept for validation")
"""What check is made from, in the manifest and in a message."""


class Job:
    """A run folder with its recipe and its input.

    Args:
        run: the run folder.
        recipe: every setting.
        given: the input, where another job with the same one has opened it already.
    """

    def __init__(self, run: RunFolder, recipe: Recipe, given: Input | None = None) -> None:
        self.run, self.recipe, self.given = run, recipe, given or Input(recipe, run.path("images"))
        self._whole: set[str] = set()  # stages whose files were all looked at
        self._right: dict[str, dict[str, Any]] = {}  # which of two records, as long as they have
        self._stamp: object = None

    @property
    def data(self) -> TaggedImages:
        """Images and tags, without the images that check could not read, if the user wants these skipped."""
        if not self.recipe.data.skip_bad:
            return self.given.images
        return self.given.images.without(self._checked().get("unreadable", []))

    @property
    def extent(self) -> Extent:
        """How much there is to work on; pixels are known after check."""
        data, checked = self.data, self._checked()
        pixels, tagged = (checked.get(name, 0) for name in ("pixels", "tagged_pixels"))
        side = typical_side(checked.get("sizes", {}))
        return Extent(len(data), len(data.training), len(data.classes), pixels, tagged, side)

    def _checked(self) -> dict[str, Any]:
        """What check found; nothing if its file was damaged since, so that it will be done again."""
        with suppress(RunError):
            return self.run.checked()
        return {}

    def made_from(self, stage: Stage) -> dict[str, Any]:
        """Everything that a stage's result depends on: settings by dotted name, and hashes of everything else."""
        parts: dict[str, Any] = {"its form on disk": stage.layout, **stage.settings(self.recipe)}
        for name, opened in stage.given.items():
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
        seen = self.state(check) == "done" and not self.wrong(check)
        return str(self.run.checked().get("content", "")) if seen else ""

    def key(self, stage: Stage) -> str:
        """Name for what a stage's result depends on: the one in the manifest, if it is still made from the same."""
        entry = self.entry(stage)
        if "made_from" in entry and not self._changes(stage, entry):
            return str(entry["key"])
        return short_hash({**self.made_from(stage), "stage": stage.name})

    def entry(self, stage: Stage) -> dict[str, Any]:
        """What is recorded of a stage; of two records, as one file was exchanged, the one that fits; empty: nothing."""
        entry: dict[str, Any] = self.run.manifest().get(stage.name, {})
        noted: dict[str, Any] = self.run.index(stage.name).get("entry", {})
        if noted.get("key") in (None, entry.get("key")):
            return entry
        # Which one is right depends on the stages before: each is asked once as long as no record changes.
        if (now := stamp(self.run)) != self._stamp:
            self._stamp, self._right = now, {}
        if stage.name not in self._right:
            other = not self._is_right(stage, entry) and self._is_right(stage, noted)
            self._right[stage.name] = noted if other else entry
        return self._right[stage.name]

    def _is_right(self, stage: Stage, entry: dict[str, Any]) -> bool:
        """Whether a record agrees with itself, and is of what the stage is made from now."""
        before = entry.get("made_from", {})
        return entry.get("key") == short_hash({**before, "stage": stage.name}) and not self._changes(stage, entry)

    def _changes(self, stage: Stage, entry: dict[str, Any]) -> list[str]:
        return changes(entry.get("made_from", {}), self.made_from(stage), stage.settings(Recipe()))

    def state(self, stage: Stage) -> str:
        """Return "done", "stale" (made from something else), "unfinished", or "missing"."""
        entry = self.entry(stage)
        if not entry or not any(self.run.path(name).exists() for name in stage.outputs):
            return "missing"
        if entry["key"] != self.key(stage):
            return "stale"
        return "done" if entry["state"] == "done" else "unfinished"

    def why_stale(self, stage: Stage) -> list[str]:
        """What a stage was made from and is no longer the same, in words."""
        return [text.replace(*IN_WORDS) for text in self._changes(stage, self.entry(stage))]

    def wrong(self, stage: Stage, *, whole: bool = False) -> dict[str, str]:
        """Files of a finished stage that are not as it has written them: by name, what is wrong with each.

        Args:
            stage: which stage.
            whole: look at the content of every file.
        """
        return wrong(self.run, self.recipe, stage, self.data.ids if stage.each else (), whole=whole)

    def is_idle(self, stages: Iterable[Stage]) -> bool:
        """Whether there is nothing to do for these stages, and nothing to write."""
        recorded = all(self.entry(stage).get("key") == self.run.key(stage.name) for stage in stages)
        return recorded and all(self.state(stage) == "done" and not self.wrong(stage) for stage in stages)

    def do(self, stage: Stage, *, whole: bool = False) -> None:
        """Do one stage, or go on with it; nothing if it is done and its files are as they were written.

        Args:
            stage: which stage.
            whole: look at the content of every file, as they are about to be read; say nothing if all is well.

        Raises:
            RunError: a stage that it needs is not done.
        """
        meet()  # so that every process finds the same state,
        self.look_again(stage.needs)
        state, bad = from_first(lambda: self._look(stage, whole=whole))  # and none has changed it meanwhile
        if state == "done" and not bad:
            if not whole:
                say(f"{stage.name}: done already")
            return
        for before in stage.needed(self.recipe):
            self._make_whole(before)
        self._require_needed(stage)
        if rank() > 0:
            wait_for_all()
            if not stage.alone:
                with machine_limits(stage.costs.lower):
                    stage.do(self)
            wait_for_all()
            return
        if state == "stale":
            say(f"{stage.name}: done again, as {'; '.join(self.why_stale(stage))}")
            self._set_aside(stage) if stage.trained else self.clear(stage)
        else:
            bad = self._make_room(stage, state, bad)
        say_stage(stage.name)
        self._record(stage, goes_on=state == "unfinished" or bool(bad), wanted_back=state == "stale")

    def _look(self, stage: Stage, *, whole: bool) -> tuple[str, dict[str, str]]:
        """The state of a stage, and what is wrong with the files of a finished one; what can be spared is removed."""
        entry = self.entry(stage)
        if entry.get("key", "") != self.run.key(stage.name):  # its record was lost, or exchanged
            self.run.record(stage.name, entry)
        state, noted = self.state(stage), known(self.run, stage) is not None
        if state != "done" or not ((bad := self.wrong(stage, whole=whole)) or not noted):
            return state, {}
        if not whole:  # whoever goes on with it must know all
            bad = self.wrong(stage, whole=True)
        for name in [name for name in bad if spare(stage, name)]:
            say(f"{stage.name}: {name} {bad.pop(name)}: removed; the result is whole without it")
            self.run.path(name).unlink()
        if not bad:
            note(self.run, stage, self.entry(stage))
            self.run.record(stage.name, self.entry(stage))
        return state, bad

    def _make_whole(self, stage: Stage) -> None:
        """Look at the content of every file of a finished stage, and of those before, and make again what is wrong."""
        for before in stage.needed(self.recipe):
            self._make_whole(before)
        if from_first(lambda: stage.name not in self._whole and self.state(stage) == "done"):
            self.do(stage, whole=True)
        self._whole.add(stage.name)

    def _make_room(self, stage: Stage, state: str, bad: dict[str, str]) -> dict[str, str]:
        """Remove what a stage must not go on from; returns the files of it that are gone or removed."""
        names = files_of(self.run, stage)
        if state == "missing" and names and not self._is_of_this(stage, names):
            say(f"{stage.name}: nothing says what its files were made from: all are made again")
            self.clear(stage)
            return {}
        if state != "done":  # killed while it wrote, or while the machine lost its power
            keys = {self.key(stage), self.entry(stage).get("adopted", "")}
            bad = {name: why for name in names if (why := damage(self.run.path(name), keys))}
        if bad:
            name, why = next(iter(bad.items()))
            rest = f" (and {len(bad) - 1} more)" if len(bad) > 1 else ""
            say(f"{stage.name}: {name} {why}{rest}: made again as far as it is needed")
        for name in made_with(stage, bad):
            self.run.path(name).unlink(missing_ok=True)
        return bad

    def _is_of_this(self, stage: Stage, names: Iterable[str]) -> bool:
        """Whether files without a record say themselves that they are made from what the stage is made from."""
        said = set()
        for name in names:
            if name.endswith((".safetensors", ".json")):
                with suppress(KtseError, OSError, ValueError):
                    said.add(made_for(self.run.path(name)))
        return said - {""} == {self.key(stage)}

    def look_again(self, stages: Iterable[Stage]) -> None:
        """Do check again if the images' files are no longer those that it has seen, if only by their times."""
        for stage in stages:
            if stage.needs:
                self.look_again(stage.needs[:1])
            elif from_first(partial(self._is_outdated, stage)):
                self.do(stage)

    def _is_outdated(self, stage: Stage) -> bool:
        state = self.state(stage)
        return state == "stale" or (state == "done" and bool(self.wrong(stage)))

    def adopt(self, stage: Stage, key: str) -> None:
        """Record files that another run has made, from this key, as the beginning of a stage."""
        entry = {"state": "running", "key": self.key(stage), "made_from": self.made_from(stage), "adopted": key}
        self.run.record(stage.name, entry)

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
        clock, work, before = time.monotonic(), time.process_time(), self.entry(stage)
        spent, worked = (before.get(name, 0.0) if goes_on else 0.0 for name in ("seconds", "processor_seconds"))
        former = self.run.index(stage.name)
        adopted = {"adopted": before["adopted"]} if goes_on and "adopted" in before else {}
        entry: dict[str, Any] = adopted | {
            "state": "running",
            "key": self.key(stage),
            "made_from": self.made_from(stage),
            "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "versions": versions(),
            "processes": world_size(),
        }
        begun = {**entry, "seconds": spent, "processor_seconds": worked}
        self.run.write_index(stage.name, {"entry": begun})
        self.run.record(stage.name, begun)
        try:
            wait_for_all()
            with machine_limits(stage.costs.lower):
                stage.do(self)
            wait_for_all()
            entry["state"] = "done"
        except BaseException as error:
            entry |= {"state": "failed", "message": str(error) or type(error).__name__}
            raise
        finally:
            entry["seconds"] = round(spent + time.monotonic() - clock, 2)
            entry["processor_seconds"] = round(worked + time.process_time() - work, 2)
            if self._take_back(stage, wanted=wanted_back):
                self.run.write_index(stage.name, former)
                self.run.record(stage.name, before)
            else:
                entry |= resources()
                if entry["state"] == "done":
                    note(self.run, stage, entry)
                    self._whole.add(stage.name)
                self.run.record(stage.name, entry)

    def _set_aside(self, stage: Stage) -> None:
        """Move the folder of a trained network out of the way."""
        former = self.run.path(f".{stage.name}.former")
        shutil.rmtree(former, ignore_errors=True)
        rename(self.run.path(stage.name), former)
        flush_folder(self.run.root)

    def _take_back(self, stage: Stage, *, wanted: bool) -> bool:
        """Put back what was set aside, if that is wanted and nothing new was made, else remove it; say which."""
        former, now = self.run.path(f".{stage.name}.former"), self.run.path(stage.name)
        back = wanted and former.is_dir() and not now.exists()
        if back:
            rename(former, now)
        shutil.rmtree(former, ignore_errors=True)
        return back

    def clear(self, stage: Stage) -> None:
        """Remove what a stage has made."""
        for name in stage.outputs:
            path = self.run.path(name)
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        flush_folder(self.run.root)
