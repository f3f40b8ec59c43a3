"""One pass over every image, in parallel, with memory that does not grow with the number of images."""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ktse.checking.tones import Tones, tones_of
from ktse.data.dataset import TaggedImages
from ktse.data.image import is_deep
from ktse.data.masks import Truth
from ktse.errors import DataError, KtseError
from ktse.files import undecided

PART = 32
"""Images that a process is given at once."""


class Look(NamedTuple):
    """What one image looks like.

    Attributes:
        size: width and height, or None if it cannot be read.
        content: hash of the file.
        problem: why it, or its mask, cannot be used.
        classes: class indices in its true mask, or None if it has no mask.
        tones: what its values look like, or None if it cannot be read.
    """

    size: tuple[int, int] | None
    content: int
    problem: str
    classes: tuple[int, ...] | None
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
    parts = [np.arange(start, min(start + PART, len(data))) for start in range(0, len(data), PART)]
    count = min(workers or os.cpu_count() or 1, len(parts))

    def piece(part: np.ndarray) -> tuple[TaggedImages, Truth | None]:
        some = data.take(part)
        return some, truth.take(some.ids) if truth is not None else None

    if count <= 1:
        for part in parts:
            yield from look(*piece(part))
        return
    waiting: deque[Future[list[Look]]] = deque()
    with ProcessPoolExecutor(count) as pool:
        try:
            for part in parts:
                waiting.append(pool.submit(look, *piece(part)))
                # What waits is bounded, or a million looks would pile up behind a slow one.
                if len(waiting) > 4 * count:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
        except BrokenProcessPool as error:
            raise DataError(
                "a process that reads images was killed, most likely for want of memory",
                hint="Look for an enormous image, or free memory, and try again.",
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


def look(data: TaggedImages, truth: Truth | None) -> list[Look]:
    """Decode these images and masks, one after the other."""
    return [_look(data, truth, index) for index in range(len(data))]


def _look(data: TaggedImages, truth: Truth | None, index: int) -> Look:
    name, size, content, tones = data.ids[index], None, 0, None
    try:
        content = _hash(data, index)
        image = data.read(index)
        size, tones = image.size, tones_of(image, deep=is_deep(data.source(index)))
        if truth is None or name not in truth.paths:
            return Look(size, content, "", None, tones)
        label = truth.read(name)
    except OSError as error:
        return Look(None, content, f"{data.files[index]}: {error}", None)
    except KtseError as error:
        return Look(size, content, ": ".join([error.what, *error.where]), None, tones)
    if label.shape[::-1] != size:
        return Look(
            size, content, f"{name}: its mask has {label.shape[1]}x{label.shape[0]} pixels, not {size}", None, tones
        )
    values = [int(value) for value in np.unique(label) if value not in (0, undecided(label))]
    return Look(size, content, "", tuple(value - 1 for value in values), tones)


def _hash(data: TaggedImages, index: int) -> int:
    source = data.source(index)
    digest = hashlib.blake2b(digest_size=8)
    with source.open("rb") if isinstance(source, Path) else source as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return int.from_bytes(digest.digest(), "little")
