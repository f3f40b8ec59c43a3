"""Tables of tags: CSV, TSV, JSON, JSON lines and plain lists; tags in one column, or one 0/1 column per class."""

from __future__ import annotations

import ast
import csv
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Any

from ktse.data.listing import ending, endings
from ktse.data.records import Records, csv_records, encoding_of, json_records, undecodable
from ktse.errors import DataError

IMAGE_COLUMNS = (
    "image", "images", "file", "filename", "file_name", "file name", "filepath", "file_path", "path", "image_path",
    "imagepath", "image_name", "imagename", "image_file", "image_id", "imageid", "img", "img_path", "name", "id",
)  # fmt: skip
TAG_COLUMNS = ("tags", "tag", "labels", "label", "classes", "class", "categories", "category")
SEPARATORS = (";", "|", ",")
"""Separators that are tried, the first that occurs in any cell counts. A space may be part of a tag."""

LIST = re.compile(r"""\s*\[\s*(?:("[^"\\]*"|'[^'\\]*'|\d+)\s*(?:,\s*("[^"\\]*"|'[^'\\]*'|\d+)\s*)*)?\]\s*$""")
"""A list as Python and JSON write it, which is what pandas makes of lists in the cells of a CSV file."""

BITS = {"0": False, "1": True, "0.0": False, "1.0": True, "false": False, "true": True}


@dataclass(frozen=True)
class Columns:
    """How a table is read; what is empty is found out.

    Attributes:
        image: column of image names.
        tags: column of tags, or several, joined by commas, of which each is a class with 0 or 1 in its cells.
        separator: what stands between tags in a cell.
    """

    image: str = ""
    tags: str = ""
    separator: str = ""


@dataclass
class Table:
    """Names and tags as they stand in a file.

    Attributes:
        path: the file.
        word: what the file's records are called in messages: row, line or item.
        rows: number of the row of each image name, in the file's order.
        tags: tags of each image, in the same order.
        classes: names of 0/1 columns in their order; empty for a column of tags.
        problems: what is wrong with rows, which are then left out of rows and tags.
        damaged: image names of such rows, as far as they can be told.
        notes: what was found out about the columns.
    """

    path: Path
    word: str
    rows: dict[str, int] = field(default_factory=dict)
    tags: list[tuple[str, ...]] = field(default_factory=list)
    classes: tuple[str, ...] = ()
    problems: list[str] = field(default_factory=list)
    damaged: set[str] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)


FOUND_OUT = Columns()


def read_table(path: Path, columns: Columns = FOUND_OUT) -> Table:
    """Read a file of tags; its ending says which kind it is (.csv, .tsv, .json, .jsonl, .txt, .lst).

    Returns:
        the table; bad rows are in its problems.

    Raises:
        DataError: the file is missing, no text, no table, lacks a column, or has no rows.
    """
    if not path.is_file():
        wrong = "is a folder" if path.is_dir() else "does not exist"
        raise DataError(f"the tag file {path} {wrong}", hint="Check the path given as --tags.")
    try:
        if is_list(path):
            return _read_list(path)
        json = path.suffix.lower() in (".json", ".jsonl", ".ndjson")
        return _read_columns(path, json_records(path) if json else csv_records(path), columns)
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


def is_list(path: Path) -> bool:
    """Whether a file is a plain list: its ending says so, and its first line begins with an image's name."""
    if path.suffix.lower() not in (".txt", ".lst", ".list"):
        return False
    with path.open(encoding=encoding_of(path)) as file:
        first = next((line for line in file if line.strip()), "")
    return bool(_image_name().match(first.strip())) or not any(mark in first for mark in ",;\t")


def _read_list(path: Path) -> Table:
    table = Table(path, "line")
    match = _image_name().match
    seen: dict[str, tuple[str, ...]] = {}
    with path.open(encoding=encoding_of(path)) as file:
        for number, raw in enumerate(file, start=1):
            line = raw.strip()
            if not line:
                continue
            found = match(line)
            name = found[1] if found else line.split()[0]
            words = line[len(name) :].split()
            if is_code(words):
                table.problems.append(f"line {number}: 0 and 1 for each class need a first line with the class names")
                table.damaged.add(name)
            else:
                tags = tuple(dict.fromkeys(words))
                _add(table, name, number, seen.setdefault(" ".join(tags), tags))
    return _with_rows(table)


