"""Rows of CSV and JSON files as cells under named columns; what is wrong with a row takes the place of its cells."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from ktse.data.readers.cells import plain
from ktse.data.readers.other_formats import json_format, refuse
from ktse.data.text import clean
from ktse.data.text_files import DoubledKeys, encoding_of, parse_json, read_json
from ktse.errors import DataError
from ktse.files import of_cell

LINES = (".jsonl", ".ndjson")
"""Endings of files with one JSON object a line."""

SEPARATOR_LINE = re.compile(r"sep=([,;|\t])\s*$")
DELIMITERS = (",", "\t", ";", "|")


class Problem(str):
    """What is wrong with a row."""


Cells: TypeAlias = "list[Any] | Problem"


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


def csv_records(path: Path) -> Records:
    """Open a CSV file; the delimiter is the one that the first line has most of, and a tab in .tsv files.

    The rows raise csv.Error or UnicodeDecodeError when they are read.
    """
    rows = _csv_rows(path)
    _, names = next(rows, (1, []))
    return Records("row", [clean(name) for name in names], rows)


def _csv_rows(path: Path) -> Iterator[tuple[int, Cells]]:
    with path.open(encoding=encoding_of(path), newline="") as file:
        lines = enumerate(iter(file.readline, ""), start=1)
        skipped, first = next(((number, line) for number, line in lines if clean(line)), (0, ""))
        marks = ("\t",) if path.suffix.lower() == ".tsv" else DELIMITERS
        if given := SEPARATOR_LINE.match(first):  # Excel's own way to name the delimiter, before the table
            marks = (given[1],)
        else:
            file.seek(0)
            skipped = 0
        unquoted = re.sub(r'"[^"]*"', "", first)
        reader = csv.reader(file, delimiter=max(marks, key=unquoted.count), strict=True, skipinitialspace=True)
        try:
            for cells in reader:
                if any(map(clean, cells)):
                    # A text that a spreadsheet would compute is marked as text, by ktse too.
                    yield reader.line_num + skipped, list(map(of_cell, cells))
        except csv.Error as error:
            raise csv.Error(f"row {reader.line_num + skipped}: {error}") from error


def json_records(path: Path) -> Records:
    """Open a JSON file: {"image": tags, ...}, a list of objects, or one object a line (.jsonl).

    Raises:
        DataError: it is no JSON, or something else than that.
    """
    if path.suffix.lower() in LINES:
        lines = list(_json_lines(path))
        refuse(path, json_format([row for _, row in lines[:1]]))
        return _objects("line", lines)
    content = read_json(path)
    refuse(path, json_format(content))
    if isinstance(content, dict):
        pairs = content.pairs if isinstance(content, DoubledKeys) else content.items()
        return Records("item", ["image", "tags"], ((n, [key, plain(tags)]) for n, (key, tags) in enumerate(pairs, 1)))
    if isinstance(content, list):
        return _objects("item", list(enumerate(content, start=1)))
    hint = 'Write {"photo.jpg": ["tag", "tag"], ...} or [{"image": "photo.jpg", "tags": ["tag"]}, ...].'
    raise DataError(f"the tag file {path} holds no table", hint=hint)


def _json_lines(path: Path) -> Iterable[tuple[int, Any]]:
    with path.open(encoding=encoding_of(path)) as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                try:
                    yield number, parse_json(line)
                except ValueError as error:
                    yield number, Problem(f"it is not valid JSON: {error}")


def _objects(word: str, rows: list[tuple[int, Any]]) -> Records:
    names = list(dict.fromkeys(key for _, row in rows if isinstance(row, dict) for key in row))

    def cells(row: Any) -> Cells:
        if isinstance(row, DoubledKeys):
            return Problem("it has a key twice")
        if isinstance(row, dict):
            return [plain(row.get(name)) for name in names]
        return row if isinstance(row, Problem) else Problem("it is not an object")

    return Records(word, list(map(clean, names)), ((number, cells(row)) for number, row in rows))
