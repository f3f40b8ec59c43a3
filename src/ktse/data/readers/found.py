"""From what a reader found, whatever the form, to the table of tagged images: classes, split, names."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ktse.data.classes import means_no_tag, without_no_tag
from ktse.data.dataset import TaggedImages
from ktse.data.image_files import Listing, Names
from ktse.data.names import clashes, image_ids
from ktse.data.readers.records import encoding_of, undecodable
from ktse.data.split import kept_out
from ktse.data.text import clean, short
from ktse.errors import DataError
from ktse.recipe import DataRecipe

VOC_CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog",
    "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip
"""The 20 classes of PASCAL VOC in their order; class k has the value k in its masks."""

SAME_AS_VOC = {
    "airplane": "aeroplane", "motorcycle": "motorbike", "couch": "sofa", "potted plant": "pottedplant",
    "dining table": "diningtable", "tv": "tvmonitor",
}  # fmt: skip
"""COCO's names for classes of VOC, where they differ."""


@dataclass
class Found:
    """What a reader found, with tags as words.

    Attributes:
        root: folder that the files are relative to.
        source: what named the images and tags, for messages.
        files: paths of the images relative to root.
        tags: tags of each image.
        classes: the classes in the order that the form gives them; empty: the tags that occur, sorted.
        validation: (N,) bool, if the form says which images are for validation.
        notes: what the user should know.
    """

    root: Path
    source: Path
    files: list[str]
    tags: list[tuple[str, ...]]
    classes: tuple[str, ...] = ()
    validation: np.ndarray | None = None
    notes: list[str] = field(default_factory=list)


def assemble(found: Found, recipe: DataRecipe) -> TaggedImages:
    """Choose the classes and the validation images, and make the table.

    Raises:
        DataError: there are no tags, or a list of classes or images does not fit.
    """
    classes, tags, notes = _choose_classes(_cleaned(found), recipe)
    number = {name: index for index, name in enumerate(classes)}
    # Many images, few patterns of tags: numpy spreads the patterns over a million rows at once.
    codes = {row: code for code, row in enumerate(dict.fromkeys(tags))}
    patterns = np.zeros((len(codes), len(classes)), dtype=bool)
    for row, code in codes.items():
        patterns[code, [number[tag] for tag in row]] = True
    matrix = patterns[np.fromiter((codes[row] for row in tags), dtype=np.int64, count=len(tags))]
    files, none = tuple(found.files), np.zeros(len(found.files), dtype=bool)
    ids = tuple(image_ids(found.files))
    notes += clashes(ids)
    data = TaggedImages(found.root, files, ids, classes, matrix, none, (*found.notes, *notes))
    if recipe.train_list or recipe.validation_list:
        return _listed(data, recipe)
    chosen = found.validation
    if chosen is None:
        chosen = kept_out(matrix, recipe.validation)
    return dataclasses.replace(data, validation=chosen)


def _cleaned(found: Found) -> Found:
    """Tags and classes without what only looks different, whatever form they come from."""
    rows = {row: tuple(dict.fromkeys(filter(None, map(clean, row)))) for row in dict.fromkeys(found.tags)}
    classes = tuple(dict.fromkeys(map(clean, found.classes)))
    return dataclasses.replace(found, tags=[rows[row] for row in found.tags], classes=classes)