def _image_name() -> re.Pattern[str]:
    """What a line of a list begins with: a name that may hold spaces, up to the first known ending."""
    known = "|".join(re.escape(one[1:]) for one in sorted(endings()))
    return re.compile(rf"(.*?\.(?:{known}))(?=\s|$)", re.IGNORECASE)


def _read_columns(path: Path, records: Records, columns: Columns) -> Table:
    table = Table(path, records.word)
    rows = records.rows
    # A few rows tell which column holds the names, where the first line does not.
    first = list(islice(rows, 20))
    image, chosen, bits = choose_columns(
        path, records.names, columns, [cells for _, cells in first if not isinstance(cells, str)]
    )
    raw: list[Any] = []
    seen: dict[Any, Any] = {}
    for number, cells in chain(first, rows):
        if isinstance(cells, str):
            table.problems.append(f"{table.word} {number}: {cells}")
            continue
        name = cells[image] if image < len(cells) else None
        problem = _problem(cells, records.names, image, chosen, bits)
        if problem:
            table.problems.append(f"{table.word} {number}: {problem}")
            if isinstance(name, str):
                table.damaged.add(name)
        elif _add(table, str(name), number):
            cell = tuple(map(_bit, (cells[column] for column in chosen))) if bits else _hashable(cells[chosen[0]])
            raw.append(seen.setdefault(cell, cell))
    names = tuple(records.names[column] for column in chosen)
    if bits:
        table.classes = names
        meaning = {cell: tuple(name for name, bit in zip(names, cell, strict=True) if bit) for cell in seen}
    else:
        separator = columns.separator or _separator(seen)
        if separator != SEPARATORS[0] and not columns.separator:
            table.notes.append(f"tags in {path} are split at {separator!r}; set data.separator if that is wrong")
        meaning = {cell: _split(cell, separator) for cell in seen}
    table.tags = [meaning[cell] for cell in raw]
    return _with_rows(table)


def choose_columns(path: Path, names: list[str], columns: Columns, rows: Iterable[Any]) -> tuple[int, list[int], bool]:
    """Find the column of image names and those of the tags.

    Args:
        path: the file, for messages.
        names: names of all columns.
        columns: what the user said about them.
        rows: the first rows, as lists of cells.

    Returns:
        index of the image column, indices of the tag columns, and whether these hold 0 and 1.

    Raises:
        DataError: a column is missing, is there twice, or cannot be told.
    """
    wanted = [name.strip() for name in columns.tags.split(",") if name.strip()]
    if columns.tags.strip() and columns.tags.strip() in names:
        wanted = [columns.tags.strip()]
    missing = [name for name in [columns.image, *wanted] if name and name not in names]
    found = f"columns found: {', '.join(map(repr, names)) or 'none'}"
    hint = (
        "The first line names the columns, for example image,tags; "
        "or say which they are: --data.image_column NAME --data.tag_column NAME (or NAME,NAME,... with 0 and 1)."
    )
    if missing:
        raise DataError(
            f"the tag file {path} has no column {' and no column '.join(map(repr, missing))}", where=found, hint=hint
        )
    if not columns.image and any(map(_is_image, names)):
        raise DataError(
            f"the first line of the tag file {path} is no line of column names", where=found,
            hint="Write a first line with the columns' names above it, for example image,tags.",
        )  # fmt: skip
    doubled = sorted({repr(name) for name in names if names.count(name) > 1 and not _unnamed(name)})
    if doubled:
        raise DataError(f"the tag file {path} has two columns {' and two columns '.join(doubled)}", where=found)
    rows = [row for row in rows if len(row) == len(names)]
    image = names.index(columns.image) if columns.image else _named(names, IMAGE_COLUMNS)
    if image is None:
        files = [number for number in range(len(names)) if rows and all(_is_image(row[number]) for row in rows)]
        if len(files) != 1:
            raise DataError(f"the tag file {path} has no column that holds image names", where=found, hint=hint)
        image = files[0]
    rest = [number for number in range(len(names)) if number != image and not _unnamed(names[number])]
    if wanted:
        chosen = [names.index(name) for name in wanted]
        return image, chosen, len(chosen) > 1 or (wanted[0].lower() not in TAG_COLUMNS and _all_bits(rows, chosen))
    tags = _named([name if number != image else "" for number, name in enumerate(names)], TAG_COLUMNS)
    if tags is not None:
        return image, [tags], False
    if not rest:
        raise DataError(f"the tag file {path} has no column of tags", where=found, hint=hint)
    return image, rest, len(rest) > 1 or _all_bits(rows, rest)


