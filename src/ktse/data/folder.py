"""Folders of images: with a table of tags, or with one subfolder per class."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ktse.data.found import Found, assemble, read_classes
from ktse.data.listing import Names, list_folder
from ktse.data.sample import TaggedImages
from ktse.data.table import FOUND_OUT, Columns, Table, read_table
from ktse.errors import DataError
from ktse.recipe import DataRecipe

PLAIN = Columns("image", "tags", ";")
"""The form that needs no guessing: a CSV file with the columns image and tags, tags separated by ;."""

TRAINING = ("train", "training")
VALIDATION = ("val", "valid", "validation")
SPLITS = (*TRAINING, *VALIDATION, "test")

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
            f"the tag file {path} has bad {table.word}s", where=table.problems, hint="Mend these and try again."
        )
    return dict(zip(table.rows, table.tags, strict=True))


def open_folder(images: Path, tags: Path, validation: float = 0.0, seed: int = 0) -> TaggedImages:
    """Open a folder of images with a plain CSV of tags.

    Args:
        images: folder of images, subfolders included.
        tags: the CSV file.
        validation: share of the images kept out of all training.
        seed: seed of that choice.

    Raises:
        DataError: anything that is wrong, all problems together.
    """
    return assemble(find_table(images, tags, PLAIN), DataRecipe(validation=validation, seed=seed))


def find_table(images: Path, tags: Path, columns: Columns = FOUND_OUT) -> Found:
    """Read a folder of images with a table of tags: every image must have a row, and every row an image.

    Classes are the tags that occur, in the order of a `classes.txt` beside the table if there is one, else of its
    0/1 columns, else sorted.

    Raises:
        DataError: anything that is wrong, all problems together.
    """
    table = read_table(tags, columns)
    listing = list_folder(images)
    names = Names(listing)
    files: dict[str, str] = {}
    missing, doubled = [], []
    for name, row in table.rows.items():
        file = names.find(name)
        if file is None:
            missing.append(f"{table.word} {row}: {name!r} {names.why(name)}")
        elif file in files:
            first = files[file]
            doubled.append(f"{table.word} {row}: {name!r} is the file of {table.word} {table.rows[first]}, {first!r}")
        else:
            files[file] = name
    damaged = {names.find(name) for name in table.damaged}
    untabled = [f"{file} has no {table.word}" for file in listing.files if file not in files and file not in damaged]
    problems = {
        f"{len(table.problems)} bad {table.word}s": table.problems,
        f"{len(missing)} of the {len(table.rows)} images are not in {images}": missing,
        f"{len(doubled)} {table.word}s name an image again": doubled,
        f"{len(untabled)} images in {images} have no {table.word}": untabled,
    }
    if any(problems.values()):
        raise DataError(
            f"{tags} and {images} do not fit: {'; '.join(text for text, places in problems.items() if places)}",
            where=[line for places in problems.values() for line in some(places)],
            hint="Names are relative to the image folder. An image with none of the classes has an empty tag cell.",
        )
    return Found(images, tags, list(files), table.tags, _classes(tags, table), notes=[*table.notes, *listing.notes])


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


def find_subfolders(images: Path) -> Found:
    """Read a folder with one subfolder per class, or with such folders under train, val and test.

    A symbolic link in one class to an image in another gives that image both tags. Images under test are left out.

    Raises:
        DataError: no images, or images outside of class folders.
    """
    listing = list_folder(images)
    top = {name.split("/")[0] for name in (*listing.files, *listing.links) if "/" in name}
    split = bool(top) and all(name.lower() in SPLITS for name in top) and bool(top & {*TRAINING, *VALIDATION})
    tags: dict[str, dict[str, None]] = {}
    stray, notes, test = [], list(listing.notes), 0
    pairs = [(name, name) for name in listing.files] + list(listing.links.items())
    for place, file in pairs:
        parts = place.split("/")[1 if split else 0 :]
        if len(parts) < 2:
            stray.append(place)
        elif split and file.split("/")[0].lower() == "test":
            test += 1
        else:
            tags.setdefault(file, {})[parts[0]] = None
    if stray:
        raise DataError(
            f"{len(stray)} images in {images} have no tags: they are in no class folder", where=stray,
            hint="Give a file of tags with --tags, or put each image into a subfolder named like its class."
            + (" Or is it a VOC tree? Give the folder above." if images.name == "JPEGImages" else ""),
        )  # fmt: skip
    if len(top) == 1 and not split:
        notes.append(f"{images} has one subfolder, {next(iter(top))!r}, and this is taken for a class: is that right?")
    if not tags:
        raise DataError(f"{images} holds images for testing only", hint="Images to learn from belong under train.")
    if test:
        notes.append(f"{test} images under test are left out")
    files = sorted(tags)
    validation = np.array([file.split("/")[0].lower() in VALIDATION for file in files])
    return Found(
        images, images, files, [tuple(tags[file]) for file in files],
        validation=validation if split and validation.any() else None, notes=notes,
    )  # fmt: skip
