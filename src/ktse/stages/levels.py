"""A threshold for each class, from masks to calibrate with: classes are levelled, so that one threshold suits all.

masks/levels.json   the common threshold, and each class's own one

Scores stay as they were refined. Whoever reads them here gets them levelled: each class's odds are multiplied by what
moves its own threshold to the common one. So cutting, fusing and correcting know one threshold.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ktse.files import read_json, write_json
from ktse.run_folder import RunFolder, Scores

GRADES = np.arange(256) / 255
"""What a stored score stands for."""


def write_levels(run: RunFolder, threshold: float, own: Sequence[float]) -> None:
    """Note the threshold of each class; nothing where all have the common one, or where that has no odds."""
    if 0 < threshold < 1 and any(value != threshold for value in own):
        levels = {"threshold": threshold, "own": list(own), "key": run.key("refine")}
        write_json(run.path("masks", "levels.json"), levels)


def levelled_scores(run: RunFolder, image_id: str) -> Scores:
    """The refined scores of an image, as the common threshold cuts them.

    Raises:
        RunError: they are missing or damaged.
    """
    stored, path = run.scores(image_id), run.path("masks", "levels.json")
    if not path.is_file():
        return stored
    levels = read_json(run.own(path))
    return with_levels(stored, levels["threshold"], levels["own"])


def with_levels(stored: Scores, threshold: float, own: Sequence[float]) -> Scores:
    """Refined scores, levelled to a common threshold from the (C,) own ones of all classes."""
    chosen = np.asarray(own, dtype=np.float64)[stored.keys]
    return stored._replace(scores=levelled(stored.scores, threshold, chosen))


def levelled(stored: np.ndarray, threshold: float, own: np.ndarray) -> np.ndarray:
    """Scores whose classes all have the common threshold.

    Args:
        stored: (K, h, w) uint8, of which 255 stands for 1.
        threshold: the common one, inside of 0..1.
        own: (K,) of each class, inside of 0..1.

    Returns:
        (K, h, w) uint8: above the threshold where the score was above the class's own one, but for rounding.
    """
    factors = _odds(np.float64(threshold)) / _odds(own)
    tables = GRADES * factors[:, None] / (1 - GRADES + GRADES * factors[:, None])
    rounded = np.rint(255 * tables).astype(np.uint8)
    return np.stack([table[part] for table, part in zip(rounded, stored, strict=True)]) if len(stored) else stored


def _odds(share: np.ndarray) -> np.ndarray:
    return np.asarray(share / (1 - share))
