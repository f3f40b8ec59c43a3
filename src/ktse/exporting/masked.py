"""What every format of masks is written from: the images of a run with their masks, and what is known about them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ktse.exporting.simplify import Simplifier
from ktse.quality.verdict import Verdict


@dataclass(frozen=True)
class Masked:
    """An image with its mask.

    Attributes:
        file: the image, relative to the folder of images.
        name: the image's id.
        path: the mask.
        label: (H, W), 0 background, k class k, the type's largest value undecided.
        confidence: of the mask, 0..1; None where it is not known.
        kept_out: whether the image was kept out of all training.
    """

    file: str
    name: str
    path: Path
    label: np.ndarray
    confidence: float | None = None
    kept_out: bool = False

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.label.shape[0], self.label.shape[1]

    def masks(self, classes: int) -> Iterator[tuple[int, np.ndarray]]:
        """Classes that occur, each with its (H, W) bool mask."""
        for number in np.unique(self.label):
            if 1 <= number <= classes:
                yield int(number), self.label == number


@dataclass(frozen=True)
class Style:
    """How masks are written.

    Attributes:
        classes: names of the classes 1..C.
        verdict: on the masks; None if nobody has judged them.
        simplifier: makes polygons.
        prefix: what stands before the name of an image in a URL.
    """

    classes: tuple[str, ...]
    verdict: Verdict | None
    simplifier: Simplifier
    prefix: str

    def level(self, number: int) -> str:
        """The verdict on class number 1..C, or nothing if nobody has judged it."""
        if self.verdict is None:
            return ""
        return self.verdict.classes.get(self.classes[number - 1], self.verdict.run)


def box(mask: np.ndarray) -> tuple[int, int, int, int]:
    """Left, top, width and height of what is set in a mask."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(columns[0]), int(rows[0]), int(np.ptp(columns)) + 1, int(np.ptp(rows)) + 1


def run_lengths(values: np.ndarray) -> list[int]:
    """Lengths of the runs of a flat bool array, the first one of False (0 if it begins with True)."""
    changes = np.flatnonzero(np.diff(np.concatenate([[False], values])))
    return [int(length) for length in np.diff(np.concatenate([[0], changes, [len(values)]]))]


def compressed(lengths: list[int]) -> str:
    """Lengths of runs as COCO's text: five bits a character, from the third run on the change to the last but one."""
    text = []
    for place, length in enumerate(lengths):
        left = length - lengths[place - 2] if place > 2 else length
        more = True
        while more:
            bits, left = left & 31, left >> 5
            more = left != (-1 if bits & 16 else 0)
            text.append(chr(48 + bits + 32 * more))
    return "".join(text)