def _choose_classes(found: Found, recipe: DataRecipe) -> tuple[tuple[str, ...], list[tuple[str, ...]], list[str]]:
    wanted = recipe.classes
    notes: list[str] = []
    if recipe.no_tag:
        classes, tags, notes = without_no_tag(found.classes, found.tags, recipe.no_tag, found.source)
        found = dataclasses.replace(found, classes=classes, tags=tags)
    distinct = dict.fromkeys(found.tags)
    used = dict.fromkeys(tag for row in distinct for tag in row)
    if not used:
        raise DataError(f"no image in {found.source} has a tag", hint="At least one tag is needed to learn from.")
    if not wanted:
        classes = found.classes or tuple(sorted(used))
        bad = [short(name) for name in classes if not _one_line(name)]
        if bad:
            raise DataError(
                f"{found.source} has tags that cannot be class names", where=bad,
                hint="A class name is one line of text without control characters. "
                "If several tags stand in a cell, --data.separator is what separates these (without it: line breaks).",
            )  # fmt: skip
        return classes, found.tags, notes
    classes = VOC_CLASSES if wanted == "voc" else read_classes(Path(wanted))
    if recipe.no_tag:
        classes = tuple(name for name in classes if not means_no_tag(name, recipe.no_tag))
    known = set(classes)
    renamed = {tag: SAME_AS_VOC.get(tag, tag) if wanted == "voc" else tag for tag in used}
    meaning = {row: tuple(name for name in map(renamed.__getitem__, row) if name in known) for row in distinct}
    left = sorted(tag for tag in used if renamed[tag] not in known)
    if len(left) == len(used):
        raise DataError(
            f"none of the classes in {wanted} occurs in {found.source}", where=f"tags found: {', '.join(left[:20])}",
            hint="Check data.classes.",
        )  # fmt: skip
    if left:
        named = ", ".join(left[:20]) + (" ..." if len(left) > 20 else "")
        notes.append(f"{len(left)} tags are not among the classes in {wanted} and left out: {named}")
    return classes, [meaning[row] for row in found.tags], notes


def _one_line(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:  # half a character, which JSON can hold and no file can
        return False
    return len(name.splitlines()) == 1 and not any(ord(letter) < 32 or ord(letter) == 127 for letter in name)


def read_classes(path: Path) -> tuple[str, ...]:
    """Class names from a file with one a line; line k is class k.

    Raises:
        DataError: it cannot be read, is empty, or lists a name twice.
    """
    names = tuple(line for _, line in read_lines(path, "the class list"))
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled or not names:
        raise DataError(
            f"the class list {path} cannot be used",
            where=[f"{name!r} is listed twice" for name in doubled] or "it is empty",
            hint="List each class once, one a line.",
        )
    return names


def read_lines(path: Path, what: str) -> list[tuple[int, str]]:
    """Numbers and texts of the lines of a text file that are not empty.

    Raises:
        DataError: it cannot be read.
    """
    try:
        lines = path.read_text(encoding=encoding_of(path)).split("\n")
    except (OSError, UnicodeError) as error:
        where = undecodable(path, error) if isinstance(error, UnicodeError) else str(error)
        raise DataError(
            f"{what} {path} cannot be read as UTF-8 text", where=where, hint="Check its path and encoding."
        ) from error
    return [(number, clean(line)) for number, line in enumerate(lines, start=1) if clean(line)]


def read_list(path: Path, names: Names) -> tuple[list[str], list[str]]:
    """Read a list of images: one a line, by any name that `Names` understands; more words in the line do not count.

    Returns:
        the images, each once, and what is wrong with lines.

    Raises:
        DataError: the file cannot be read.
    """
    files: dict[str, None] = {}
    problems = []
    for number, line in read_lines(path, "the list of images"):
        file = names.find(line) or names.find(line.split()[0])
        if file is None:
            problems.append(f"{path}: line {number}: {short(line)} {names.why(line)}")
        else:
            files[file] = None
    return list(files), problems


def _listed(data: TaggedImages, recipe: DataRecipe) -> TaggedImages:
    """The images on the lists of the recipe; without a list for training, it takes all that validation does not."""
    names = Names(Listing(data.root, list(data.files)))
    index = {file: number for number, file in enumerate(data.files)}
    parts, problems = [], []
    for path in (recipe.train_list, recipe.validation_list):
        files, wrong = read_list(Path(path), names) if path else ([], [])
        parts.append(np.array([index[file] for file in files], dtype=np.int64))
        problems += wrong
    train, validation = parts
    problems += [f"{data.files[number]} is on both lists" for number in np.intersect1d(train, validation)]
    if problems:
        raise DataError("the lists of training and validation images do not fit the data", where=problems)
    chosen = np.zeros(len(data), dtype=bool)
    chosen[validation] = True
    data = dataclasses.replace(data, validation=chosen)
    if not recipe.train_list:
        return data
    kept = np.sort(np.concatenate([train, validation]))
    rest = len(data) - len(kept)
    notes = (*data.notes, f"{rest} images are on neither list: left out") if rest else data.notes
    return dataclasses.replace(data.take(kept), notes=notes)
