"""The log of a verb: everything that it says, with times, in a plain text file of the run folder."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import datetime
from pathlib import Path

from ktse._version import __version__
from ktse.errors import KtseError
from ktse.runtime.processes import rank
from ktse.runtime.words import visible


class Log:
    """What a verb says, kept in memory until there is a file for it.

    Nothing is written before the input is checked, so that a mistake leaves no run folder behind.
    """

    def __init__(self) -> None:
        self.once: set[str] = set()
        self._last: list[Callable[[], None]] = []
        self._lines: list[str] = []
        self._path: Path | None = None

    def keep(self, path: Path) -> None:
        """Write to this file from now on, after all messages so far; only the first process does."""
        if rank() == 0:
            self._path = path
            self._flush()

    def at_end(self, last: Callable[[], None]) -> None:
        """Say something when the outermost verb has done everything else."""
        self._last.append(last)

    def finish(self) -> None:
        """Say it now."""
        for last in self._last:
            last()
        self._last = []

    def write(self, text: str) -> None:
        """Add one message, which may have several lines."""
        start = f"{datetime.now():%Y-%m-%d %H:%M:%S} "
        lines = visible(text).split("\n")
        self._lines += [start + lines[0], *(" " * len(start) + line for line in lines[1:])]
        if self._path is not None:
            self._flush()

    def _flush(self) -> None:
        # A log that cannot be written must not end hours of training.
        with suppress(OSError):
            if self._path is not None:
                with self._path.open("a", encoding="utf-8") as file:
                    file.write("".join(f"{line}\n" for line in self._lines))
        self._lines = []


_current: ContextVar[Log | None] = ContextVar("log", default=None)


def current_log() -> Log | None:
    """The log of the verb that is being done, if any."""
    return _current.get()


@contextmanager
def recording(command: str = "a call from Python") -> Iterator[Log]:
    """Within the block, all messages go to a log, and at last how the block failed, if it failed.

    A block inside another one has the log of that one.

    Args:
        command: what was typed, for the first line.
    """
    if (outer := _current.get()) is not None:
        yield outer
        return
    log = Log()
    log.write(f"ktse {__version__}: {command}")
    token = _current.set(log)
    try:
        yield log
        log.finish()
    except (Exception, KeyboardInterrupt) as error:
        unknown = "interrupted" if isinstance(error, KeyboardInterrupt) else traceback.format_exc()
        log.write(f"error: {error}" if isinstance(error, KtseError) else unknown)
        raise
    finally:
        _current.reset(token)
