"""What a data set is: images with tags for training, and, apart from them, true masks for measuring."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from ktse.errors import DataError


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
    """

    root: Path
    files: tuple[str, ...]
    ids: tuple[str, ...]
    classes: tuple[str, ...]
    tags: np.ndarray
    validation: np.ndarray

    def __len__(self) -> int:
        return len(self.files)

    def path(self, index: int) -> Path:
        """Where an image is."""
        return self.root / self.files[index]

    def read(self, index: int) -> Image.Image:
        """Read an image as RGB, turned as its EXIF data says.

        Raises:
            DataError: it cannot be read.
        """
        return read_image(self.path(index))

    @property
    def training(self) -> np.ndarray:
        """Indices of the images that training may use."""
        return np.flatnonzero(~self.validation)

    def fingerprint(self) -> str:
        """Hash of names, tags, split, and each file's size and time of change."""
        digest = hashlib.sha256("\n".join(self.classes).encode())
        for index, name in enumerate(self.files):
            stat = self.path(index).stat()
            digest.update(f"{name}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode())
        digest.update(np.packbits(self.tags).tobytes() + np.packbits(self.validation).tobytes())
        return digest.hexdigest()


@dataclass(frozen=True)
class Truth:
    """True masks, for measuring only.

    Attributes:
        paths: mask file of each image that has one, by image id.
    """

    paths: dict[str, Path]

    def fingerprint(self) -> str:
        """Hash of each file's name, size and time of change."""
        digest = hashlib.sha256()
        for image_id, path in sorted(self.paths.items()):
            stat = path.stat()
            digest.update(f"{image_id}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode())
        return digest.hexdigest()


def read_image(path: Path) -> Image.Image:
    """Read any Pillow-readable file as RGB, turned as its EXIF data says.

    Raises:
        DataError: it cannot be read.
    """
    try:
        with Image.open(path) as image:
            return ImageOps.exif_transpose(image).convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(f"{path} cannot be read as an image", where=str(error)) from error


def image_ids(files: list[str]) -> list[str]:
    """Unique names of images: the path without its ending; with it where two files differ in the ending alone."""
    stems = [str(Path(name).with_suffix("").as_posix()) for name in files]
    counts: dict[str, int] = {}
    for stem in stems:
        counts[stem] = counts.get(stem, 0) + 1
    return [stem if counts[stem] == 1 else Path(name).as_posix() for stem, name in zip(stems, files, strict=True)]
