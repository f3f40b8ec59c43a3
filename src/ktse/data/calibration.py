"""A handful of true masks that the user gives on purpose, to choose the background threshold by."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np

from ktse.data.folder import mask_problems
from ktse.data.image import image_size
from ktse.data.sample import TaggedImages
from ktse.errors import DataError
from ktse.run_folder import read_label_map


@dataclass(frozen=True)
class Calibration:
    """True masks that the masks of a run may depend on; those for measuring only are a `Truth`.

    Attributes:
        paths: file that holds the mask of each image that has one, by image id.
    """

    paths: dict[str, Path]

    def read(self, image_id: str) -> np.ndarray:
        """The true mask of an image: (H, W) uint8 or uint16, 0 background, k class k, the largest value ignored.

        Raises:
            KtseError: it cannot be read.
        """
        return read_label_map(self.paths[image_id])

    def fingerprint(self) -> str:
        """Hash of each file's name and content."""
        digest = hashlib.sha256()
        for image_id, path in sorted(self.paths.items()):
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            digest.update(f"{image_id}\0{content}\n".encode())
        return digest.hexdigest()


def open_calibration(folder: Path, data: TaggedImages) -> Calibration:
    """Open the masks to calibrate with: each PNG is named like its image, in the same subfolder.

    Raises:
        DataError: there is no mask, or masks fit no image, have another size or unknown classes, or show no class at
            all; all of them are listed.
    """
    if not folder.is_dir():
        raise DataError(f"the folder of masks {folder} does not exist", hint="Check the path given as --calibrate.")
    index = {name: number for number, name in enumerate(data.ids)}
    paths: dict[str, Path] = {}
    problems = []
    for path in sorted(folder.rglob("*.png")):
        name = path.relative_to(folder).as_posix().removesuffix(".png")
        if name not in index:
            problems.append(f"{path}: there is no image {name}")
            continue
        paths[name] = path
        problems += _problems(path, data.source(index[name]), len(data.classes))
    if not paths and not problems:
        problems.append("it holds no PNG file")
    elif not problems and not any(_shows_a_class(path, len(data.classes)) for path in paths.values()):
        problems.append("all of them are background: at least one must show a class")
    if problems:
        raise DataError(
            f"the masks in {folder} cannot be calibrated with", where=problems,
            hint="A mask is named like its image, with the ending .png, and holds 0 for background, k for class k.",
        )  # fmt: skip
    return Calibration(paths)


def _problems(path: Path, image: Path | BytesIO, classes: int) -> list[str]:
    try:
        image_size(image)
    except DataError as error:
        return [f"{path}: {error.what}"]
    return mask_problems(path, image, classes)


def _shows_a_class(path: Path, classes: int) -> bool:
    label = read_label_map(path)
    return bool(((label > 0) & (label <= classes)).any())
