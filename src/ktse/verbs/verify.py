"""Looking at every file of a run: is it as ktse wrote it? What is not can be removed, so that it is made again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from ktse.artefacts import (
    CHECKPOINT,
    damage,
    files_of,
    image_of,
    known,
    made_with,
    note,
    spare,
    strange,
    wrong,
)
from ktse.errors import KtseError, RunError
from ktse.files import leftovers
from ktse.job import Job
from ktse.pipeline import STAGES
from ktse.recipe import Recipe
from ktse.recipe.load import known_settings, recipe_from_dict
from ktse.run_folder import RunFolder
from ktse.runtime.lock import locked
from ktse.staleness import Stage

STRANGE = "was not written by this run"


@dataclass(frozen=True)
class Wrong:
    """A file of a run that is not as it should be.

    Attributes:
        file: its path in the run folder.
        stage: the stage that it is of; empty for the run as a whole.
        what: what is wrong with it.
        repair: what --repair does, or has done.
        stays: whether it does nothing, as only a person can.
    """

    file: str
    stage: str
    what: str
    repair: str
    stays: bool = False


@dataclass(frozen=True)
class Verified:
    """What was looked at in a run, and what is wrong.

    Attributes:
        run: the run folder.
        files: how many files were looked at.
        wrong: what is wrong; empty: every file is as ktse wrote it.
        unknown: finished stages that an earlier version made, of whose files nothing was noted.
        repaired: whether it was repaired.
        next: what comes next.
    """

    run: Path
    files: int
    wrong: tuple[Wrong, ...]
    unknown: tuple[str, ...]
    repaired: bool
    next: str

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong any more."""
        return all(self.repaired and not one.stays for one in self.wrong)


def verify_run(root: Path, repair: bool) -> Verified:
    """Look at every file of a run; arguments as of ktse.verify.

    Raises:
        RunError: it is no run folder, its settings are lost, or another ktse works there and it is to be repaired.
    """
    run = RunFolder(root)
    if not any(run.path(name).is_file() for name in ("recipe.yaml", "manifest.json", "index/recipe.json")):
        raise RunError(f"{root} is not a run folder", hint="ktse run IMAGES --tags CSV --out RUN makes one.")
    with ExitStack() as stack:
        if repair:
            stack.enter_context(locked(root))
        found = [*_of_settings(run, repair)]
        recipe = _settings(run)
        found += [*_of_manifest(run, recipe, repair)]
        done = [stage for stage in STAGES.values() if run.manifest().get(stage.name, {}).get("state") == "done"]
        unknown = tuple(stage.name for stage in done if known(run, stage) is None)
        for stage in STAGES.values():
            found += _of_stage(run, recipe, stage, done=stage in done, repair=repair)
        found += [*_beside(run, repair)]
    count = sum(len(files_of(run, stage)) for stage in STAGES.values())
    following = f"ktse status {root}" if not found else f"ktse run (as at first, with --out {root}) makes it again"
    following = f"ktse verify {root} --repair" if found and not repair else following
    return Verified(root, count, tuple(found), unknown, repair, following)


def _settings(run: RunFolder) -> Recipe:
    """The settings of a run; where recipe.yaml is lost, those that are noted.

    Raises:
        RunError: nothing has them.
    """
    with suppress(KtseError):
        return run.read_recipe()
    if noted := run.index("recipe").get("settings"):
        return recipe_from_dict(known_settings(noted), source=str(run.path("index", "recipe.json")))
    return run.read_recipe(edited=True)


def _of_settings(run: RunFolder, repair: bool) -> Iterator[Wrong]:
    """Whether recipe.yaml is as it was written; what is noted of it puts it back."""
    try:
        run.read_recipe()
    except KtseError as error:
        if not run.index("recipe").get("settings"):
            raise
        if repair:
            run.write_recipe(_settings(run))
        yield Wrong("recipe.yaml", "", error.what.partition("recipe.yaml ")[2] or error.what, "is put back")


def _of_manifest(run: RunFolder, recipe: Recipe, repair: bool) -> Iterator[Wrong]:
    """Whether manifest.json and the index agree; where they do not, what fits the run is right."""
    path, entries = run.path("manifest.json"), run.manifest()
    if not path.is_file() or damage(path):
        yield Wrong("manifest.json", "", damage(path) if path.is_file() else "is gone", "is made from the index")
    for stage in STAGES.values():
        noted = run.index(stage.name).get("entry", {})
        if noted and noted.get("key") != entries[stage.name].get("key"):
            right = _fitting(run, recipe, stage)
            entries[stage.name] = right
            name = "manifest.json" if right is noted else f"index/{stage.name}.json"
            yield Wrong(name, stage.name, "is of another run, or another result", "is made to fit")
    if repair and entries:
        for name, entry in entries.items():
            run.record(name, entry)


def _fitting(run: RunFolder, recipe: Recipe, stage: Stage) -> dict[str, object]:
    """Of two records of a stage, the one that fits its settings and its input."""
    with suppress(KtseError):  # the images are not there
        return Job(run, recipe).entry(stage)
    return run.manifest()[stage.name]


def _of_stage(run: RunFolder, recipe: Recipe, stage: Stage, *, done: bool, repair: bool) -> list[Wrong]:
    """What is wrong with the files of one stage."""
    names = files_of(run, stage)
    if done:
        bad = wrong(run, recipe, stage, {image_of(stage, name) for name in names} - {""}, whole=True)
        bad |= dict.fromkeys(strange(run, stage), STRANGE)
        entry = run.manifest()[stage.name]
        keys = {entry["key"], entry.get("adopted", "")}
        names = [name for name in names if name.endswith(CHECKPOINT)]  # sealed, but not noted
        bad |= {name: why for name in names if (why := damage(run.path(name), keys))}
    else:
        keys = {run.key(stage.name)} - {""}
        bad = {name: why for name in names if (why := damage(run.path(name), keys))}
    if repair and bad:
        for name in made_with(stage, bad):
            run.path(name).unlink(missing_ok=True)
    if repair and done and (known(run, stage) is None or all(spare(stage, name) for name in bad)):
        note(run, stage, run.manifest()[stage.name])
    needless = [name for name in bad if done and (spare(stage, name) or bad[name] == STRANGE)]
    again = "is removed, and made again"
    return [Wrong(name, stage.name, what, "is removed" if name in needless else again) for name, what in bad.items()]


def _beside(run: RunFolder, repair: bool) -> Iterator[Wrong]:
    """What belongs to no stage: half-written files, what a backbone has seen, and what a person has drawn."""
    for path in leftovers(run.root):
        if repair:
            path.unlink(missing_ok=True)
        yield Wrong(path.relative_to(run.root).as_posix(), "", "was left by a process that was killed", "is removed")
    for path in sorted(run.path("features").rglob("*.npz")):
        if why := damage(path):
            if repair:
                path.unlink()
            yield Wrong(path.relative_to(run.root).as_posix(), "", why, "is removed, and made again")
    for path in sorted(run.path("corrections").rglob("*.png")):
        if why := damage(path):
            text = "stays: draw it again, or put a copy back"
            yield Wrong(path.relative_to(run.root).as_posix(), "", why, text, stays=True)
