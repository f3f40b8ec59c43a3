"""Processes of one run that show each other that they live, so that none waits for ever for one that has stopped."""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ktse.runtime.processes import rank, world_size

FOLDER = ".alive"
"""In the run folder, which all processes share, wherever they are."""

BEAT, SILENCE = 3.0, 25.0
"""Seconds between signs of life, and after which a process without one has stopped. torchrun needs another 30 to end
what does not answer, so that the job has ended within a minute."""


class Silence:
    """How long others have given no sign of life, as far as it was observed; their clocks do not matter."""

    def __init__(self) -> None:
        self._seen: dict[Path, tuple[str, float]] = {}

    def of(self, sign: Path) -> float:
        """Seconds for which the sign of life of a process has not changed, or was missing; 0 at the first look."""
        try:
            said = sign.read_text()
        except OSError:
            said = ""
        if self._seen.get(sign, ("?", 0.0))[0] != said:
            self._seen[sign] = (said, time.monotonic())
        return time.monotonic() - self._seen[sign][1]

    def forget(self, sign: Path) -> None:
        """Begin anew with the next sign of life."""
        self._seen.pop(sign, None)


def forget(run: Path) -> None:
    """Remove what processes of an earlier call have left; the first process does it before the others begin."""
    shutil.rmtree(run / FOLDER, ignore_errors=True)


@contextmanager
def beating(run: Path) -> Iterator[None]:
    """Within the block, this process shows that it lives, and ends if another one of the same torchrun has stopped.

    Args:
        run: the run folder.
    """
    mine, parent, silence = run / FOLDER / str(rank()), os.getppid(), Silence()

    def look() -> None:
        if stopped := _stopped(mine.parent, silence):
            _end(f"process {stopped} of {world_size()} (counted from 0) has stopped")
        if os.getppid() != parent:
            _end("what has started this process has ended")

    with showing_life(mine, look if world_size() > 1 else None):
        yield


@contextmanager
def showing_life(sign: Path, look: Callable[[], None] | None = None) -> Iterator[None]:
    """Within the block, a file changes again and again.

    Args:
        sign: the file.
        look: what else to do each time.
    """
    ended = threading.Event()

    def beat() -> None:
        number = 0
        while not ended.wait(BEAT if number else 0):
            number += 1
            with suppress(OSError):  # a network file system may hiccup
                sign.parent.mkdir(parents=True, exist_ok=True)
                sign.write_text(str(number))
            if look is not None:
                look()

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(BEAT)
        sign.unlink(missing_ok=True)
        with suppress(OSError):  # others still live
            sign.parent.rmdir()


def _stopped(folder: Path, silence: Silence) -> str:
    """The process whose sign of life has not changed for too long; empty if there is none."""
    for name in {str(other) for other in range(world_size())} - {str(rank())}:
        if not (folder / name).is_file():  # it has not begun, or has ended
            silence.forget(folder / name)
        elif silence.of(folder / name) > SILENCE:
            return name
    return ""


def _end(why: str) -> None:
    sys.stderr.write(f"ktse: {why}: this process ends. What is finished stays; the same command goes on from here.\n")
    sys.stderr.flush()
    os._exit(1)
