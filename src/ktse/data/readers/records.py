"""Rows of CSV and JSON files as cells under named columns; what is wrong with a row takes the place of its cells."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO, TypeAlias

from ktse.data.readers.cells import plain
from ktse.data.readers.other_formats import json_format
from ktse.data.text import clean
from ktse.errors import DataError

Cells: TypeAlias = "list[Any] | str"
"""The cells of a row, or what is wrong with it."""

SEPARATOR_LINE = re.compile(r"sep=([,;|\t])\s*$")
DELIMITERS = (",", "\t", ";", "|")


@dataclass(frozen=True)
class Records:
    """A table that is read row by row.

    Attributes:
        word: what a row is called: row, line or item.
        names: names of the columns.
        rows: number and cells of each row; cells are texts, or of JSON what `plain` makes of them.
    """

    word: str
    names: list[str]
    rows: Iterator[tuple[int, Cells]]


def encoding_of(path: Path) -> str:
    """UTF-8, or UTF-16 where a file begins with its mark, as Excel's Unicode text does."""
    with path.open("rb") as file:
        return "utf-16" if file.read(2) in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"


def undecodable(path: Path, error: UnicodeError) -> str:
    """Where a file stops being text: the number of the first bad line, and what is in it."""
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError:
                return f"line {number}: {line.strip()[:80].decode('utf-8', 'backslashreplace')}"
    return str(error)


class Doubled(dict[str, Any]):
    """A JSON object that has a key twice: JSON readers drop the first, this one keeps all pairs."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.pairs = pairs


def csv_records(path: Path) -> Records:
    """Open a CSV file; the delimiter is the one that the first line has most of, and a tab in .tsv files.

    The rows raise csv.Error or UnicodeDecodeError when they are read.
    """
    rows = _csv_rows(path)
    _, names = next(rows, (1, []))
    return Records("row", [clean(str(name)) for name in names], rows)


def _csv_rows(path: Path) -> Iterator[tuple[int, Cells]]:
    with path.open(encoding=encoding_of(path), newline="") as file:
        skipped, first = _first_line(file)
        marks = ("\t",) if path.suffix.lower() == ".tsv" else DELIMITERS
        given = SEPARATOR_LINE.match(first)  # Excel's own way to name the delimiter, before the table
        if given:
            marks, skipped = (given[1],), skipped + 1
        else:
            file.seek(0)
            skipped = 0
        unquoted = re.sub(r'"[^"]*"', "", first)
        reader = csv.reader(file, delimiter=max(marks, key=unquoted.count), strict=True, skipinitialspace=True)
        try:
            for cells in reader:
                if any(map(clean, cells)):
                    yield reader.line_num + skipped, list(cells)
        except csv.Error as error:
            raise csv.Error(f"row {reader.line_num + skipped}: {error}") from error


def _first_line(file: TextIO) -> tuple[int, str]:
    """How many empty lines a file begins with, and the line after these."""
    for number, line in enumerate(iter(file.readline, "")):
        if clean(line):
            return number, line
    return 0, ""


def json_records(path: Path) -> Records:
    """Open a JSON file: {"image": tags, ...}, a list of objects, or one object a line (.jsonl).

    Raises:
        DataError: it is no JSON, or something else than that.
    """
    lines = _json_lines(path) if path.suffix.lower() in (".jsonl", ".ndjson") else None
    content = load_json(path) if lines is None else [row for _, row in lines[:1]]
    seems = json_format(content)
    if seems is not None:
        raise DataError(f"the tag file {path} is no table: it seems to be {seems.name}", hint=seems.advice)
    if lines is not None:
        return _objects("line", lines)
    if isinstance(content, dict):
        pairs = content.pairs if isinstance(content, Doubled) else list(content.items())
        return Records(
            "item", ["image", "tags"], ((n, [key, plain(tags)]) for n, (key, tags) in enumerate(pairs, start=1))
        )
    if isinstance(content, list):
        return _objects("item", list(enumerate(content, start=1)))
    raise DataError(
        f"the tag file {path} holds no table",
        hint='Write {"photo.jpg": ["tag", "tag"], ...} or [{"image": "photo.jpg", "tags": ["tag"]}, ...].',
    )


def load_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        DataError: it does not exist or is no JSON.
    """
    try:
        return json.loads(path.read_text(encoding=encoding_of(path)), object_pairs_hook=_pairs)
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist", hint="Check the path.") from error
    except OSError as error:
        raise DataError(
            f"{path} cannot be read", where=str(error), hint="Check what it is and who may read it."
        ) from error
    except UnicodeError as error:
        raise DataError(
            f"{path} is not valid JSON in UTF-8", where=undecodable(path, error), hint="Write it again, in UTF-8."
        ) from error
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"{path} is not valid JSON", where=str(error),
            hint="Write it again; a file with one object a line has the ending .jsonl.",
        ) from error  # fmt: skip


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    return content if len(content) == len(pairs) else Doubled(pairs)


def _json_lines(path: Path) -> list[tuple[int, Any]]:
    rows: list[tuple[int, Any]] = []
    with path.open(encoding=encoding_of(path)) as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                try:
                    rows.append((number, json.loads(line, object_pairs_hook=_pairs)))
                except (ValueError, RecursionError) as error:
                    rows.append((number, f"it is not valid JSON: {error}"))
    return rows


def _objects(word: str, rows: list[tuple[int, Any]]) -> Records:
    names = list(dict.fromkeys(key for _, row in rows if isinstance(row, dict) for key in row))

    def cells(row: Any) -> Cells:
        if not isinstance(row, dict):
            return row if isinstance(row, str) and row.startswith("it is not") else "it is not an object"
        return "it has a key twice" if isinstance(row, Doubled) else [plain(row.get(name)) for name in names]

    return Records(word, list(map(clean, names)), ((number, cells(row)) for number, row in rows))
