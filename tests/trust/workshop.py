"""A small run that is killed, damaged and fought over, in copies of this process, which has loaded everything once.

`make trust` does all of it; TRUST=0.1 make trust a tenth.
"""

from __future__ import annotations

import gc
import os
import shutil
from contextlib import suppress
from pathlib import Path

from machine import Disk, content, in_child

from ktse.data.demo.scenes import make_scenes
from ktse.staleness import Stage

SETTINGS = [
    *("--recipe", "demo", "--weights", "none", "--compute.workers", "0", "--seed.scales", "[0.5]"),
    *("--classify.backbone", "test_byobnet", "--classify.epochs", "2", "--classify.warmup", "1"),
    *("--classify.crop", "64", "--classify.long_side", "[64,64]"),
    *("--segment.encoder", "test_byobnet", "--segment.epochs", "1", "--segment.architecture", "pspnet"),
    *("--segment.batch_size", "2"),
    *("--segment.crop", "64", "--segment.long_side", "[64,64]"),
]

VARYING = ("manifest.json", "index/", "log.txt", "report.html")
"""Files that hold times, so that no two runs have the same."""

OF_PROCESSES = (".lock", ".alive/", ".claims/")
"""Files by which processes know of each other, while they work."""


def hurry() -> None:
    """Leave out of this process what takes time and leaves no file: estimates, most of `adapt`, waiting for the disk.

    What a process has written survives it; of a machine without power, `Disk` knows what is flushed.
    """
    import ktse.pipeline
    import ktse.stages.adapt

    os.environ["CUDA_VISIBLE_DEVICES"] = ""  # no copy of a process can use a GPU that the process has used
    ktse.stages.adapt.EPOCHS, ktse.stages.adapt.STEPS = 2, 1
    ktse.pipeline.say_costs = lambda *_: None
    os.fsync = lambda _: None


def end_with_a_stage() -> None:
    """Let each run of this process end when it has done a stage."""
    import ktse.pipeline
    from ktse.job import Job

    class Ended(Exception):
        """A stage is done."""

    record, run_all = Job._record, ktse.pipeline.run_all

    def recorded(self: Job, stage: Stage, **how: bool) -> None:
        record(self, stage, **how)
        raise Ended

    def one_stage(job: Job) -> None:
        with suppress(Ended):
            run_all(job)

    Job._record, ktse.pipeline.run_all = recorded, one_stage  # type: ignore[method-assign]


def amount(count: int) -> int:
    """How often something is tried, of so many times in the whole profile."""
    return max(1, round(count * float(os.environ.get("TRUST", "1"))))


class Workshop:
    """A small run, and what becomes of it.

    Args:
        folder: where it is worked.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.scenes, self.run = folder, folder / "scenes", folder / "run"
        make_scenes(self.scenes, images=4, size=(64, 64))
        self.said = folder / "said.txt"
        self.warm()
        self.other = self.made(4)
        self.reference = self.made(3)
        self.expected = content(self.reference, VARYING)
        self.names = set(content(self.reference))

    def words(self, random_seed: int = 3, *more: str) -> list[str]:
        """The command that makes the run, or goes on with it."""
        given = ["run", str(self.scenes / "images"), "--tags", str(self.scenes / "tags.csv")]
        given += ["--masks", str(self.scenes / "masks"), "--corrections", str(self.scenes / "masks")]
        given += ["--out", str(self.run), *SETTINGS]
        return [*given, "--compute.random_seed", str(random_seed), *more]

    def warm(self) -> None:
        """Do the run here, so that no copy of this process loads anything or looks at what is there for garbage."""
        from ktse.cli import main

        assert main(self.words()) == 0
        self.clear()
        gc.collect()
        gc.freeze()

    def made(self, random_seed: int) -> Path:
        """A finished run, moved aside."""
        assert self.do(self.words(random_seed)) == 0, self.text
        aside = self.folder / f"finished-{random_seed}"
        self.run.rename(aside)
        return aside

    def do(self, *commands: list[str], disk: Disk | None = None, whole: bool = True) -> int:
        """Exit code of the last of some commands, in a copy of this process; the first that fails is the last.

        Args:
            commands: words of each.
            disk: keeps copies of the run.
            whole: or a run ends with the first stage that it does.
        """

        def work() -> int:
            from ktse.cli import main

            if disk is not None:
                disk.install()
            if not whole:
                end_with_a_stage()
            return next((code for words in commands if (code := main(words))), 0)

        return in_child(work, self.said)

    @property
    def text(self) -> str:
        """What the last commands have said."""
        return self.said.read_text(encoding="utf-8", errors="replace")

    def clear(self) -> None:
        """Begin anew."""
        shutil.rmtree(self.run, ignore_errors=True)

    def begins_as(self, state: Path) -> None:
        """Take a folder, which is gone then, for the run."""
        self.clear()
        state.rename(self.run)

    def complaints(self, *, whole: bool = True) -> list[str]:
        """What is wrong with the run, which should be as if nothing had ever disturbed it, and finished if `whole`."""
        found = content(self.run)
        wrong = [f"{name} is left over" for name in found.keys() - self.names]
        wrong += [f"{name} is lost" for name in self.names - found.keys()] if whole else []
        wrong += [
            f"{name} is wrong" for name, expected in self.expected.items() if found.get(name, expected) != expected
        ]
        wrong += [f"{name} has temporary files" for name in found if name.endswith(".part")]
        return wrong

    def recovers(self, *, whole: bool = True) -> list[str]:
        """What is wrong after the same command was given again, and every file was looked at.

        Args:
            whole: or the command ends with the first stage that it does; if that gives the bytes of the undisturbed
                run, so do the others.
        """
        code = self.do(self.words(), ["verify", str(self.run)], whole=whole)
        said = ["a traceback"] if "Traceback" in self.text else []
        return [*([f"exit code {code}"] if code else []), *said, *self.complaints(whole=whole)]
