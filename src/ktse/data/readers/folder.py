"""Folders of images with a table of tags."""

from __future__ import annotations

from pathlib import Path

from ktse.data.dataset import TaggedImages
from ktse.data.image_files import Names, list_folder
from ktse.data.readers.columns import FOUND_OUT, Columns
from ktse.data.readers.found import Found, assemble, read_classes
from ktse.data.readers.table import Table, read_table
from ktse.data.text import short
from ktse.errors import DataError
from ktse.recipe import DataRecipe

PLAIN = Columns("image", "tags", ";")
"""The form that needs no guessing: a CSV file with the columns image and tags, tags separated by ;."""

LISTED = 8
"""Problems of one kind that a message lists, so that it shows every kind."""


def read_tags(path: Path, columns: Columns = PLAIN) -> dict[str, tuple[str, ...]]:
    """Read a table with one row per image: its name and its tags (none for an empty cell).

    Returns:
        tags by image name, in the file's order.

    Raises:
        DataError: missing file, missing column, empty table, or bad rows, all listed with their row numbers.
    """
    table = read_table(path, columns)
    if table.problems:
        raise DataError(
            f"the tag file {path} has bad {table.word}s", where=table.problems, hint="Fix these and try again."
        )
    return dict(zip(table.rows, table.tags, strict=True))


def open_folder(images: Path, tags: Path, validation: float = 0.0) -> TaggedImages:
    """Open a folder of images with a plain CSV of tags.

    Args:
        images: folder of images, subfolders included.
        tags: the CSV file.
        validation: share of the images kept out of all training.

    Raises:
        DataError: anything that is wrong, all problems together.
    """
    return assemble(find_table(images, tags, PLAIN), DataRecipe(validation=validation))


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
    names = Names(listing)
    files: dict[str, str] = {}
    tags: dict[str, tuple[str, ...]] = {}
    missing, doubled = [], []
    for (name, row), words in zip(table.rows.items(), table.tags, strict=True):
        file = names.find(name)
        if file is None:
            missing.append(f"{table.word} {row}: {short(name)} {names.why(name)}")
        elif file not in files:
            files[file], tags[file] = name, words
        elif table.joined:
            tags[file] = tuple(dict.fromkeys((*tags[file], *words)))
        else:
            first = files[file]
            at = f"{table.word} {table.rows[first]}, {short(first)}"
            doubled.append(f"{table.word} {row}: {short(name)} is the file of {at}")
    damaged = {names.find(name) for name in table.damaged}
    left = [file for file in listing.files if file not in files and file not in damaged]
    # Where a row is a tag, an image without tags has no row; whether somebody has looked at it, nobody can say.
    untabled = [] if table.joined else [f"{file} has no {table.word}" for file in left]
    problems = {
        f"{len(table.problems)} bad {table.word}s": table.problems,
        f"{len(missing)} of the {len(table.rows)} images are not in {images}": missing,
        f"{len(doubled)} {table.word}s name an image again": doubled,
        f"{len(untabled)} images in {images} have no {table.word}": untabled,
    }
    if any(problems.values()):
        raise DataError(
            f"{path} and {images} do not fit: {'; '.join(text for text, places in problems.items() if places)}",
            where=[line for places in problems.values() for line in some(places)],
            hint="Names are relative to the image folder. An image with none of the classes has an empty tag cell.",
        )
    notes = [*table.notes, *listing.notes]
    if left:
        notes.append(
            f"{len(left)} images have no {table.word} in {path} and are left out ({', '.join(left[:3])} ...); "
            f"an image with none of the classes needs a {table.word} with an empty tag"
        )
    return Found(images, path, list(files), list(tags.values()), _classes(path, table), notes=notes)


def some(problems: list[str]) -> list[str]:
    """The first problems of a kind, and the number of the others."""
    if len(problems) <= LISTED:
        return problems
    return [*problems[: LISTED - 1], f"... and {len(problems) - LISTED + 1} more like these"]


def _classes(tags: Path, table: Table) -> tuple[str, ...]:
    listed = tags.with_name("classes.txt")
    if not listed.is_file():
        return table.classes
    classes = read_classes(listed)
    unknown = sorted({tag for row in dict.fromkeys(table.tags) for tag in row} - set(classes))
    if unknown:
        raise DataError(
            f"{listed} does not fit {tags}", where=[f"the tag {tag!r} is not listed" for tag in unknown],
            hint="List each tag once, or remove classes.txt to take the tags that occur, sorted.",
        )  # fmt: skip
    return classes
