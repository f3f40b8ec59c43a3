"""Tables of tags: CSV, TSV, JSON, JSON lines and plain lists; tags in one column, or one 0/1 column per class."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple

from ktse.data.classes import read_classes
from ktse.data.file_kinds import endings
from ktse.data.image_files import Listing, list_folder
from ktse.data.name_matching import Names
from ktse.data.readers.cells import Key, bit, cells_problem, is_code, is_empty, key_of, tags_of
from ktse.data.readers.columns import choose_columns
from ktse.data.readers.found import Found
from ktse.data.readers.other_formats import file_format, folder_format, refuse
from ktse.data.readers.records import LINES, Cells, Problem, csv_records, json_records
from ktse.data.text import clean, cut, examples, listed, short, words_of
from ktse.data.text_files import encoding_of, named_errors
from ktse.errors import DataError
from ktse.recipe import DataRecipe
from ktse.runtime.words import many

OBJECTS = words_of(
    """xmin x_min x1 bbox bndbox box bounding_box boundingbox bbox_x x_center segmentation polygon encodedpixels rle"""
)
"""Columns, lower-case, of tables that have one row per object."""

CERTAINTY = "confidence"
"""Column, lower-case, in which Open Images says 0 for a class that people did not find in the image."""


class Row(NamedTuple):
    """A row that is fine by itself.

    Attributes:
        name: of the image.
        number: of the row.
        tags: of the image, or one of these.
        absent: whether the row says that its tag is not there.
    """

    name: str
    number: int
    tags: tuple[str, ...]
    absent: bool = False


@dataclass
class Table:
    """Names and tags as they stand in a file.

    Attributes:
        path: the file.
        word: what the file's records are called in messages: row, line or item.
        rows: number of the row, of several the first, and tags of each image name, in the file's order.
        classes: names of 0/1 columns in their order; empty for a column of tags.
        objects: whether the file has columns of tables that have one row per object.
        joined: whether a row is one tag, so that an image may have several rows.
        problems: what is wrong with rows, which are then left out of rows.
        damaged: image names of such rows, as far as these are known.
        notes: what was found out about the table.
    """

    path: Path
    word: str
    rows: dict[str, tuple[int, tuple[str, ...]]] = field(default_factory=dict)
    classes: tuple[str, ...] = ()
    objects: bool = False
    joined: bool = False
    problems: list[str] = field(default_factory=list)
    damaged: set[str] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)


def read_table(path: Path, recipe: DataRecipe) -> Table:
    """Read a file of tags; its ending says which kind it is (.csv, .tsv, .json, .jsonl, .txt, .lst).

    Args:
        path: the file.
        recipe: the columns, the separator, and what a row is; what is empty there is found out.

    Returns:
        the table; bad rows are in its problems.

    Raises:
        DataError: the file is missing, no text, no table, lacks a column, or has no rows.
    """
    called = f"the tag file {path}"
    if path.is_dir():
        seems = folder_format(path)
        advice = f"The files in it seem to be {seems.name}. {seems.advice}" if seems else ""
        raise DataError(f"{called} is a folder", hint=advice or "Give a file: CSV, TSV, JSON, a list or COCO.")
    if not path.is_file():
        raise DataError(f"{called} does not exist", hint="Check the path given as --tags.")
    with named_errors(called, path):
        refuse(path, file_format(path))
        table, rows = _read_list(path) if is_list(path) else _read_columns(path, recipe)
    _meet(table, rows, recipe.rows)
    if not table.rows and not table.problems:
        raise DataError(f"{called} has no rows", hint=f"It needs one {table.word} per image.")
    return table


def is_list(path: Path) -> bool:
    """Whether a file is a plain list: its ending says so, and its first line begins with an image's name."""
    if path.suffix.lower() not in (".txt", ".lst", ".list"):
        return False
    with path.open(encoding=encoding_of(path)) as file:
        first = next((line for line in file if clean(line)), "")
    return bool(_image_name().match(clean(first))) or not any(mark in first for mark in ",;\t")


