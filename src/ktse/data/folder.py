"""Folders of images with a table of tags; true masks, for measuring, in another folder."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from ktse.data.columns import FOUND_OUT, Columns
from ktse.data.found import Found, assemble, read_classes
from ktse.data.image import image_size
from ktse.data.listing import Names, list_folder
from ktse.data.sample import TaggedImages, Truth
from ktse.data.table import Table, read_table
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


def open_truth(masks: Path, data: TaggedImages) -> Truth:
    """Find the true masks of a data set: `masks/ID.png` for the images that have one.

    Raises:
        DataError: the folder does not exist, fits no image, or holds masks of another size or with unknown classes.
    """
    if not masks.is_dir():
        wrong = "is a file" if masks.is_file() else "does not exist"
        raise DataError(f"the mask folder {masks} {wrong}", hint="Check the path given as --masks.")
    paths = {name: masks / f"{name}.png" for name in data.ids if (masks / f"{name}.png").is_file()}
    if not paths:
        raise DataError(
            f"no file in {masks} is the mask of an image",
            where=f"looked for {data.ids[0]}.png and {len(data) - 1} more",
            hint="A mask is named like its image, with the ending .png, in the same subfolder.",
        )
    problems = []
    for number, name in enumerate(data.ids):
        if name in paths:
            problems += mask_problems(paths[name], data.source(number), len(data.classes))
    if problems:
        raise DataError(f"some masks in {masks} cannot be used", where=problems, hint="Mend or remove these masks.")
    return Truth(paths)


def mask_problems(mask_path: Path, image: Path | BytesIO, classes: int) -> list[str]:
    """What makes a file useless as the mask of an image: its mode, size or values, or that it cannot be read."""
    try:
        size = image_size(image)
    except DataError:  # said by check, which knows whether to skip it
        return []
    try:
        with Image.open(mask_path) as mask:
            if mask.mode not in ("P", "L", "1", "I;16"):
                return [f"{mask_path}: a {mask.mode} image, but masks hold class numbers (8-bit palette or grey)"]
            if mask.size != size:
                return [f"{mask_path}: {mask.size[0]}x{mask.size[1]} pixels, but its image has {size[0]}x{size[1]}"]
            values = np.unique(np.asarray(mask))
    except (OSError, SyntaxError, ValueError) as error:
        return [f"{mask_path}: {error}"]
    ignored = 65535 if mask.mode == "I;16" else 255
    unknown = [int(value) for value in values if value > classes and value != ignored]
    return [f"{mask_path}: values {unknown[:5]}, but there are {classes} classes"] if unknown else []
