"""The masks of another method, as a run keeps them: other/ID.png, label maps; loads no torch, for the review page."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from ktse.errors import RunError
from ktse.files import AGAIN, read_json, read_label_map
from ktse.run_folder import RunFolder
from ktse.runtime.reading import reading


class Compared(NamedTuple):
    """A class in the masks of the run and in those of the other method, over the masks to calibrate with.

    Attributes:
        own, other: IoU with the true masks, 0..1.
        shown: how many of the true masks show the class.
        taken: whether the masks of the run take the class from the other ones.
    """

    own: float
    other: float
    shown: int
    taken: bool


def other_path(run: RunFolder, image_id: str) -> Path:
    """Where a run keeps the other mask of an image."""
    return run.path("other", f"{image_id}.png")


def other_mask(run: RunFolder, image_id: str) -> np.ndarray:
    """The other mask of an image: (H, W) uint8 or uint16 label map.

    Raises:
        RunError: there is none, or it is damaged.
    """
    return read_label_map(run.own(other_path(run, image_id)))


def compared(run: RunFolder) -> dict[str, Compared]:
    """How both masks compare, by class, as masks/other.json says; empty if nothing was compared.

    Raises:
        RunError: the file is damaged.
    """
    path = run.own(run.path("masks", "other.json"))
    if not path.is_file():
        return {}
    content = read_json(path)
    with reading(path, kind=RunError, hint=AGAIN):
        iou, shown, taken = content["iou"], content["shown"], set(content["taken"])
        found = {
            name: Compared(float(own), float(other), int(shown[name]), name in taken)
            for name, (own, other) in iou.items()
        }
    return found
