"""Whole files: written atomically and durably, read with errors that name them. JSON, arrays, tables, label maps."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import re
import sys
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ktse.errors import RunError
from ktse.visual import PALETTE

PART = re.compile(r"\.[0-9a-f]{8}\.(\d+)\.part")
"""Name of a file that is being written, with the number of the process that writes it."""


@contextmanager
def atomic(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """Give a temporary path beside `path`, which takes its place only if the block ends without an error.

    Args:
        path: the file.
        durable: whether it is on the disk, whatever happens to the machine, when the block has ended. One of many small
            files need not be: whoever writes them calls `settle` for all of them at the end.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Short, since the path's own name may be as long as a name can be.
    temporary = path.with_name(f".{zlib.crc32(os.fsencode(path.name)):08x}.{os.getpid()}.part")
    try:
        yield temporary
        if durable:
            flush(temporary)
        rename(temporary, path)
        if durable:
            flush_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def rename(source: Path, target: Path) -> None:
    """Let a file or folder take the place of another; what was there is gone."""
    source.replace(target)


def flush(path: Path) -> None:
    """Wait until the content of a file is on the disk."""
    with path.open("rb+" if sys.platform == "win32" else "rb") as file:
        os.fsync(file.fileno())


def flush_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk; Windows does not need it."""
    if sys.platform == "win32":
        return
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def settle(paths: Sequence[Path]) -> None:
    """Wait until many files are on the disk, with their names; many at once, which a disk does faster."""
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(flush, paths))
        list(pool.map(flush_folder, sorted({path.parent for path in paths})))


def digest(path: Path) -> str:
    """Hash of a file: 32 hexadecimal digits of BLAKE2."""
    found = hashlib.blake2b(digest_size=16)
    with path.open("rb") as file:
        while block := file.read(2**20):
            found.update(block)
    return found.hexdigest()


def append(path: Path, text: str) -> None:
    """Add text to the end of a log, in UTF-8; `flush` it where it must be on the disk."""
    with path.open("a", encoding="utf-8", newline="") as file:
        file.write(text)


def leftovers(root: Path) -> Iterator[Path]:
    """Files in a folder and its subfolders that a process on this machine was writing when it was killed."""
    for place, _, names in os.walk(root):
        for name in names:
            if (found := PART.fullmatch(name)) and not is_running(int(found[1])):
                yield Path(place, name)


def is_running(process: int) -> bool:
    """Whether this machine has a process of this number now; Windows cannot be asked, and says yes.

    One that has ended, and whose parent has not asked how, is not running.
    """
    if sys.platform == "win32":
        return True
    with suppress(OSError):  # the name of the program, in brackets, may hold spaces
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # of another user
        return True
    return True


def write_text(path: Path, text: str) -> Path:
    """Write a text file atomically, in UTF-8 with the system's line ends; returns the path."""
    with atomic(path) as part:
        part.write_text(text, encoding="utf-8")
    return path


def write_json(path: Path, content: Any) -> None:
    """Write JSON atomically."""
    write_text(path, json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file of a run.

    Raises:
        RunError: it is missing or damaged.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise RunError(f"{path} does not exist", hint="Is this a run folder? ktse run makes one.") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise RunError(f"{path} is damaged", where=str(error), hint="Remove it and repeat the stage.") from error


def write_table(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a CSV file atomically."""
    with atomic(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])


def read_table(path: Path) -> list[dict[str, str]]:
    """Rows of a CSV file that ktse has written, by column; none where there is no such file.

    Raises:
        RunError: it is damaged.
    """
    if not path.is_file():
        return []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file, strict=True))
    except (csv.Error, UnicodeDecodeError) as error:
        raise RunError(f"{path} is damaged", where=str(error), hint="Remove it and repeat the stage.") from error


def read_lines(path: Path) -> list[dict[str, Any]]:
    """JSON objects of a log, one a line; none for a missing file. A last line that a kill cut short is left out.

    Raises:
        RunError: another line is damaged.
    """
    if not path.is_file():
        return []
    lines = [line for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    found = []
    for number, line in enumerate(lines, start=1):
        try:
            entry = json.loads(line)
        except json.JSONDecodeError as error:
            if number == len(lines):
                break
            where = f"line {number}: {error}"
            raise RunError(f"{path} is damaged", where=where, hint="Remove it; only the curves are lost.") from error
        found += [entry] if isinstance(entry, dict) else []
    return found


def write_npz(path: Path, *, compress: bool = True, **arrays: np.ndarray) -> None:
    """Write arrays atomically, as one of many files (see `atomic`); object arrays are refused."""
    for name, array in arrays.items():
        if array.dtype == object:
            raise TypeError(f"{name} would be pickled")
    with atomic(path, durable=False) as part, part.open("wb") as file:
        (np.savez_compressed if compress else np.savez)(file, **arrays)  # type: ignore[arg-type]


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """Read arrays.

    Raises:
        RunError: the file is missing or damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            return dict(file)
    except FileNotFoundError as error:
        raise RunError(f"{path} does not exist", hint="Run the stage that writes it first.") from error
    except (zipfile.BadZipFile, ValueError, OSError, EOFError) as error:
        raise RunError(f"{path} is damaged", hint="Remove it and repeat the stage.") from error


def label_type(classes: int) -> type[np.unsignedinteger]:
    """The smallest type that holds labels 0..C; its largest value (255 for up to 254 classes) is undecided."""
    return np.uint8 if classes < 255 else np.uint16


def undecided(label: np.ndarray) -> int:
    """The value of an undecided pixel in a label map: 255, or 65535 in 16 bits."""
    return int(np.iinfo(label.dtype).max)


def write_label_map(path: Path, label: np.ndarray, *, durable: bool = False) -> None:
    """Write a label map, atomically: palette PNG for uint8, grey PNG for uint16.

    Args:
        path: the file.
        label: (H, W) uint8 or uint16, 0 background, k class k, the type's largest value undecided.
        durable: see `atomic`; one of many masks need not be, what a person has drawn must.
    """
    image = Image.fromarray(label)
    if label.dtype == np.uint8:
        image.putpalette(PALETTE.tobytes())
    with atomic(path, durable=durable) as part:
        image.save(part, format="PNG")


def read_label_map(path: Path) -> np.ndarray:
    """Read a label map: (H, W) uint8 or uint16 class indices from a palette or grey PNG.

    Raises:
        RunError: it is missing, unreadable, or a colour image.
    """
    try:
        with Image.open(path) as image:
            if image.mode in ("P", "L", "1"):
                return np.asarray(image).astype(np.uint8)
            if image.mode in ("I;16", "I"):
                return np.asarray(image).astype(np.uint16)
            raise RunError(
                f"{path} is a {image.mode} image, not a label map",
                hint="Masks hold class numbers: an 8-bit palette or grey PNG, 0 background, k class k.",
            )
    except FileNotFoundError as error:
        raise RunError(f"{path} does not exist") from error
    except (OSError, SyntaxError) as error:
        raise RunError(f"{path} cannot be read", where=str(error)) from error
