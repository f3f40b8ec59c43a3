"""Processes of one run that show each other that they live, so that none waits for ever for one that has stopped."""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ktse.runtime.processes import rank, world_size

FOLDER = ".alive"
"""In the run folder, which all processes share, wherever they are."""

BEAT, SILENCE = 3.0, 25.0
"""Seconds between signs of life, and after which a process without one has stopped. torchrun needs another 30 to end
what does not answer, so that the job has ended within a minute."""


def forget(run: Path) -> None:
    """Remove what processes of an earlier call have left; the first process does it before the others begin."""
    shutil.rmtree(run / FOLDER, ignore_errors=True)


@contextmanager
def beating(run: Path) -> Iterator[None]:
    """Within the block, this process shows that it lives, and ends if another one of the same run has stopped.

    Args:
        run: the run folder.
    """
    if world_size() == 1:
        yield
        return
    mine, ended, parent = run / FOLDER / str(rank()), threading.Event(), os.getppid()
    mine.parent.mkdir(parents=True, exist_ok=True)

    def beat() -> None:
        seen: dict[str, tuple[str, float]] = {}
        number = 0
        while not ended.wait(BEAT if number else 0):
            number += 1
            with suppress(OSError):  # a network file system may hiccup
                mine.write_text(str(number))
            if stopped := _stopped(mine.parent, seen):
                _end(f"process {stopped} of {world_size()} (counted from 0) has stopped")
            if os.getppid() != parent:
                _end("what has started this process has ended")

    threading.Thread(target=beat, daemon=True).start()
    try:
        yield
    finally:
        ended.set()
        mine.unlink(missing_ok=True)
        with suppress(OSError):  # others still live
            mine.parent.rmdir()


def _stopped(folder: Path, seen: dict[str, tuple[str, float]]) -> str:
    """The process whose sign of life has not changed for too long; empty if there is none. Clocks may differ."""
    for name in {str(other) for other in range(world_size())} - {str(rank())}:
        try:
            said = (folder / name).read_text()
        except OSError:  # it has not begun, or has ended
            seen.pop(name, None)
            continue
        if seen.get(name, ("", 0.0))[0] != said:
            seen[name] = (said, time.monotonic())
        elif time.monotonic() - seen[name][1] > SILENCE:
            return name
    return ""


def _end(why: str) -> None:
    sys.stderr.write(f"ktse: {why}: this process ends. What is finished stays; the same command goes on from here.\n")
    sys.stderr.flush()
    os._exit(1)
