"""Folders of images with a table of tags."""

from __future__ import annotations

from pathlib import Path

from ktse.data.classes import read_classes
from ktse.data.image_files import list_folder
from ktse.data.name_matching import Names
from ktse.data.readers.columns import FOUND_OUT, Columns
from ktse.data.readers.found import Found
from ktse.data.readers.table import Table, read_table
from ktse.data.text import examples, listed, short
from ktse.errors import DataError


def find_table(images: Path, path: Path, columns: Columns = FOUND_OUT) -> Found:
    """Read a folder of images with a table of tags: every image must have a row, and every row an image.

    Where a row is one tag, images without a row are left out.

    Classes are the tags that occur, in the order of a `classes.txt` beside the table if there is one, else of its
    0/1 columns, else sorted.

    Raises:
        DataError: anything that is wrong, all problems together.
    """
    table = read_table(path, columns)
    listing = list_folder(images)
    names, word = Names(listing), table.word
    files: dict[str, str] = {}
    tags: dict[str, tuple[str, ...]] = {}
    missing, doubled = [], []
    for (name, row), words in zip(table.rows.items(), table.tags, strict=True):
        file = names.find(name)
        if file is None:
            missing.append(f"{word} {row}: {short(name)} {names.why(name)}")
        elif file not in files:
            files[file], tags[file] = name, words
        elif table.joined:
            tags[file] = tuple(dict.fromkeys((*tags[file], *words)))
        else:
            first = files[file]
            doubled.append(f"{word} {row}: {short(name)} is the file of {word} {table.rows[first]}, {short(first)}")
    damaged = {names.find(name) for name in table.damaged}
    left = [file for file in listing.files if file not in files and file not in damaged]
    # Where a row is a tag, an image without tags has no row; whether somebody has looked at it, nobody can say.
    untabled = [] if table.joined else [f"{file} has no {word}" for file in left]
    problems = {
        f"{len(table.problems)} bad {word}s": table.problems,
        f"{len(missing)} of the {len(table.rows)} images are not in {images}": missing,
        f"{len(doubled)} {word}s name an image again": doubled,
        f"{len(untabled)} images in {images} have no {word}": untabled,
    }
    if any(problems.values()):
        raise DataError(
            f"{path} and {images} do not fit: {'; '.join(text for text, places in problems.items() if places)}",
            where=[line for places in problems.values() for line in listed(places)],
            hint="Names are relative to the image folder. An image with none of the classes has an empty tag cell.",
        )
    notes = [*table.notes, *listing.notes]
    if left:
        text = f"{len(left)} images have no {word} in {path} and are left out ({examples(left)})"
        notes.append(f"{text}; an image with none of the classes needs a {word} with an empty tag")
    return Found(images, path, list(files), list(tags.values()), _classes(path, table), notes=notes)


def _classes(tags: Path, table: Table) -> tuple[str, ...]:
    list_of_classes = tags.with_name("classes.txt")
    if not list_of_classes.is_file():
        return table.classes
    classes = read_classes(list_of_classes)
    if unknown := sorted({tag for row in dict.fromkeys(table.tags) for tag in row} - set(classes)):
        raise DataError(
            f"{list_of_classes} does not fit {tags}",
            where=[f"the tag {tag!r} is not listed" for tag in unknown],
            hint="List each tag once, or remove classes.txt to take the tags that occur, sorted.",
        )
    return classes
