"""A machine that is switched off at any write: what a process leaves that ends there, and what a disk then loses."""

from __future__ import annotations

import os
import random
import shutil
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


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
    """A disk below one folder, of which a copy is kept as it is at each event.

    Events are the moments before and after a file takes its place, and before a flush.

    Args:
        root: the folder.
        states: where the copies are kept, in a folder for each event, by its number.
        lossy: whether a copy is what the disk holds after the machine lost its power then: it forgets what was not
            flushed.
    """

    root: Path
    states: Path
    lossy: bool
    events: int = 0
    flushed: dict[int, bytes] = field(default_factory=dict)
    former: dict[str, bytes | None] = field(default_factory=dict)
    one_at_a_time: threading.Lock = field(default_factory=threading.Lock)

    def install(self) -> None:
        """Stand between this process and the operating system."""
        replace, rename, unlink = os.replace, os.rename, os.unlink

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
        with self.one_at_a_time:
            self.events += 1
            state = self.states / f"{self.events:04}"
            shutil.copytree(self.root, state, copy_function=copied)
            if self.lossy:
                self.lose(state, random.Random(self.events))

    def lose(self, state: Path, chance: random.Random) -> None:
        """Leave in a copy what a disk may hold after the power was lost."""
        for path in [path for path in self.root.rglob("*") if path.is_file()]:
            content, safe = path.read_bytes(), self.flushed.get(path.stat().st_ino, b"")
            if content != safe:
                kept = safe if content.startswith(safe) else b""
                rest = content[len(kept) :]
                cut = chance.randrange(len(rest) + 1)
                torn = kept + rest[:cut]
                left = [content, kept, torn, torn + bytes(len(rest) - cut), kept + bytes(len(rest))]
                put(state / path.relative_to(self.root), chance.choice(left))
        for name, before in self.former.items():
            if chance.random() < 0.5:
                put(state / Path(name).relative_to(self.root), before)


def copied(source: str, target: str) -> None:
    """A copy of a file; of models, which are replaced whole, another name, as there are hundreds of copies."""
    (os.link if source.endswith(".safetensors") else shutil.copy2)(source, target)


def put(path: Path, content: bytes | None) -> None:
    """Let a file hold something, or be gone, whatever other names the former one has."""
    path.unlink(missing_ok=True)
    if content is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def content(root: Path, without: Sequence[str] = ()) -> dict[str, bytes]:
    """Every file below a folder by name."""
    found = {path.relative_to(root).as_posix(): path for path in root.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in found.items() if not name.startswith(tuple(without))}
