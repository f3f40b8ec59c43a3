"""Tables of tags: CSV, TSV, JSON, JSON lines and plain lists; tags in one column, or one 0/1 column per class."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Any

from ktse.data.image_files import endings
from ktse.data.readers.cells import bit, hashable, is_code, is_empty, separator_of, split_notes, tag_problem, words
from ktse.data.readers.columns import FOUND_OUT, Columns, choose_columns
from ktse.data.readers.other_formats import file_format, folder_format
from ktse.data.readers.records import Cells, Records, csv_records, encoding_of, json_records, undecodable
from ktse.data.text import clean, cut, short
from ktse.errors import DataError

OBJECTS = frozenset((
    "xmin", "x_min", "x1", "bbox", "bndbox", "box", "bounding_box", "boundingbox", "bbox_x", "x_center", "segmentation",
    "polygon", "encodedpixels", "rle",
))  # fmt: skip
"""Columns, lower-case, of tables that have one row per object."""

CERTAINTY = "confidence"
"""Column, lower-case, in which Open Images says 0 for a class that people did not find in the image."""


@dataclass
class Table:
    """Names and tags as they stand in a file.

    Attributes:
        path: the file.
        word: what the file's records are called in messages: row, line or item.
        rows: number of the row of each image name, in the file's order; of several, the first.
        tags: tags of each image, in the same order.
        classes: names of 0/1 columns in their order; empty for a column of tags.
        joined: whether a row is one tag, so that an image may have several rows.
        problems: what is wrong with rows, which are then left out of rows and tags.
        damaged: image names of such rows, as far as they can be told.
        notes: what was found out about the table.
    """

    path: Path
    word: str
    rows: dict[str, int] = field(default_factory=dict)
    tags: list[tuple[str, ...]] = field(default_factory=list)
    classes: tuple[str, ...] = ()
    joined: bool = False
    problems: list[str] = field(default_factory=list)
    damaged: set[str] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)


@dataclass
class _Entries:
    """Rows that are fine each by itself, before those of the same image meet: names, numbers, tags."""

    names: list[str] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    tags: list[tuple[str, ...]] = field(default_factory=list)
    absent: set[int] = field(default_factory=set)  # places of rows that say that their tag is not there
    objects: bool = False


def read_table(path: Path, columns: Columns = FOUND_OUT) -> Table:
    """Read a file of tags; its ending says which kind it is (.csv, .tsv, .json, .jsonl, .txt, .lst).

    Returns:
        the table; bad rows are in its problems.

    Raises:
        DataError: the file is missing, no text, no table, lacks a column, or has no rows.
    """
    if not path.is_file():
        raise DataError(f"the tag file {path} {_no_file(path)}", hint=_no_file_hint(path))
    try:
        seems = file_format(path)
        if seems is not None:
            raise DataError(f"the tag file {path} is no table: it seems to be {seems.name}", hint=seems.advice)
        table, entries = _read_list(path) if is_list(path) else _read_columns(path, columns)
    except OSError as error:
        raise DataError(
            f"the tag file {path} cannot be read", where=str(error), hint="Check who may read it."
        ) from error
    except UnicodeError as error:
        raise DataError(
            f"the tag file {path} cannot be read as UTF-8 text", where=undecodable(path, error),
            hint="Save it as text in UTF-8; a spreadsheet as CSV UTF-8.",
        ) from error  # fmt: skip
    except csv.Error as error:
        raise DataError(
            f"the tag file {path} is not a valid CSV table", where=str(error),
            hint="Look for a quotation mark that is opened and not closed.",
        ) from error  # fmt: skip
    _meet(table, entries, columns)
    if not table.rows and not table.problems:
        raise DataError(f"the tag file {table.path} has no rows", hint=f"It needs one {table.word} per image.")
    return table


def _no_file(path: Path) -> str:
    return "is a folder" if path.is_dir() else "does not exist"


def _no_file_hint(path: Path) -> str:
    seems = folder_format(path) if path.is_dir() else None
    if seems is not None:
        return f"The files in it seem to be {seems.name}. {seems.advice}"
    return "Give a file: CSV, TSV, JSON, a list or COCO." if path.is_dir() else "Check the path given as --tags."


def is_list(path: Path) -> bool:
    """Whether a file is a plain list: its ending says so, and its first line begins with an image's name."""
    if path.suffix.lower() not in (".txt", ".lst", ".list"):
        return False
    with path.open(encoding=encoding_of(path)) as file:
        first = next((line for line in file if clean(line)), "")
    return bool(_image_name().match(clean(first))) or not any(mark in first for mark in ",;\t")


