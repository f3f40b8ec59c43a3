"""From what a reader found, whatever the form, to the table of tagged images: classes, split, names."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ktse.data.classes import choose_classes
from ktse.data.dataset import TaggedImages
from ktse.data.image_files import Listing
from ktse.data.name_matching import Names
from ktse.data.names import clashes, image_ids
from ktse.data.text import clean, listed, short
from ktse.data.text_files import read_lines
from ktse.errors import DataError
from ktse.recipe import DataRecipe
from ktse.runtime.words import many

LEFT = 2
"""Training images that each class keeps, whatever the share of validation images."""


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
    # Tags and classes without what only looks different, whatever form they come from.
    rows = {row: tuple(dict.fromkeys(filter(None, map(clean, row)))) for row in dict.fromkeys(found.tags)}
    named, words = tuple(dict.fromkeys(map(clean, found.classes))), [rows[row] for row in found.tags]
    classes, tags, notes = choose_classes(named, words, found.source, recipe.classes, recipe.no_tag)
    number = {name: index for index, name in enumerate(classes)}
    # Many images, few patterns of tags: numpy spreads the patterns over a million rows at once.
    codes = {row: code for code, row in enumerate(dict.fromkeys(tags))}
    patterns = np.zeros((len(codes), len(classes)), dtype=bool)
    for row, code in codes.items():
        patterns[code, [number[tag] for tag in row]] = True
    matrix = patterns[np.fromiter((codes[row] for row in tags), dtype=np.int64, count=len(tags))]
    ids = tuple(image_ids(found.files))
    notes = [*found.notes, *notes, *clashes(ids)]
    chosen, kept = found.validation, set(found.files)
    if recipe.train_list or recipe.validation_list:
        train, validation = (Path(path) if path else None for path in (recipe.train_list, recipe.validation_list))
        split = read_split(train, validation, Listing(found.root, found.files))
        if split.problems:
            raise DataError("the lists of training and validation images do not fit the data", where=split.problems)
        chosen, kept = np.array([file in split.held_out for file in found.files]), set(split.files)
        notes += split.notes
    elif chosen is None:
        chosen = kept_out(matrix, recipe.validation)
    data = TaggedImages(found.root, tuple(found.files), ids, classes, matrix, chosen, tuple(notes))
    return data.take(np.flatnonzero([file in kept for file in found.files])) if len(kept) < len(data) else data


def kept_out(tags: np.ndarray, share: float) -> np.ndarray:
    """Choose images that are kept out of all training, the same for every random seed; classes keep LEFT others.

    Args:
        tags: (N, C) bool.
        share: of the images, 0..1, rounded down to whole images.

    Returns:
        (N,) bool.
    """
    chosen = np.zeros(len(tags), dtype=bool)
    left, wanted = tags.sum(axis=0), int(len(tags) * share)
    for index in np.random.default_rng(0).permutation(len(tags)):
        if wanted == 0:
            break
        if (left[tags[index]] > LEFT).all():
            chosen[index] = True
            left = left - tags[index]
            wanted -= 1
    return chosen


class Split(NamedTuple):
    """What the lists of training and validation images say.

    Attributes:
        files: the images on the lists; without a list of training images, all.
        held_out: those for validation.
        notes: what is left out.
        problems: what is wrong with lines.
    """

    files: list[str]
    held_out: set[str]
    notes: list[str]
    problems: list[str]


def read_split(train: Path | None, validation: Path | None, listing: Listing) -> Split:
    """Read the lists of training and validation images: one name a line; more words in the line do not count.

    Raises:
        DataError: a list cannot be read.
    """
    names, lists = Names(listing), []
    problems: list[str] = []
    for path in (train, validation):
        files: dict[str, None] = {}
        wrong = []
        for number, line in read_lines(path, "the list of images") if path else []:
            if file := names.find(line) or names.find(line.split()[0]):
                files[file] = None
            else:
                wrong.append(f"{path}: line {number}: {short(line)} {names.why(line)}")
        lists.append(files)
        problems += listed(wrong)
    learned, held = lists
    problems += listed([f"{file} is on both lists, {train} and {validation}" for file in sorted(learned.keys() & held)])
    chosen = list(learned | held) if train else listing.files
    rest = len(listing.files) - len(chosen)
    notes = [f"{many(rest, 'image is', 'images are')} on neither list: left out"] if rest else []
    return Split(chosen, set(held), notes, problems)
