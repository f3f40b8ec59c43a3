"""What a reader of masks finds, whatever form the masks have."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from ktse.data.dataset import TaggedImages
from ktse.data.image_files import Listing, Names

NAMED = 3
"""Names that a line of text gives as examples."""


class Drawing(Protocol):
    """A mask that is not simply a label map in a file of its own."""

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that it is drawn from."""

    @property
    def key(self) -> str:
        """What else the drawing depends on."""

    def draw(self) -> np.ndarray:
        """The label map: (H, W) uint8 or uint16, 0 background, k class k, the largest value undecided."""


@dataclass
class Reading:
    """Masks by image id, and everything that is to be known about them.

    Attributes:
        paths: the file that holds each mask, or the first of several.
        drawn: how masks are drawn that are not label maps in a file of their own.
        shown: the labels 1..C that each mask shows.
        unknown: images whose mask is undecided everywhere.
        unfit: names of masks that fit no image, and the name that was looked for.
        spare: other masks of images that have one under their very name.
        problems: what makes masks useless, each with its file.
        skipped: images whose mask is not complete, and why; they have none.
        notes: how the masks were read, where that is not plain.
    """

    paths: dict[str, Path] = field(default_factory=dict)
    drawn: dict[str, Drawing] = field(default_factory=dict)
    shown: dict[str, frozenset[int]] = field(default_factory=dict)
    unknown: set[str] = field(default_factory=set)
    unfit: dict[str, str] = field(default_factory=dict)
    spare: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


class Images:
    """Finds the image that a mask is named after, as an image is found for its tags.

    Args:
        data: the images.
    """

    def __init__(self, data: TaggedImages) -> None:
        self._names = Names(Listing(data.root, list(data.files)))
        self._ids = {name: index for index, name in enumerate(data.ids)}
        self._files = {name: index for index, name in enumerate(data.files)}

    def called(self, image_id: str) -> int | None:
        """The image with exactly this id."""
        return self._ids.get(image_id)

    def find(self, name: str) -> int | None:
        """The image that a name with or without its ending means, or None if none or more than one fits."""
        if name in self._ids:
            return self._ids[name]
        file = self._names.find(name)
        return None if file is None else self._files[file]

    def why(self, name: str) -> str:
        """Why `find` found nothing, to go on after the name."""
        return self._names.why(name)


def examples(names: Iterable[str]) -> str:
    """The first of some names."""
    some = list(names)
    return ", ".join(some[:NAMED]) + (" ..." if len(some) > NAMED else "")


def many(count: int, word: str) -> str:
    """A number and a word that takes an s."""
    return f"{count} {word}{'' if count == 1 else 's'}"