def _read_list(path: Path) -> tuple[Table, _Entries]:
    table, entries = Table(path, "line"), _Entries()
    match = _image_name().match
    seen: dict[str, tuple[str, ...]] = {}
    with path.open(encoding=encoding_of(path)) as file:
        for number, raw in enumerate(file, start=1):
            line = clean(raw)
            if not line:
                continue
            found = match(line)
            name = found[1] if found else line.split()[0]
            rest = line[len(name) :].split()
            if is_code(rest):
                table.problems.append(f"line {number}: 0 and 1 for each class need a first line with the class names")
                table.damaged.add(name)
            else:
                tags = tuple(dict.fromkeys(rest))
                entries.names.append(name)
                entries.numbers.append(number)
                entries.tags.append(seen.setdefault(" ".join(tags), tags))
    return table, entries


def _image_name() -> re.Pattern[str]:
    """What a line of a list begins with: a name that may hold spaces, up to the first known ending."""
    known = "|".join(re.escape(one[1:]) for one in sorted(endings()))
    return re.compile(rf"(.*?\.(?:{known}))(?=\s|$)", re.IGNORECASE)


def _read_columns(path: Path, columns: Columns) -> tuple[Table, _Entries]:
    json = path.suffix.lower() in (".json", ".jsonl", ".ndjson")
    records: Records = json_records(path) if json else csv_records(path)
    names = records.names
    while names and not names[-1]:  # a cell below no name counts as one too many
        names = names[:-1]
    table, entries, rows = Table(path, records.word), _Entries(), records.rows
    # A few rows tell which column holds the names, where the first line does not.
    first = list(islice(rows, 20))
    fitting = [cells for cells in (fit(cells, len(names)) for _, cells in first) if not isinstance(cells, str)]
    image, chosen, bits = choose_columns(path, names, columns, fitting)
    lower, called = [name.lower() for name in names], list(map(cut, names))
    certainty = lower.index(CERTAINTY) if CERTAINTY in lower and lower.index(CERTAINTY) not in chosen else None
    entries.objects = not OBJECTS.isdisjoint(lower)
    raw: list[Any] = []
    seen: dict[Any, Any] = {}
    for number, found in chain(first, rows):
        cells = fit(found, len(names))
        problem = cells if isinstance(cells, str) else _problem(cells, called, image, chosen, bits)
        if isinstance(cells, str) or problem:
            table.problems.append(f"{table.word} {number}: {problem}")
            if not isinstance(found, str) and image < len(found):
                table.damaged.add(str(found[image]))
            continue
        if certainty is not None and not is_empty(cells[certainty]) and bit(cells[certainty]) is False:
            entries.absent.add(len(entries.names))
        entries.names.append(str(cells[image]))
        entries.numbers.append(number)
        cell = tuple(cells[column] for column in chosen) if bits else hashable(cells[chosen[0]])
        raw.append(seen.setdefault(cell, cell))
    if bits:
        meaning = _of_bits(table, tuple(names[column] for column in chosen), raw, seen)
    else:
        meaning = _of_texts(table, columns.separator, seen)
    entries.tags = [meaning[cell] for cell in raw]
    return table, entries


