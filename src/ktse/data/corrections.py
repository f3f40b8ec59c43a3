"""Masks that a person has corrected: labels to learn from, which true masks for measuring never are."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ktse.data.folder import mask_problems
from ktse.data.sample import TaggedImages
from ktse.errors import DataError
from ktse.run_folder import read_label_map, undecided


@dataclass(frozen=True)
class Corrections:
    """Corrected masks, by the image id that their file is named after.

    Attributes:
        folder: where they are; empty: there are none.
        paths: the files.
    """

    folder: str = ""
    paths: dict[str, Path] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.paths)

    def __contains__(self, image_id: object) -> bool:
        return image_id in self.paths

    def read(self, image_id: str, kind: type[np.unsignedinteger]) -> np.ndarray:
        """The corrected mask of an image, its largest value undecided.

        Args:
            image_id: name of the image.
            kind: type of the labels, uint8 or uint16, whatever the file has.

        Raises:
            RunError: it cannot be read.
        """
        label = read_label_map(self.paths[image_id])
        same: np.ndarray = label.astype(kind)
        same[label == undecided(label)] = np.iinfo(kind).max
        return same

    def fingerprint(self) -> str:
        """Hash of each file's name and content; empty without any."""
        digest = hashlib.sha256()
        for image_id, path in sorted(self.paths.items()):
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            digest.update(f"{image_id}\0{content}\n".encode())
        return digest.hexdigest() if self.paths else ""

    def check(self, data: TaggedImages) -> None:
        """Make sure that every mask can be used.

        Raises:
            DataError: names of no image, wrong sizes, numbers of no class, files that cannot be read, all together.
        """
        index = {name: number for number, name in enumerate(data.ids)}
        problems = []
        for name, path in self.paths.items():
            if name not in index:
                problems.append(f"{path}: there is no image {name!r}")
            else:
                problems += mask_problems(path, data.source(index[name]), len(data.classes))
        if problems:
            raise DataError(
                f"{len(problems)} of the {len(self)} corrected masks in {self.folder} cannot be used", where=problems,
                hint="A corrected mask is named like its image, has its size, and holds 0 for background, k for class "
                "k, 255 for undecided.",
            )  # fmt: skip


def find_corrections(folder: str) -> Corrections:
    """The masks (ID.png) in a folder and its subfolders; none without a folder.

    Raises:
        DataError: the folder does not exist, or holds no PNG file.
    """
    if not folder:
        return Corrections()
    root = Path(folder)
    if not root.is_dir():
        raise DataError(f"the folder of corrected masks {root} does not exist", hint="Check the path of --corrections.")
    files = sorted(path for path in root.rglob("*.png") if not path.name.startswith("."))
    if not files:
        raise DataError(
            f"the folder of corrected masks {root} holds no PNG file",
            hint="A corrected mask is named like its image, with the ending .png, and holds 0 for background, k for "
            "class k, 255 for undecided.",
        )
    return Corrections(folder, {path.relative_to(root).as_posix().removesuffix(".png"): path for path in files})
