"""What a reader of masks finds, whatever form the masks have."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from ktse.data.dataset import TaggedImages
from ktse.data.image import image_size
from ktse.data.image_files import Listing
from ktse.data.name_matching import Names
from ktse.errors import DataError


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

    def incomplete(self) -> list[str]:
        """The images whose mask is not complete, each with the reason."""
        return [f"{file} {why}" for file, why in self.skipped.items()]


class Images:
    """Finds the image that a mask is named after, as an image is found for its tags.

    Attributes:
        data: the images.
        ids: number of each image by its id.
        files: number of each image by its file.
        names: finds files by their names.
    """

    def __init__(self, data: TaggedImages) -> None:
        self.data = data
        self.ids = {name: index for index, name in enumerate(data.ids)}
        self.files = {name: index for index, name in enumerate(data.files)}
        self.names = Names(Listing(data.root, list(data.files)))

    def file(self, name: str) -> str | None:
        """The file that a name with or without its ending means, or None if none or more than one fits."""
        return self.data.files[self.ids[name]] if name in self.ids else self.names.find(name)

    def find(self, name: str) -> int | None:
        """The number of the image that a name means, or None."""
        file = self.file(name)
        return None if file is None else self.files[file]

    def size(self, index: int) -> tuple[int, int] | None:
        """Width and height of an image; None if it cannot be read, which check reports, with its own choices."""
        try:
            return image_size(self.data.source(index))
        except DataError:
            return None