def _unnamed(name: str) -> bool:
    """Whether a column is none that somebody wrote: a trailing delimiter, or the row numbers that pandas adds."""
    return not name.strip() or name.strip().lower().startswith("unnamed: ")


def _named(names: list[str], known: tuple[str, ...]) -> int | None:
    lower = [name.strip().lower() for name in names]
    return next((lower.index(name) for name in known if name in lower), None)


def _is_image(cell: object) -> bool:
    return isinstance(cell, str) and ending(cell.strip()) in endings()


def _bit(cell: object) -> bool | None:
    return BITS.get(str(cell).strip().lower())


def _all_bits(rows: list[Any], chosen: list[int]) -> bool:
    return bool(rows) and all(_bit(row[number]) is not None for row in rows for number in chosen)


def _problem(cells: list[Any], names: list[str], image: int, chosen: list[int], bits: bool) -> str:
    if len(cells) != len(names):
        return f"it has another number of cells than the first line ({len(cells)}, not {len(names)})"
    name = cells[image]
    if not isinstance(name, str):
        return f"the image name is {name!r}, not text"
    if not name.strip():
        return "the image name is empty"
    if bits:
        wrong = [f"{names[column]} is {cells[column]!r}" for column in chosen if _bit(cells[column]) is None]
        text = f"{', '.join(wrong[:3])}{' ...' if len(wrong) > 3 else ''}, but must be 0 or 1"
        hint = "; data.tag_column names the columns that are classes"
        return text + hint if wrong else ""
    cell = cells[chosen[0]]
    if isinstance(cell, list) and is_code(cell):
        return f"{names[chosen[0]]} is {cell!r}: 0 and 1 for each class need columns with the classes' names"
    fine = isinstance(cell, str | int) or (isinstance(cell, list) and all(isinstance(tag, str | int) for tag in cell))
    return "" if fine else f"{names[chosen[0]]} is {cell!r}, but must be tags"


def is_code(words: list[Any]) -> bool:
    """Whether tags look like a 0 or 1 for each class, of which nobody says which class it is."""
    return len(words) > len(set(map(str, words))) and set(map(str, words)) <= {"0", "1", "-1", "0.0", "1.0"}


def _add(table: Table, name: str, number: int, tags: tuple[str, ...] | None = None) -> bool:
    if name in table.rows:
        place = f"{table.word} {number}"
        table.problems.append(
            f"{place}: {name!r} is there already, in {table.word} {table.rows[name]}: an image has one {table.word}"
        )
        return False
    table.rows[name] = number
    if tags is not None:
        table.tags.append(tags)
    return True


def _hashable(cell: Any) -> Any:
    return tuple(map(str, cell)) if isinstance(cell, list) else str(cell)


def _separator(cells: Iterable[Any]) -> str:
    texts = [cell for cell in cells if isinstance(cell, str) and not LIST.match(cell)]
    return next((mark for mark in SEPARATORS if any(mark in text for text in texts)), SEPARATORS[0])


def _split(cell: Any, separator: str) -> tuple[str, ...]:
    if isinstance(cell, str) and LIST.match(cell):
        cell = tuple(map(str, ast.literal_eval(cell.strip())))
    parts = cell if isinstance(cell, tuple) else cell.split() if separator.isspace() else cell.split(separator)
    return tuple(dict.fromkeys(part.strip() for part in parts if part.strip()))


def _with_rows(table: Table) -> Table:
    if not table.rows and not table.problems:
        raise DataError(f"the tag file {table.path} has no rows", hint=f"It needs one {table.word} per image.")
    return table