def _of_bits(table: Table, classes: tuple[str, ...], raw: list[Any], seen: Iterable[Any]) -> dict[Any, tuple[str, ...]]:
    """The tags that each row of 0 and 1 stands for."""
    table.classes = classes
    empty = {cells: sum(map(is_empty, cells)) for cells in seen}
    count = sum(empty[cells] for cells in raw)
    if count:
        table.notes.append(f"{count} empty cells in the columns of 0 and 1 of {table.path} are taken for 0")
    return {cells: tuple(name for name, cell in zip(classes, cells, strict=True) if bit(cell)) for cells in seen}


def _of_texts(table: Table, given: str, seen: Iterable[Any]) -> dict[Any, tuple[str, ...]]:
    """The tags that each cell stands for."""
    separator = given or separator_of(seen)
    if not given:
        table.notes += split_notes(seen, separator, table.path)
    return {cell: words(cell, separator, found_out=not given) for cell in seen}


def fit(cells: Cells, count: int) -> Cells:
    """A row as long as the head: empty cells at its end may be left out, or be too many."""
    if isinstance(cells, str):
        return cells
    if len(cells) > count and not all(map(is_empty, cells[count:])):
        return (
            f"it has another number of cells than the first line ({len(cells)}, not {count}): "
            "put a cell that holds the delimiter in quotes"
        )
    return cells if len(cells) == count else [*cells[:count], *[""] * (count - len(cells))]


def _problem(cells: list[Any], names: list[str], image: int, chosen: list[int], bits: bool) -> str:
    name = cells[image]
    if isinstance(name, bool) or not isinstance(name, str | int):
        return f"the image name is {short(name)}, not text"
    if is_empty(name):
        return "the image name is empty"
    if not bits:
        return tag_problem(names[chosen[0]], cells[chosen[0]])
    wrong = [f"{names[column]} is {short(cells[column])}" for column in chosen if bit(cells[column]) is None]
    text = f"{', '.join(wrong[:3])}{' ...' if len(wrong) > 3 else ''}, but must be 0 or 1"
    return text + "; data.tag_column names the columns that are classes" if wrong else ""


def _meet(table: Table, entries: _Entries, columns: Columns) -> None:
    """Put the rows into the table; those of one image are joined if a row is a tag, and wrong if it is an image."""
    table.joined = _are_tags(entries, columns.rows)
    if table.joined:
        for place in entries.absent:
            entries.tags[place] = ()
    place_of: dict[str, int] = {}
    for name, number, tags in zip(entries.names, entries.numbers, entries.tags, strict=True):
        place = place_of.setdefault(name, len(place_of))
        if place == len(table.tags):
            table.rows[name] = number
            table.tags.append(tags)
        elif table.joined:
            table.tags[place] = tuple(dict.fromkeys((*table.tags[place], *tags)))
        else:
            table.problems.append(
                f"{table.word} {number}: {short(name)} is there already, in {table.word} {table.rows[name]}: "
                f"an image has one {table.word}, unless --data.rows tag joins them"
            )
    if table.joined and columns.rows == "auto":
        table.notes.append(
            f"{table.path} has one {table.word} per tag ({len(entries.names)} {table.word}s of {len(table.rows)} "
            "images), which are joined; --data.rows image if that is wrong"
        )
    if table.joined and entries.absent:
        table.notes.append(f"{len(entries.absent)} {table.word}s with {CERTAINTY} 0 are no tags")


def _are_tags(entries: _Entries, rows: str) -> bool:
    """Whether a row is one tag: if that was given, for tables of objects, or if most images have several rows."""
    if rows != "auto" or any(len(tags) > 1 for tags in entries.tags):
        return rows == "tag"
    if entries.objects:
        return True
    if len(set(entries.names)) == len(entries.names):
        return False
    several: dict[str, set[tuple[str, ...]]] = {}
    for name, tags in zip(entries.names, entries.tags, strict=True):
        if tags:
            several.setdefault(name, set()).add(tags)
    many = sum(len(tags) > 1 for tags in several.values())
    return many > 1 and 2 * many > len(several)
