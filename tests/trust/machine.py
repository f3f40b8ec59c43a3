"""A machine that is switched off: processes that end at any write, and a disk that loses what was not flushed."""

from __future__ import annotations

import os
import random
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SWITCHED_OFF = 137


def in_child(do: Callable[[], int], said: Path) -> int:
    """Exit code of a function that a copy of this process calls; what it says goes to a file."""
    sys.stdout.flush()
    sys.stderr.flush()
    process = os.fork()
    if process == 0:
        code = 99
        try:
            file = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(file, 1)
            os.dup2(file, 2)
            sys.stdout, sys.stderr = (os.fdopen(number, "w", closefd=False) for number in (1, 2))
            code = do()
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


@dataclass
class Disk:
    """A disk below one folder that ends the process at a given event, and then forgets what was not flushed.

    Events are the moments before and after a file takes its place, and before a flush.

    Args:
        root: the folder.
        end_at: the event at which the process ends; 0: never.
        lossy: whether the machine loses its power then, rather than the process alone ending.
        chance: what is lost.
    """

    root: Path
    end_at: int
    lossy: bool
    chance: random.Random
    events: int = 0
    flushed: dict[int, bytes] = field(default_factory=dict)
    former: dict[str, bytes | None] = field(default_factory=dict)

    def install(self) -> None:
        """Stand between this process and the operating system."""
        replace, rename, unlink, fsync = os.replace, os.rename, os.unlink, os.fsync

        def inside(path: Any, folder: int | None = None) -> str:
            name = os.fspath(path)
            where = Path(f"/proc/self/fd/{folder}").readlink() if folder is not None else Path.cwd()
            whole = str(where / os.fsdecode(name))
            return whole if whole.startswith(f"{self.root}{os.sep}") else ""

        def moved(real: Callable[..., None]) -> Callable[..., None]:
            def move(source: Any, target: Any, **more: Any) -> None:
                if not (place := inside(target)):
                    return real(source, target, **more)
                self.event()
                self.forgettable(place)
                real(source, target, **more)
                return self.event()

            return move

        def removed(path: Any, *, dir_fd: int | None = None) -> None:
            if place := inside(path, dir_fd):
                self.forgettable(place)
            unlink(path, dir_fd=dir_fd)

        def flush(number: int) -> None:
            place = Path(f"/proc/self/fd/{number}").readlink()
            self.event()
            fsync(number)
            if place.is_dir():
                start = f"{place}{os.sep}"
                for name in [name for name in self.former if name.startswith(start)]:
                    # A file within a folder that is in this one: its own name is on the disk with that folder's.
                    if os.sep not in name[len(start) :] or not Path(name).parent.exists():
                        del self.former[name]
            elif str(place).startswith(f"{self.root}{os.sep}"):
                self.flushed[place.stat().st_ino] = place.read_bytes()

        os.replace, os.rename, os.fsync = moved(replace), moved(rename), flush
        os.unlink = os.remove = removed  # type: ignore[assignment]

    def forgettable(self, place: str) -> None:
        """Keep what a name stands for, as long as its change is not on the disk."""
        if self.lossy and place not in self.former and not Path(place).is_dir():
            self.former[place] = Path(place).read_bytes() if Path(place).is_file() else None

    def event(self) -> None:
        """Something happens on the disk."""
        self.events += 1
        if self.events == self.end_at:
            if self.lossy:
                self.lose()
            os._exit(SWITCHED_OFF)

    def lose(self) -> None:
        """Leave what a disk may hold after the power was lost."""
        chance = self.chance
        for path in [path for path in self.root.rglob("*") if path.is_file()]:
            content, safe = path.read_bytes(), self.flushed.get(path.stat().st_ino, b"")
            if content != safe:
                kept = safe if content.startswith(safe) else b""
                rest = content[len(kept) :]
                cut = chance.randrange(len(rest) + 1)
                torn = kept + rest[:cut]
                left = [content, kept, torn, torn + bytes(len(rest) - cut), kept + bytes(len(rest))]
                path.write_bytes(chance.choice(left))
        for name, before in self.former.items():
            if chance.random() < 0.5:
                path = Path(name)
                if before is not None:
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(before)
                elif path.is_file():
                    path.unlink()


def content(root: Path, without: Sequence[str] = ()) -> dict[str, bytes]:
    """Every file below a folder by name."""
    found = {path.relative_to(root).as_posix(): path for path in root.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in found.items() if not name.startswith(tuple(without))}
