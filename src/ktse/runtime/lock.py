"""One ktse at a time works in a run folder: a file says which process, on which machine, since when."""

from __future__ import annotations

import json
import os
import socket
import sys
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from ktse.errors import RunError
from ktse.runtime.processes import is_running, rank

NAME = ".lock"

HALF_WRITTEN = 2.0
"""Seconds after which a lock without content is one whose process ended before it wrote anything."""


@dataclass(frozen=True)
class Holder:
    """The process that works in a run folder.

    Attributes:
        host: name of the machine.
        process: its number there.
        since: local time, ISO 8601 without the fraction of the second.
        born: what tells the process from a later one of the same number, or empty where that is not known.
    """

    host: str
    process: int
    since: str
    born: str

    @classmethod
    def of_this(cls) -> Holder:
        """The process that asks, from now on."""
        since, process = datetime.now().isoformat(timespec="seconds"), os.getpid()
        return cls(socket.gethostname(), process, since, _born(process))

    @property
    def text(self) -> str:
        """As a file names it."""
        return json.dumps(asdict(self))

    @property
    def lives(self) -> bool:
        """Whether the process still runs; of another machine, nobody can tell, and it is taken for alive."""
        if self.host != socket.gethostname():
            return True
        if self.born and sys.platform == "linux":
            return self.born == _born(self.process) and is_running(self.process)
        return _alive_on_windows(self.process) if sys.platform == "win32" else is_running(self.process)

    def __str__(self) -> str:
        return f"process {self.process} on {self.host} since {self.since.replace('T', ' ')}"


def holder(folder: Path) -> Holder | None:
    """The process that works in a folder now; None if nobody does."""
    found = read_holder(folder / NAME)
    return found if found is not None and found.lives else None


def refuse_locked(folder: Path) -> None:
    """Make sure that nobody works in a folder.

    Raises:
        RunError: another process does.
    """
    if rank() == 0 and (other := holder(folder)) is not None:
        raise _refusal(folder, other)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Within the block, this process alone works in a folder, which is made if it does not exist.

    Of the processes of one torchrun, the first one stands for all. A lock whose process has ended is taken over.

    Raises:
        RunError: another process works there.
    """
    if rank() > 0:
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    path, mine = folder / NAME, Holder.of_this()
    while not create(path, mine.text):
        if (other := read_holder(path)) is not None and other.lives:
            raise _refusal(folder, other)
        _remove(path, other)
    try:
        yield
    finally:
        if read_holder(path) == mine:
            path.unlink(missing_ok=True)


def _refusal(folder: Path, other: Holder) -> RunError:
    gone = f". If that machine is gone, remove {folder / NAME}."
    other_way = ", or give another --out." if other.host == socket.gethostname() else gone
    return RunError(f"another ktse works in {folder} ({other})", hint=f"Wait until it has finished{other_way}")


def create(path: Path, text: str) -> bool:
    """Make a file, whole or not at all where the file system knows links; False if there is one of this name.

    Of any number of processes, on any machines, one makes it.
    """
    # As other files that are being written; processes of two machines may have the same number.
    mark = zlib.crc32(f"{socket.gethostname()} {path.name}".encode())
    part = path.with_name(f".{mark:08x}.{os.getpid()}.part")
    part.write_text(text, encoding="utf-8")
    try:
        os.link(part, path)
    except FileExistsError:
        return False
    except FileNotFoundError:  # the folder is gone
        raise
    except OSError:
        return _create_in_place(path, text)
    finally:
        part.unlink(missing_ok=True)
    return True


def _create_in_place(path: Path, text: str) -> bool:
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        return False
    return True


def read_holder(path: Path) -> Holder | None:
    """Who holds a lock, or has claimed something; None if there is no such file, or if it names nobody."""
    until = time.monotonic() + HALF_WRITTEN
    while True:
        try:
            return Holder(**json.loads(path.read_text(encoding="utf-8")))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (ValueError, TypeError):  # just created, or left behind empty
            if time.monotonic() > until:
                return None
            time.sleep(0.05)


def _remove(path: Path, former: Holder | None) -> None:
    """Remove a lock that is left behind, unless another process has taken it over meanwhile."""
    with _one_at_a_time(path.parent):
        if read_holder(path) == former:
            path.unlink(missing_ok=True)


@contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    """Within the block, no other process of this machine is in it; the system ends it when the process ends.

    A lock that is left behind is one of this machine, so that nobody elsewhere removes it.
    """
    if sys.platform == "win32":  # which lets nobody remove a file that another process has open
        yield
        return
    import fcntl

    number = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # a file system without such locks
            fcntl.flock(number, fcntl.LOCK_EX)
        yield
    finally:
        os.close(number)


def _born(process: int) -> str:
    """When a process began, as Linux counts it, with the number of the boot; empty elsewhere."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        # The name of the program, in brackets, may hold spaces.
        return f"{boot} {Path(f'/proc/{process}/stat').read_text().rpartition(')')[2].split()[19]}"
    except OSError:
        return ""


def _alive_on_windows(process: int) -> bool:
    import ctypes

    kernel = ctypes.windll.kernel32  # type: ignore[attr-defined,unused-ignore]
    handle = kernel.OpenProcess(0x00100000, False, process)  # SYNCHRONIZE
    if not handle:
        return False
    running = kernel.WaitForSingleObject(handle, 0) == 0x102  # WAIT_TIMEOUT
    kernel.CloseHandle(handle)
    return bool(running)
