"""The plain form of a data set: a folder of images and a CSV file of tags; masks, for measuring, in another folder."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from PIL import Image

from ktse.data.sample import TaggedImages, Truth, image_ids
from ktse.errors import DataError

SEPARATOR = ";"


def list_images(folder: Path) -> list[str]:
    """Relative paths of all files in a folder and its subfolders whose ending Pillow can read, sorted.

    Raises:
        DataError: the folder does not exist or holds no image.
    """
    if not folder.is_dir():
        raise DataError(f"the image folder {folder} does not exist", hint="Check the path of the images.")
    endings = set(Image.registered_extensions())
    files = sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.suffix.lower() in endings and path.is_file() and not path.name.startswith(".")
    )
    if not files:
        raise DataError(f"the image folder {folder} holds no image", hint="Known endings: .jpg, .png, .tif, .webp ...")
    return files


def read_tags(path: Path, image_column: str = "image", tag_column: str = "tags") -> dict[str, tuple[str, ...]]:
    """Read a CSV file with one row per image: its name, and its tags separated by ';' (none for an empty cell).

    Returns:
        tags by image name, in the file's order.

    Raises:
        DataError: missing file, missing column, empty table, or bad rows, all listed with their row numbers.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise DataError(f"the tag file {path} does not exist", hint="Check the path given as --tags.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"the tag file {path} cannot be read as UTF-8 text", where=str(error), hint="Save it as CSV in UTF-8."
        ) from error
    reader = csv.DictReader(text.splitlines(), strict=True)
    try:
        names = reader.fieldnames or []
        missing = [column for column in (image_column, tag_column) if column not in names]
        if missing:
            raise DataError(
                f"the tag file {path} has no column {' and no column '.join(map(repr, missing))}",
                where=f"columns found: {', '.join(map(repr, names)) or 'none'}",
                hint=f"Its first line must be: {image_column},{tag_column}",
            )
        return _rows(reader, path, image_column, tag_column)
    except csv.Error as error:
        raise DataError(
            f"the tag file {path} is not a valid CSV table", where=f"row {reader.line_num}: {error}"
        ) from error


def _rows(reader: csv.DictReader[str], path: Path, image_column: str, tag_column: str) -> dict[str, tuple[str, ...]]:
    table: dict[str, tuple[str, ...]] = {}
    first_row: dict[str, int] = {}
    problems = []
    for row in reader:
        name, cell = row[image_column], row[tag_column]
        line = reader.line_num
        if None in row or name is None or cell is None:
            problems.append(f"row {line}: it has another number of cells than the first line")
        elif not name.strip():
            problems.append(f"row {line}: the image name is empty")
        elif name in table:
            problems.append(f"row {line}: {name!r} is there already, in row {first_row[name]}")
        else:
            table[name] = tuple(dict.fromkeys(tag.strip() for tag in cell.split(SEPARATOR) if tag.strip()))
            first_row[name] = line
    if problems:
        raise DataError(f"the tag file {path} has bad rows", where=problems, hint="Mend these rows and try again.")
    if not table:
        raise DataError(f"the tag file {path} has no rows", hint="It needs one row per image.")
    return table


def open_folder(images: Path, tags: Path, validation: float = 0.0, seed: int = 0) -> TaggedImages:
    """Open a folder of images with a CSV of tags.

    Classes are the tags that occur, in the order of a `classes.txt` beside the CSV if there is one, else sorted.

    Args:
        images: folder of images, subfolders included.
        tags: the CSV file.
        validation: share of the images kept out of all training.
        seed: seed of that choice.

    Raises:
        DataError: anything that is wrong, all problems together.
    """
    table = read_tags(tags)
    present = set(list_images(images))
    named = {Path(name).as_posix(): name for name in table}
    problems = [f"{name!r} is in the table, but not in the folder" for key, name in named.items() if key not in present]
    if problems:
        raise DataError(
            f"{len(problems)} of the {len(table)} images in {tags} are not in {images}", where=problems,
            hint="Names are relative to the image folder and include the ending.",
        )  # fmt: skip
    untabled = sorted(present - set(named))
    if untabled:
        raise DataError(
            f"{len(untabled)} images in {images} have no row in {tags}", where=untabled,
            hint="Add a row for each (an empty tag cell says that none of the classes is there), or move them away.",
        )  # fmt: skip
    classes = _classes(tags, table)
    index = {name: number for number, name in enumerate(classes)}
    files = list(named)
    matrix = np.zeros((len(files), len(classes)), dtype=bool)
    for row, key in enumerate(files):
        matrix[row, [index[tag] for tag in table[named[key]]]] = True
    ids = image_ids(files)
    return TaggedImages(images, tuple(files), tuple(ids), classes, matrix, _split(len(files), validation, seed))


def open_truth(masks: Path, data: TaggedImages) -> Truth:
    """Find the true masks of a data set: `masks/ID.png` for the images that have one.

    Raises:
        DataError: the folder does not exist, fits no image, or holds masks of another size or with unknown classes.
    """
    if not masks.is_dir():
        raise DataError(f"the mask folder {masks} does not exist", hint="Check the path given as --masks.")
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
            problems += _mask_problems(paths[name], data.path(number), len(data.classes))
    if problems:
        raise DataError(f"some masks in {masks} cannot be used", where=problems, hint="Mend or remove these masks.")
    return Truth(paths)


def _mask_problems(mask_path: Path, image_path: Path, classes: int) -> list[str]:
    try:
        with Image.open(mask_path) as mask, Image.open(image_path) as image:
            turned = image.getexif().get(0x0112, 1) >= 5
            size = image.size[::-1] if turned else image.size
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


def _classes(tags: Path, table: dict[str, tuple[str, ...]]) -> tuple[str, ...]:
    used = {tag for row in table.values() for tag in row}
    listed = tags.with_name("classes.txt")
    if not listed.is_file():
        if not used:
            raise DataError(f"no image in {tags} has a tag", hint="At least one tag is needed to learn from.")
        return tuple(sorted(used))
    classes = tuple(line.strip() for line in listed.read_text(encoding="utf-8-sig").splitlines() if line.strip())
    unknown = sorted(used - set(classes))
    doubled = sorted({name for name in classes if classes.count(name) > 1})
    if unknown or doubled:
        raise DataError(
            f"{listed} does not fit {tags}",
            where=[f"the tag {tag!r} is not listed" for tag in unknown]
            + [f"{tag!r} is listed twice" for tag in doubled],
            hint="List each tag once, or remove classes.txt to take the tags that occur, sorted.",
        )
    return classes


def _split(count: int, validation: float, seed: int) -> np.ndarray:
    chosen = np.zeros(count, dtype=bool)
    chosen[np.random.default_rng(seed).permutation(count)[: int(count * validation)]] = True
    return chosen
