"""What evaluation.json says, arranged for reading: stages, classes, splits, tags, thresholds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from ktse.reporting.charts import Dot, Line, line_chart
from ktse.reporting.wording import is_number, listing, percent

STAGES = {
    "seed": ("Seed", "the CAM, cut at the threshold"),
    "mask": ("Mask", "the seed after refinement; the segmentation model learns from the masks"),
    "fused": ("Fused mask", "mask and segmentation model together, limited to the image's tags"),
    "prediction": ("Prediction", "the segmentation model alone, without tags, as for new photos"),
}
ALMOST_NOTHING = 5
"""IoU in per cent below which a class counts as not found."""

SPLITS = {"train": "training", "validation": "validation"}


@dataclass(frozen=True)
class StageScore:
    """A measured stage.

    Attributes:
        key, name, words: which stage, and what it is.
        score: its part of evaluation.json.
        oracle: the same at the threshold chosen on the truth; empty if there is none.
    """

    key: str
    name: str
    words: str
    score: dict[str, Any]
    oracle: dict[str, Any]

    def split(self, name: str) -> float | None:
        """The mIoU of a part of the images, in percent; None if none of them was measured."""
        part = _dict(_dict(self.score, "by_split"), name)
        return _number(part.get("miou")) if part.get("images") else None

    @property
    def gap(self) -> float | None:
        """Points of mIoU by which the best threshold is better than the one in use."""
        best, used = _number(self.oracle.get("miou")), _number(self.score.get("miou"))
        return best - used if best is not None and used is not None else None


@dataclass(frozen=True)
class ClassScore:
    """One row of the table of classes.

    Attributes:
        name: of the class.
        images: number of images with its tag; None for the background.
        iou: by stage, in percent, None where unknown.
        oracle: the same at the oracle's threshold.
    """

    name: str
    images: int | None
    iou: dict[str, float | None]
    oracle: dict[str, float | None]


def stages(evaluation: dict[str, Any]) -> list[StageScore]:
    """The measured stages in order."""
    return [
        StageScore(key, name, words, _dict(evaluation, key), _dict(_dict(evaluation, key), "oracle"))
        for key, (name, words) in STAGES.items()
        if _dict(evaluation, key)
    ]


def classes(evaluation: dict[str, Any], tagged: dict[str, int]) -> list[ClassScore]:
    """IoU of each class at each stage, background first, then in the classes' order; none if nothing was measured.

    Args:
        evaluation: evaluation.json.
        tagged: number of images with each tag.
    """
    measured = stages(evaluation)
    names = dict.fromkeys(["background", *tagged, *(name for row in measured for name in _dict(row.score, "iou"))])
    return [
        ClassScore(
            name,
            tagged.get(name),
            {row.key: _number(_dict(row.score, "iou").get(name)) for row in measured},
            {row.key: _number(_dict(row.oracle, "iou").get(name)) for row in measured if row.oracle},
        )
        for name in (names if measured else ())
    ]


def notes(evaluation: dict[str, Any]) -> list[str]:
    """Warn of stages whose mIoU comes from the background alone; a mean over few classes can hide that."""
    found = []
    for row in stages(evaluation):
        iou = _dict(row.score, "iou")
        best = max((value for name, value in iou.items() if name != "background" and is_number(value)), default=None)
        if best is not None and best < ALMOST_NOTHING:
            rest = f", the background {percent(iou['background'])}" if is_number(iou.get("background")) else ""
            found.append(f"{row.name}: no class reaches an IoU of {ALMOST_NOTHING} %{rest}.")
    return found


def threshold_chart(evaluation: dict[str, Any]) -> Markup:
    """Draw the mIoU of seed and mask against the threshold, with the one in use and the oracle's; empty if unknown."""
    lines, dots = [], []
    for row in stages(evaluation):
        curve = _dict(row.score, "curve")
        pairs = zip(curve.get("thresholds") or [], curve.get("miou") or [], strict=False)
        points = [(float(x), float(y)) for x, y in pairs if is_number(x) and is_number(y)]
        if not points:
            continue
        lines.append(Line(row.name, [x for x, _ in points], [y for _, y in points], row.key))
        for part, word, hollow in ((row.score, "in use", False), (row.oracle, "best", True)):
            if is_number(part.get("threshold")) and is_number(part.get("miou")):
                name = f"{row.name}, {word}: {percent(part['miou'])} at {part['threshold']:.2f}"
                dots.append(Dot(name, float(part["threshold"]), float(part["miou"]), row.key, hollow))
    title = "mIoU by threshold. " + "; ".join(dot.name for dot in dots)
    return line_chart(
        lines, title=title, x_label="threshold", y_label="mIoU", unit=" %", dots=dots, width=680, height=300
    )


def tag_splits(evaluation: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """How well the tags are known, by split: training first."""
    tags = _dict(evaluation, "tags")
    order = [key for key in SPLITS if key in tags] + [key for key in tags if key not in SPLITS]
    return [
        (SPLITS.get(key, key), tags[key])
        for key in order
        if isinstance(tags[key], dict) and tags[key].get("images") != 0
    ]


def tag_classes(
    names: Sequence[str], parts: list[tuple[str, dict[str, Any]]]
) -> list[tuple[str, list[dict[str, Any]]]]:
    """How well each tag is known: one row a class, one entry a split."""
    known = dict.fromkeys([*names, *(name for _, part in parts for name in _dict(part, "by_class"))])
    return [(name, [_dict(_dict(part, "by_class"), name) for _, part in parts]) for name in known]


def conditions(row: StageScore) -> str:
    """How a stage was measured: its scales, and the split where it is not all images."""
    score = row.score
    scales = score.get("scales")
    words = []
    if isinstance(scales, list) and scales:
        numbers = listing([f"{scale:g}" for scale in scales if is_number(scale)])
        words.append(f"image scale{'' if len(scales) == 1 else 's'} {numbers}")
    if score.get("split") not in (None, "all"):
        words.append(f"{SPLITS.get(str(score['split']), score['split'])} images only")
    return ", ".join(words)


def _dict(value: dict[str, Any] | None, key: str) -> dict[str, Any]:
    inner = (value or {}).get(key)
    return inner if isinstance(inner, dict) else {}


def _number(value: Any) -> float | None:
    return float(value) if is_number(value) else None