def _read_list(path: Path) -> tuple[Table, list[Row]]:
    table, rows = Table(path, "line"), []
    match = _image_name().match
    seen: dict[str, tuple[str, ...]] = {}
    with path.open(encoding=encoding_of(path)) as file:
        for number, line in enumerate(map(clean, file), start=1):
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
                rows.append(Row(name, number, seen.setdefault(" ".join(tags), tags)))
    return table, rows


def _image_name() -> re.Pattern[str]:
    """What a line of a list begins with: a name that may hold spaces, up to the first known ending."""
    known = "|".join(re.escape(one[1:]) for one in sorted(endings()))
    return re.compile(rf"(.*?\.(?:{known}))(?=\s|$)", re.IGNORECASE)


def _read_columns(path: Path, recipe: DataRecipe) -> tuple[Table, list[Row]]:
    records = json_records(path) if path.suffix.lower() in (".json", *LINES) else csv_records(path)
    names = records.names
    while names and not names[-1]:  # a cell below no name counts as one too many
        names = names[:-1]
    # A few rows tell which column holds the names, where the first line does not.
    first = list(islice(records.rows, 20))
    fitting = [cells for cells in (fit(cells, len(names)) for _, cells in first) if not isinstance(cells, Problem)]
    image, chosen, bits = choose_columns(path, names, recipe, fitting)
    lower, classes = [name.lower() for name in names], tuple(names[column] for column in chosen)
    table = Table(path, records.word, classes=classes if bits else (), objects=any(name in OBJECTS for name in lower))
    certainty = lower.index(CERTAINTY) if CERTAINTY in lower and lower.index(CERTAINTY) not in chosen else image
    called = list(map(cut, classes))
    found: list[tuple[str, int, Key, bool]] = []
    seen: dict[Key, Key] = {}
    for number, given in chain(first, records.rows):
        cells = fit(given, len(names))
        if not isinstance(cells, Problem):
            row = [cells[column] for column in chosen]
            if problem := _name_problem(cells[image]) or cells_problem(called, row, bits):
                cells = Problem(problem)
        if isinstance(cells, Problem):
            table.problems.append(f"{table.word} {number}: {cells}")
            if not isinstance(given, Problem) and image < len(given):
                table.damaged.add(str(given[image]))
            continue
        sure = cells[certainty]
        key = key_of(row, bits)
        absent = certainty != image and not is_empty(sure) and bit(sure) is False
        found.append((str(cells[image]), number, seen.setdefault(key, key), absent))
    meaning, table.notes = tags_of(seen, classes, bits, recipe.separator, path)
    if bits and (count := sum(sum(map(is_empty, key)) for _, _, key, _ in found)):
        table.notes.append(f"taken for 0: {many(count, 'empty cell')} in the columns of 0 and 1 of {path}")
    return table, [Row(name, number, meaning[key], absent) for name, number, key, absent in found]


def fit(cells: Cells, count: int) -> Cells:
    """A row as long as the head: empty cells at its end may be left out, or be too many."""
    if isinstance(cells, Problem) or len(cells) == count:
        return cells
    if len(cells) > count and not all(map(is_empty, cells[count:])):
        text = f"it has another number of cells than the first line ({len(cells)}, not {count})"
        return Problem(f"{text}: put a cell that holds the delimiter in quotes")
    return [*cells[:count], *[""] * (count - len(cells))]


def _name_problem(name: object) -> str:
    if isinstance(name, bool) or not isinstance(name, str | int):
        return f"the image name is {short(name)}, not text"
    return "the image name is empty" if is_empty(name) else ""


def _meet(table: Table, rows: list[Row], given: str) -> None:
    """Put the rows into the table; those of one image are joined if a row is a tag, and wrong if it is an image."""
    table.joined, word = _are_tags(table, rows, given), table.word
    for name, number, tags, absent in rows:
        first, known = table.rows.get(name, (number, ()))
        if table.joined:
            table.rows[name] = (first, known if absent else tuple(dict.fromkeys((*known, *tags))))
        elif name not in table.rows:
            table.rows[name] = (number, tags)
        else:
            where = f"{word} {number}: {short(name)} is there already, in {word} {first}"
            table.problems.append(f"{where}: an image has one {word}, unless --data.rows tag joins them")
    if not table.joined:
        return
    if given == "auto":
        text = f"{table.path} has one {word} per tag ({many(len(rows), word)} of {many(len(table.rows), 'image')})"
        table.notes.append(f"{text}, which are joined; --data.rows image if that is wrong")
    if absent_rows := sum(row.absent for row in rows):
        table.notes.append(f"{many(absent_rows, word)} with {CERTAINTY} 0: no tags")


