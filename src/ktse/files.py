"""Whole files: written atomically and durably, read with errors that name them. JSON, arrays, tables, label maps."""

from __future__ import annotations

import csv
import hashlib
import json
import math
import os
import re
import sys
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ktse.errors import RunError
from ktse.runtime.claims import require_claim
from ktse.runtime.processes import is_running
from ktse.runtime.reading import reading, reason
from ktse.visual import PALETTE

AGAIN = "Remove it and repeat the stage."

MOST_TEXT, MOST_ARRAYS = 1 << 28, 1 << 29
"""Bytes that a text file, and the arrays of one file, of a run may have; what ktse writes has far less."""
PART = re.compile(r"\.[0-9a-f]{8}\.(\d+)\.part")
"""Name of a file that is being written, with the number of the process that writes it."""


@contextmanager
def atomic(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """Give a temporary path beside `path`, which takes its place only if the block ends without an error.

    Args:
        path: the file.
        durable: whether it is on the disk, whatever happens to the machine, when the block has ended. One of many small
            files need not be: whoever writes them calls `settle` for all of them at the end.

    Raises:
        OverError: this process has joined a run, and the file is no longer its task.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Short, since the path's own name may be as long as a name can be.
    temporary = path.with_name(f".{zlib.crc32(os.fsencode(path.name)):08x}.{os.getpid()}.part")
    try:
        yield temporary
        if durable:
            flush(temporary)
        require_claim()
        rename(temporary, path)
        if durable:
            flush_folder(path.parent)
    except OSError as error:
        if error.filename in (None, str(temporary)):  # the user knows the file by its own name
            error.filename = str(path)
        raise
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
    advice = "Is this a run folder? ktse run makes one."
    with reading(path, kind=RunError, missing=advice, hint=AGAIN, most=MOST_TEXT):
        text = path.read_text(encoding="utf-8")
        content = json.loads(text, parse_constant=_finite, parse_float=_finite)
        if r"\u" in text:  # half a character, which no file can hold
            json.dumps(content, ensure_ascii=False).encode()
        return content


class Held:
    """What some files hold, read again only when they have changed: a run is asked for its records a thousand times."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[object, Any]] = {}

    def get(self, path: Path, read: Callable[[], Any]) -> Any:
        """What `read` has made of a file; an empty dict if there is no file."""
        if not path.is_file():
            return {}
        stat = path.stat()
        stamp = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
        if self._known.get(path, (None, None))[0] != stamp:
            self._known[path] = (stamp, read())
        return self._known[path][1]


def _finite(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError(f"{text} is no finite number")
    return number


NUMBER = re.compile(r"[+-]?[\d.]+(e[+-]?\d+)?", re.ASCII)

FORMULA = re.compile(r"'*[=+\-@\t\r]")
"""How a cell begins that a spreadsheet takes for a formula; one that is marked as text has a quote before it."""


def in_cell(value: object) -> object:
    """A value as a cell of a CSV file: a text that a spreadsheet would compute is marked as text."""
    if not isinstance(value, str) or not FORMULA.match(value) or NUMBER.fullmatch(value):
        return value
    return f"'{value}"


def of_cell(text: str) -> str:
    """The text in a cell that `in_cell` has made."""
    return text[1:] if text.startswith("'") and FORMULA.match(text) else text


def write_table(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a CSV file atomically; `in_cell` says how texts are written that a spreadsheet would compute."""
    with atomic(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([map(in_cell, row) for row in (header, *rows)])


def read_table(path: Path) -> list[dict[str, str]]:
    """Rows of a CSV file that ktse has written, by column; none where there is no such file.

    Raises:
        RunError: it is damaged.
    """
    if not path.is_file():
        return []
    with reading(path, kind=RunError, hint=AGAIN, most=MOST_TEXT), path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file, strict=True))
        if any(None in row or None in row.values() for row in rows):
            raise ValueError("a row has another number of cells than the first line")
        return [{name: of_cell(cell) for name, cell in row.items()} for row in rows]


def read_lines(path: Path) -> list[dict[str, Any]]:
    """JSON objects of a log, one a line; none for a missing file. A last line that a kill cut short is left out.

    Raises:
        RunError: another line is damaged.
    """
    if not path.is_file():
        return []
    with reading(path, kind=RunError, most=MOST_TEXT):
        lines = [line for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    found = []
    for number, line in enumerate(lines, start=1):
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError) as error:
            if number == len(lines):
                break
            where = f"line {number}: {reason(error)}"
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
    """Read arrays; what they claim to hold is looked at before any memory is taken.

    Raises:
        RunError: the file is missing or damaged.
    """
    missing = "Run the stage that writes it first."
    with reading(path, kind=RunError, missing=missing, hint=AGAIN), zipfile.ZipFile(path) as archive:
        parts = archive.infolist()
        if (size := sum(part.file_size for part in parts)) > MOST_ARRAYS:
            raise ValueError(f"it claims to hold {size:,} bytes of arrays")
        return {part.filename.removesuffix(".npy"): _array(archive, part) for part in parts}


def _array(archive: zipfile.ZipFile, part: zipfile.ZipInfo) -> np.ndarray:
    with archive.open(part) as file:
        layout = np.lib.format.read_magic(file)
        if layout not in ((1, 0), (2, 0)):
            raise ValueError(f"an array has the unknown layout {layout}")
        read_header = np.lib.format.read_array_header_1_0 if layout[0] == 1 else np.lib.format.read_array_header_2_0
        shape, _, kind = read_header(file)
        if math.prod(shape) * kind.itemsize != part.file_size - file.tell():
            raise ValueError(f"an array claims the shape {shape}, which its bytes do not fill")
        file.seek(0)
        array: np.ndarray = np.lib.format.read_array(file, allow_pickle=False)
        return array


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
    with reading(path, "cannot be read", kind=RunError), warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with Image.open(path) as image:
            if image.mode in ("P", "L", "1"):
                return np.asarray(image).astype(np.uint8)
            if image.mode in ("I;16", "I"):
                values = np.asarray(image)
                if values.min() < 0 or values.max() > 65535:
                    raise ValueError("its values are not within 0..65535")
                return values.astype(np.uint16)
            raise RunError(
                f"{path} is a {image.mode} image, not a label map",
                hint="Masks hold class numbers: an 8-bit palette or grey PNG, 0 background, k class k.",
            )
