"""check: what is in a data set and what is wrong with it, before any training."""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ktse.console import track
from ktse.data.sample import TaggedImages
from ktse.errors import DataError

RARE = 10
"""Images below which a class is probably too rare to learn."""


@dataclass(frozen=True)
class Checked:
    """What a check found.

    Attributes:
        images: number of images.
        untagged: number of images without tags.
        classes: images per class.
        together: (C, C) images that have both classes.
        sizes: smallest, median and largest width and height.
        errors: what makes the data unusable.
        warnings: what will probably harm the result.
    """

    images: int
    untagged: int
    classes: dict[str, int]
    together: list[list[int]]
    sizes: dict[str, list[int]]
    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def raise_errors(self) -> None:
        """Raise all errors as one.

        Raises:
            DataError: there are errors.
        """
        if self.errors:
            raise DataError(f"{len(self.errors)} images cannot be used", where=self.errors, hint="Mend or remove them.")


def _look(path: Path) -> tuple[int, int] | str:
    try:
        with Image.open(path) as image:
            size = image.size
            image.load()
        return size
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        return f"{path}: {error}"


def check_images(data: TaggedImages, workers: int = 0) -> Checked:
    """Decode every image once, in parallel, and count the tags.

    Args:
        data: the data set.
        workers: processes; 0 takes all cores.
    """
    paths = [data.path(index) for index in range(len(data))]
    with ProcessPoolExecutor(workers or os.cpu_count()) as pool:
        found = list(track(pool.map(_look, paths, chunksize=32), "check", total=len(paths)))
    errors = [item for item in found if isinstance(item, str)]
    sizes = np.array([item for item in found if not isinstance(item, str)], dtype=int).reshape(-1, 2)
    tags = data.tags.astype(int)
    counts = dict(zip(data.classes, tags.sum(axis=0).tolist(), strict=True))
    return Checked(
        images=len(data),
        untagged=int((tags.sum(axis=1) == 0).sum()),
        classes=counts,
        together=(tags.T @ tags).tolist(),
        sizes={name: _spread(sizes[:, axis]) for axis, name in enumerate(("width", "height"))} if len(sizes) else {},
        errors=errors,
        warnings=_warnings(counts, len(data)),
    )


def _spread(values: np.ndarray) -> list[int]:
    return [int(values.min()), int(np.median(values)), int(values.max())]


def _warnings(counts: dict[str, int], images: int) -> list[str]:
    warnings = [
        f"the class {name!r} has only {count} images: probably too rare to learn"
        for name, count in counts.items()
        if count < min(RARE, images)
    ]
    warnings += [
        f"every image has the tag {name!r}: nothing tells what it looks like"
        for name, count in counts.items()
        if count == images and images > 1
    ]
    return warnings


def to_json(checked: Checked) -> dict[str, Any]:
    """Plain values for a JSON file."""
    return dict(vars(checked))
