"""Where a run stands: its stages, what is stale and why, the verdict, and what comes next. Nothing is computed."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ktse.artefacts import wrong
from ktse.errors import KtseError
from ktse.job import Job
from ktse.pipeline import CHECK, stages_of
from ktse.quality.rest import rest_in_words
from ktse.quality.verdict import Verdict, read_verdict
from ktse.run_folder import RunFolder
from ktse.runtime.lock import holder
from ktse.runtime.words import many
from ktse.staleness import Stage, overtaken
from ktse.verbs.moved import moved_error, run_again

State = Literal["done", "stale", "running", "unfinished", "failed", "missing"]

LONGEST = 200
"""Letters of a failed stage's message that are repeated; log.txt has all of it."""


@dataclass(frozen=True)
class StageStatus:
    """Where a stage stands.

    Attributes:
        stage: its name.
        state: "done"; "stale": done from something that is no longer the same; "running"; "unfinished": it was
            interrupted, or files of it are gone or damaged; "failed"; "missing": not begun.
        seconds: how long it has taken so far; None if it has not begun.
        why: what is stale, gone, or went wrong.
    """

    stage: str
    state: State
    seconds: float | None
    why: tuple[str, ...]


@dataclass(frozen=True)
class Status:
    """Where a run stands.

    Attributes:
        run: the run folder.
        stages: its stages, in order.
        at_work: who works in it now, or empty.
        verdict: whether its results should be used; None before they are evaluated.
        rest: how good the masks probably are that nobody has checked; empty if nobody has checked any.
        next: what comes next, a command where there is one.
    """

    run: Path
    stages: tuple[StageStatus, ...]
    at_work: str
    verdict: Verdict | None
    rest: str
    next: str


def read_status(run: RunFolder) -> Status:
    """Where a run stands, with or without its images.

    Raises:
        RunError: the run folder is damaged.
    """
    job, works = Job(run, run.read_recipe(edited=True)), holder(run.root)
    moved = moved_error(run, job.recipe)
    looked_at = moved is None and _check_is_current(job)
    stages = tuple(_stage(job, stage, moved is None, looked_at, works is not None) for stage in stages_of(job.recipe))
    verdict = read_verdict(run)
    if works is not None:
        following = f"wait: another ktse works here ({works})"
    elif any(stage.state != "done" for stage in stages):
        following = run_again(run, job.recipe) if moved is None else str(moved)
    elif verdict is not None and verdict.signs:
        following = verdict.signs[0].next
    else:
        following = f"ktse predict {run.root} IMAGES --out DIR"
    return Status(run.root, stages, str(works or ""), verdict, _rest(job) if moved is None else "", following)


def _rest(job: Job) -> str:
    """How good the masks probably are that nobody has checked; nothing if the images cannot be opened."""
    with suppress(KtseError):
        return rest_in_words(job.run, job.data)
    return ""


def _check_is_current(job: Job) -> bool:
    """Whether the images are those that check has seen; not if they cannot even be opened."""
    try:
        return job.state(CHECK) == "done"
    except KtseError:
        return False


def _stage(job: Job, stage: Stage, there: bool, looked_at: bool, works: bool) -> StageStatus:
    entry: dict[str, Any] = job.run.manifest().get(stage.name, {})
    if not entry:
        return StageStatus(stage.name, "missing", None, ())
    state, why = _state_of(job, stage, entry, there, looked_at, works)
    return StageStatus(stage.name, state, entry.get("seconds"), why)


def _state_of(
    job: Job, stage: Stage, entry: dict[str, Any], there: bool, looked_at: bool, works: bool
) -> tuple[State, tuple[str, ...]]:
    if entry["state"] == "running":
        return ("running", ()) if works else ("unfinished", ("its process has ended",))
    if why := _why_stale(job, stage, entry, there, looked_at):
        return "stale", tuple(why)
    if entry["state"] == "failed":
        first = (str(entry.get("message", "")).splitlines() or [""])[0]
        interrupted = first == "KeyboardInterrupt"
        return ("unfinished", ("it was interrupted",)) if interrupted else ("failed", (first[:LONGEST],))
    bad = list(wrong(job.run, job.recipe, stage, job.data.ids if looked_at else ()).items())
    if not bad:
        return "done", ()
    name, what = bad[0]
    return "unfinished", (f"{many(len(bad), 'file')} must be made again: {name} {what}",)


def _why_stale(job: Job, stage: Stage, entry: dict[str, Any], there: bool, looked_at: bool) -> list[str]:
    """Why a stage is stale; all reasons where the images are there, else those that the run folder alone tells.

    Where check must look again, its result may be the same as before, so that nothing else need be stale.
    """
    try:
        if looked_at or (stage is CHECK and there):
            return job.why_stale(stage) if entry["key"] != job.key(stage) else []
    except KtseError as error:  # true masks or corrections that have moved
        return [error.what]
    if stage is CHECK:  # made from the images alone
        return []
    if entry.get("made_from", {}).get("its form on disk", 1) != stage.layout:
        return ["an earlier version made it"]
    return overtaken(job.run, job.recipe, stage)