def _are_tags(table: Table, rows: list[Row], given: str) -> bool:
    """Whether a row is one tag: if that was given, for tables of objects, or if most images have several rows."""
    if given != "auto" or any(len(row.tags) > 1 for row in rows):
        return given == "tag"
    if table.objects or len({row.name for row in rows}) == len(rows):
        return table.objects
    several: dict[str, set[tuple[str, ...]]] = {}
    for row in rows:
        if row.tags:
            several.setdefault(row.name, set()).add(row.tags)
    joined = sum(len(tags) > 1 for tags in several.values())
    return joined > 1 and 2 * joined > len(several)


def find_table(images: Path, path: Path, recipe: DataRecipe) -> Found:
    """Read a folder of images with a table of tags: every image must have a row, and every row an image.

    Where a row is one tag, images without a row are left out.

    Classes are the tags that occur, in the order of a `classes.txt` beside the table if there is one, else of its
    0/1 columns, else sorted.

    Raises:
        DataError: anything that is wrong, all problems together.
    """
    table = read_table(path, recipe)
    return fit_table(table, list_folder(images), images)


def fit_table(table: Table, listing: Listing, images: Path | str) -> Found:
    """Find the images of a table; `find_table` says how.

    Args:
        table: names and tags.
        listing: the images that there are.
        images: where they are, for messages.
    """
    names, word, path = Names(listing), table.word, table.path
    files: dict[str, str] = {}
    tags: dict[str, tuple[str, ...]] = {}
    missing, doubled = [], []
    for name, (row, words) in table.rows.items():
        file = names.find(name)
        if file is None:
            missing.append(f"{word} {row}: {short(name)} {names.why(name)}")
        elif file not in files:
            files[file], tags[file] = name, words
        elif table.joined:
            tags[file] = tuple(dict.fromkeys((*tags[file], *words)))
        else:
            first = files[file]
            doubled.append(f"{word} {row}: {short(name)} is the file of {word} {table.rows[first][0]}, {short(first)}")
    damaged = {names.find(name) for name in table.damaged}
    left = [file for file in listing.files if file not in files and file not in damaged]
    # Where a row is a tag, an image without tags has no row; whether somebody has looked at it, nobody can say.
    untabled = [] if table.joined else [f"{file} has no {word}" for file in left]
    problems = {
        many(len(table.problems), f"bad {word}"): table.problems,
        f"{len(missing)} of {many(len(table.rows), 'image')} not in {images}": missing,
        many(len(doubled), f"{word} names an image again", f"{word}s name an image again"): doubled,
        f"{many(len(untabled), 'image')} in {images} without a {word}": untabled,
    }
    if any(problems.values()):
        raise DataError(
            f"{path} and {images} do not fit: {'; '.join(text for text, places in problems.items() if places)}",
            where=[line for places in problems.values() for line in listed(places)],
            hint="Names are relative to the image folder. An image with none of the classes has an empty tag cell.",
        )
    notes = [*table.notes, *listing.notes]
    if left:
        text = f"left out: {many(len(left), 'image')} without a {word} in {path} ({examples(left)})"
        notes.append(f"{text}; an image with none of the classes needs a {word} with an empty tag")
    return Found(listing.root, path, list(files), list(tags.values()), _classes(path, table), notes=notes)


def _classes(path: Path, table: Table) -> tuple[str, ...]:
    list_of_classes = path.with_name("classes.txt")
    if not list_of_classes.is_file():
        return table.classes
    classes = read_classes(list_of_classes)
    if unknown := sorted({tag for _, tags in table.rows.values() for tag in tags} - set(classes)):
        where = [f"the tag {tag!r} is not listed" for tag in unknown]
        hint = "List each tag once, or remove classes.txt to take the tags that occur, sorted."
        raise DataError(f"{list_of_classes} does not fit {path}", where=where, hint=hint)
    return classes
