"""The masks of another method, as a run keeps them: other/ID.png, label maps; loads no torch, for the review page."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ktse.files import read_label_map
from ktse.run_folder import RunFolder


def other_path(run: RunFolder, image_id: str) -> Path:
    """Where a run keeps the other mask of an image."""
    return run.path("other", f"{image_id}.png")


def other_mask(run: RunFolder, image_id: str) -> np.ndarray:
    """The other mask of an image: (H, W) uint8 or uint16 label map.

    Raises:
        RunError: there is none, or it is damaged.
    """
    return read_label_map(run.own(other_path(run, image_id)))
