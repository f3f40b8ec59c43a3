"""How much CAMs change once something is stitched to their image: numbers in, numbers in percent out."""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING, Any

import numpy as np

from ktse.research.results import spread

if TYPE_CHECKING:
    from ktse.research.couples import Activations

CONDITIONS = {
    "same": "an image with the same class",
    "other": "an image without common tags",
    "blank": "the mean colour",
    "itself": "the anchor again",
}
"""What is stitched to the anchor, in the order of the columns of Activations."""


def relative_changes(values: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """Change of each couple under each condition, relative to the mean of its class alone.

    Relative to the class and not to the single image, so that images with hardly any activation do not decide
    everything: the mean of these changes over a class is the change of the class's mean.

    Args:
        values: (N, 5), column 0 is the anchor alone.
        keys: (N,) class indices.

    Returns:
        (N, 4) float64; NaN where a condition has no image, or the class has no activation.
    """
    alone = class_means(values, keys)[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        changes = (values[:, 1:].astype(np.float64) - values[:, :1]) / alone
    return np.where(alone > 0, changes, np.nan)


def class_means(values: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """(N,) float64: for each couple the mean over its class of the anchors alone."""
    return np.array([values[keys == key, 0].mean(dtype=np.float64) for key in keys])


def estimate(values: np.ndarray) -> dict[str, Any]:
    """Mean of the finite values and its standard error, in percent, and their number; None where undefined."""
    found = spread(values[np.isfinite(values)].tolist())
    if found is None:
        return {"change": None, "error": None, "count": 0}
    error = None if found.deviation is None else round(100 * found.deviation / sqrt(found.count), 3)
    return {"change": round(100 * found.mean, 3), "error": error, "count": found.count}


def summarise(found: Activations, keys: np.ndarray, classes: tuple[str, ...]) -> dict[str, Any]:
    """What one network shows: by condition, by class, by distance from the seam, and differences between conditions."""
    activation, area = relative_changes(found.mean, keys), relative_changes(found.area, keys)
    columns = {
        condition: column for column, condition in enumerate(CONDITIONS) if np.isfinite(activation[:, column]).any()
    }
    by_condition = {}
    for condition, column in columns.items():
        known = activation[np.isfinite(activation[:, column]), column]
        by_condition[condition] = {
            "activation": {**estimate(activation[:, column]), "weaker": round(100 * float((known < 0).mean()), 3)},
            "area": estimate(area[:, column]),
        }
    present = {name: keys == index for index, name in enumerate(classes) if (keys == index).any()}
    return {
        "conditions": by_condition,
        "same_minus": {
            condition: estimate(activation[:, columns["same"]] - activation[:, column])
            for condition, column in columns.items()
            if condition != "same" and "same" in columns
        },
        "by_class": {
            name: {condition: estimate(activation[chosen, column]) for condition, column in columns.items()}
            for name, chosen in present.items()
        },
        "by_distance": {name: _profile(found, keys, 1 + column) for name, column in columns.items()},
    }


def _profile(found: Activations, keys: np.ndarray, column: int) -> list[float | None]:
    """Change of the activation in percent along lines parallel to the seam, the nearest first; every class alike."""
    alone = class_means(found.mean, keys)
    known = (alone > 0) & np.isfinite(found.mean[:, column])
    weighed = found.lines[known] / alone[known, None, None]
    pairs = zip(weighed[:, 0].sum(axis=0)[::-1].tolist(), weighed[:, column].sum(axis=0)[::-1].tolist(), strict=True)
    return [round(100 * (after / before - 1), 3) if before > 0 else None for before, after in pairs]
