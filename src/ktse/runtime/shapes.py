"""What the JSON files of a run hold: what is there has the type that its readers expect. Anything may be missing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

NOTHING = type(None)
WORD, NUMBER, COUNT, SWITCH = (str,), (int, float), (int,), (bool,)
A_NUMBER, A_WORD, A_COUNT = (*NUMBER, NOTHING), (*WORD, NOTHING), (*COUNT, NOTHING)


@dataclass(frozen=True)
class Each:
    """An object with any keys, whose values have one shape.

    Attributes:
        shape: of each value.
        empty: whether null may stand in its place.
    """

    shape: Any
    empty: bool = False


@dataclass(frozen=True)
class Maybe:
    """Null, or something of a shape.

    Attributes:
        shape: of what is not null.
    """

    shape: Any


IOU = Each(A_NUMBER, empty=True)
AT_BEST = Maybe({"miou": A_NUMBER, "threshold": A_NUMBER, "iou": IOU})
SCORE = {
    "miou": A_NUMBER,
    "iou": IOU,
    "threshold": A_NUMBER,
    "threshold_source": A_WORD,
    "oracle": AT_BEST,
    "curve": Maybe({"thresholds": [A_NUMBER], "miou": [A_NUMBER]}),
    "images": A_COUNT,
    "undecided": A_NUMBER,
    "by_split": Maybe(Each(Maybe({"miou": A_NUMBER, "images": A_COUNT}))),
    "tags_used": SWITCH,
    "confidence_correlation": A_NUMBER,
    "confidence_images": A_COUNT,
}
LEVEL = frozenset(("good", "look", "do-not-use"))
SIGN = {"level!": LEVEL, "class!": WORD, "text!": WORD, "next!": WORD, "concerns": WORD}
VERDICT = {"run!": LEVEL, "masks": LEVEL, "model": LEVEL, "classes!": Each(LEVEL), "signs!": [SIGN], "measured": SWITCH}

SHAPES: dict[str, Any] = {
    "manifest.json": Each(
        {
            "state!": WORD,
            "key!": WORD,
            "made_from": Each((object,)),
            "started": WORD,
            "seconds": A_NUMBER,
            "versions": Each(WORD),
            "processes": COUNT,
            "message": A_WORD,
            "device": WORD,
            "peak_memory_mb": A_NUMBER,
        }
    ),
    "check.json": {
        "images": COUNT,
        "content": WORD,
        "warnings": Maybe([WORD]),
        "errors": Maybe([WORD]),
        "unreadable": [WORD],
        "classes": Each(COUNT),
        "disk": Each(NUMBER),
        "true_masks": WORD,
    },
    "noticed.json": {
        "doubtful": [{"id!": WORD, "class!": WORD, "tagged!": SWITCH}],
        "near_copies": [{"id!": WORD, "like!": WORD}],
        "warnings": Maybe([WORD]),
    },
    "evaluation.json": {
        **dict.fromkeys(("seed", "mask", "fused", "prediction"), Maybe(SCORE)),
        "warnings": Maybe([WORD]),
        "classes": [WORD],
        "tags": Maybe(Each(Maybe({"f1": A_NUMBER, "map": A_NUMBER, "exact": A_NUMBER, "images": A_COUNT}))),
        "true_images": Maybe(Each(COUNT)),
        "verdict": VERDICT,
    },
    "masks/summary.json": {
        "threshold": A_NUMBER,
        "threshold_source": A_WORD,
        "warnings": Maybe([WORD]),
        "calibration": Maybe({"masks": COUNT, "images": [WORD]}),
        "other": Maybe([WORD]),
    },
    "segment/summary.json": {"agreement": A_NUMBER, "crops": A_COUNT, "warnings": Maybe([WORD])},
    "fused/summary.json": {"weight": NUMBER, "weight_source": A_WORD},
}
"""The shape of each file, by its path in the run folder."""


def short(value: Any) -> str:
    """A value as a message shows it."""
    return repr(value)[:80]


def misfit(value: Any, shape: Any, place: str = "") -> str:
    """Where a value has not the shape that it should have, in words; empty if it has.

    Args:
        value: what was read.
        shape: types; a set of words; a list of one shape; a mapping of shapes, in which ! marks a key that must be
            there; Each; or Maybe.
        place: of the value, for the answer.
    """
    if isinstance(shape, Maybe):
        return "" if value is None else misfit(value, shape.shape, place)
    if isinstance(shape, list):
        if not isinstance(value, list):
            return f"{place} is no list"
        return next(filter(None, (misfit(one, shape[0], f"{place}[{n}]") for n, one in enumerate(value))), "")
    if isinstance(shape, Each | Mapping):
        if isinstance(shape, Each) and shape.empty and value is None:
            return ""
        if not isinstance(value, dict):
            return f"{place or 'it'} is no object"
        shapes = dict.fromkeys(value, shape.shape) if isinstance(shape, Each) else shape
        missing = [key.removesuffix("!") for key in shapes if key.endswith("!") and key.removesuffix("!") not in value]
        if missing and not isinstance(shape, Each):
            return f"{place or 'it'} has no {missing[0]}"
        found = ((key, shapes.get(key, shapes.get(f"{key}!"))) for key in value)
        return next(filter(None, (misfit(value[key], one, f"{place} {key}".strip()) for key, one in found if one)), "")
    if isinstance(shape, frozenset):
        return "" if isinstance(value, str) and value in shape else f"{place} is {short(value)}"
    fits = isinstance(value, shape) and not (isinstance(value, bool) and int in shape)
    return "" if fits else f"{place} is {short(value)}"
