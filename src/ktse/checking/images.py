"""One pass over every image, in parallel, with memory that does not grow with the number of images."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from ktse.data.dataset import TaggedImages
from ktse.data.image import is_deep
from ktse.data.masks import Truth
from ktse.errors import DataError, KtseError
from ktse.files import undecided
from ktse.runtime.words import pixels
from ktse.runtime.workers import in_processes

PART = 32
"""Images that a process is given at once."""

MOST = 0.995
"""Share of the pixels whose values count; a date in the corner of a black photo is no content."""

FLAT = 3
"""Levels, of 256, between which an image that shows nothing stays."""

FEW = 4
"""Levels that are left of an image with more than 8 bits where a single value (no data) has stretched its range."""


class Tones(NamedTuple):
    """The values of an image.

    Attributes:
        flat: whether it has (almost) one value only.
        top: the level, 0..255, below which nearly all values of all colours are.
        middle: the median level.
        deep: whether the file has more than 8 bits a pixel, which were scaled.
    """

    flat: bool
    top: int
    middle: int
    deep: bool


class Look(NamedTuple):
    """What one image looks like.

    Attributes:
        size: width and height, or None if it cannot be read.
        content: hash of the file.
        problem: why it, or its mask, cannot be used.
        classes: class indices in its true mask, or None if it has no mask.
        tones: what its values look like, or None if it cannot be read.
    """

    size: tuple[int, int] | None = None
    content: int = 0
    problem: str = ""
    classes: tuple[int, ...] | None = None
    tones: Tones | None = None


def look_at_all(data: TaggedImages, truth: Truth | None = None, workers: int = 0) -> Iterator[Look]:
    """Decode every image, and its true mask if there is one.

    Args:
        data: the images.
        truth: true masks.
        workers: processes; 0 takes all cores. Few images are read in this one.

    Yields:
        one look per image, in order.

    Raises:
        DataError: a process was killed, most likely for want of memory.
    """
    count = min(workers or os.cpu_count() or 1, -(-len(data) // PART))

    def parts() -> Iterator[tuple[TaggedImages, Truth | None]]:
        for start in range(0, len(data), PART):
            some = data.take(np.arange(start, min(start + PART, len(data))))
            yield some, truth.take(some.ids) if truth is not None else None

    try:
        for looks in in_processes(look, parts(), count if count > 1 else 0):
            yield from looks
    except BrokenProcessPool as error:
        text = "a process that reads images was killed, most likely for want of memory"
        raise DataError(text, hint="Look for an enormous image, or free memory, and try again.") from error


def look(data: TaggedImages, truth: Truth | None) -> list[Look]:
    """Decode these images and masks, one after the other."""
    return [_look(data, truth, index) for index in range(len(data))]


def _look(data: TaggedImages, truth: Truth | None, index: int) -> Look:
    name, found = data.ids[index], Look()
    try:
        found = found._replace(content=_hash(data, index))
        image = data.read(index)
        found = found._replace(size=image.size, tones=tones_of(image, deep=is_deep(data.source(index))))
        if truth is None or name not in truth.paths:
            return found
        label = truth.read(name)
    except OSError as error:
        return Look(content=found.content, problem=f"{data.files[index]}: {error}")
    except KtseError as error:
        return found._replace(problem=": ".join([error.what, *error.where]))
    if label.shape[::-1] != image.size:
        sizes = f"its mask has {pixels(label.shape[::-1])}, but its image has {pixels(image.size)}"
        return found._replace(problem=f"{name}: {sizes}")
    values = [int(value) for value in np.unique(label) if value not in (0, undecided(label))]
    return found._replace(classes=tuple(value - 1 for value in values))


def _hash(data: TaggedImages, index: int) -> int:
    source = data.source(index)
    digest = hashlib.blake2b(digest_size=8)
    with source.open("rb") if isinstance(source, Path) else source as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return int.from_bytes(digest.digest(), "little")


def tones_of(image: Image.Image, *, deep: bool) -> Tones:
    """Count the values of an RGB image.

    Args:
        image: the image, after conversion.
        deep: whether its file has more than 8 bits a pixel.
    """
    counts = np.array(image.histogram(), dtype=np.int64).reshape(3, 256)
    enough = MOST * image.width * image.height
    flat = all(_is_flat(band, enough, deep) for band in counts)
    top = max(int(np.searchsorted(band.cumsum(), enough)) for band in counts)
    middle = int(np.searchsorted(counts.sum(axis=0).cumsum(), counts.sum() / 2))
    return Tones(flat, top, middle, deep)


def _is_flat(counts: np.ndarray, enough: float, deep: bool) -> bool:
    """Whether the most frequent levels that together make up most pixels are close together, or hardly any."""
    order = np.argsort(-counts, kind="stable")
    levels = order[: int(np.searchsorted(counts[order].cumsum(), enough)) + 1]
    return bool(np.ptp(levels) <= FLAT or (deep and len(levels) <= FEW))
