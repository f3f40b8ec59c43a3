"""What a data set is: images with tags."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Collection
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from ktse.data.image import at_most, read_image


@dataclass(frozen=True, eq=False)
class TaggedImages:
    """Images and their tags, as a table. Nothing that trains ever sees more than this.

    Attributes:
        root: folder that the files are relative to.
        files: N paths relative to root.
        ids: N names, unique, under which results are stored: the file without its ending.
        classes: C names.
        tags: (N, C) bool.
        validation: (N,) bool, images kept out of all training.
        notes: what was left aside or guessed while opening, for the user to know.
    """

    root: Path
    files: tuple[str, ...]
    ids: tuple[str, ...]
    classes: tuple[str, ...]
    tags: np.ndarray
    validation: np.ndarray
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.files)

    def path(self, index: int) -> Path:
        """Where an image is."""
        return self.root / self.files[index]

    def source(self, index: int) -> Path | BytesIO:
        """What an image is read from."""
        return self.path(index)

    def read(self, index: int, long_side: int = 0, pixels: int = 0) -> Image.Image:
        """Read an image as RGB, turned as its EXIF data says.

        Args:
            index: which image.
            long_side: pixels that the longer side needs at least; far larger JPEGs are decoded smaller. 0: as it is.
            pixels: a larger image is scaled down to this many. 0: as it is.

        Raises:
            DataError: it cannot be read.
        """
        image = read_image(self.source(index), long_side, self.files[index])
        size = at_most(image.size, pixels)
        return image if size == image.size else image.resize(size, Image.Resampling.BICUBIC)

    def stamp(self, index: int) -> str:
        """What is another text when the file of an image has changed."""
        source = self.source(index)
        if isinstance(source, Path):
            stat = source.stat()
            return f"{self.files[index]} {stat.st_size} {stat.st_mtime_ns}"
        return hashlib.sha256(source.getbuffer()).hexdigest()

    def take(self, indices: np.ndarray) -> TaggedImages:
        """Some of the images, in this order."""
        files, ids = (tuple(names[index] for index in indices) for names in (self.files, self.ids))
        return dataclasses.replace(
            self, files=files, ids=ids, tags=self.tags[indices], validation=self.validation[indices]
        )

    def without(self, ids: Collection[str]) -> TaggedImages:
        """All images but these."""
        left = set(ids)
        return self.take(np.flatnonzero([name not in left for name in self.ids])) if left else self

    @property
    def training(self) -> np.ndarray:
        """Indices of the images that training may use."""
        return np.flatnonzero(~self.validation)

    def fingerprint(self) -> str:
        """Hash of names, tags, split, and each file's size and time of change."""
        root, lines = os.fspath(self.root), ["\n".join(self.classes)]
        for name in self.files:
            stat = os.stat(f"{root}/{name}")  # noqa: PTH116 (a million paths take pathlib seconds)
            lines.append(f"{name}\0{stat.st_size}\0{stat.st_mtime_ns}\n")
        return self.hashed("".join(lines))

    def hashed(self, text: str, content: bytes = b"") -> str:
        """Hash of a text, the tags, the split, and more content."""
        tables = np.packbits(self.tags).tobytes() + np.packbits(self.validation).tobytes()
        return hashlib.sha256(text.encode() + tables + content).hexdigest()
