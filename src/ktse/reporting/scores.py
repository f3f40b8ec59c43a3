"""What evaluation.json says, arranged for reading: stages, classes, splits, tags, thresholds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from ktse.reporting.charts import Dot, Line, line_chart
from ktse.reporting.wording import is_number, percent

STAGES = {
    "seed": ("Seed", "the CAM, cut at the threshold"),
    "mask": ("Mask", "the seed after refinement; the segmentation model learns from the masks"),
    "fused": ("Fused mask", "mask and segmentation model together, limited to the image's tags"),
    "prediction": ("Prediction", "the segmentation model alone, without tags, as for new photos"),
}
NOT_FOUND_BELOW = 5
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
        return part.get("miou") if part.get("images") else None

    @property
    def gap(self) -> float | None:
        """Points of mIoU by which the best threshold is better than the one in use."""
        best, used = self.oracle.get("miou"), self.score.get("miou")
        return best - used if is_number(best) and is_number(used) else None


def stages(evaluation: dict[str, Any]) -> list[StageScore]:
    """The measured stages in order."""
    return [
        StageScore(key, name, words, _dict(evaluation, key), _dict(_dict(evaluation, key), "oracle"))
        for key, (name, words) in STAGES.items()
        if _dict(evaluation, key)
    ]


def classes(evaluation: dict[str, Any], tagged: dict[str, int]) -> list[dict[str, Any]]:
    """Rows of the table of classes: background first, then in the classes' order; none if nothing was measured.

    Args:
        evaluation: evaluation.json.
        tagged: number of images with each tag.

    Returns:
        name; images: number of images with its tag, None for the background; iou: by stage, in percent, None where
        unknown; oracle: the same at the oracle's threshold.
    """
    measured = stages(evaluation)
    if not measured:
        return []
    iou = {row.key: _dict(row.score, "iou") for row in measured}
    oracle = {row.key: _dict(row.oracle, "iou") for row in measured}
    return [
        {"name": name, "images": tagged.get(name), "iou": _of(iou, name), "oracle": _of(oracle, name)}
        for name in dict.fromkeys(["background", *tagged, *(name for found in iou.values() for name in found)])
    ]


def _of(iou: dict[str, dict[str, Any]], name: str) -> dict[str, Any]:
    return {stage: found.get(name) for stage, found in iou.items()}


def notes(evaluation: dict[str, Any]) -> list[str]:
    """Warn of stages whose mIoU comes from the background alone; a mean over few classes can hide that."""
    found = []
    for row in stages(evaluation):
        iou = _dict(row.score, "iou")
        best = max((value for name, value in iou.items() if name != "background" and is_number(value)), default=None)
        if best is not None and best < NOT_FOUND_BELOW:
            rest = f", the background {percent(iou['background'])}" if is_number(iou.get("background")) else ""
            found.append(f"{row.name}: no class reaches an IoU of {NOT_FOUND_BELOW} %{rest}.")
    return found


def threshold_chart(evaluation: dict[str, Any]) -> Markup:
    """Draw the mIoU of seed and mask against the threshold, with the one in use and the oracle's; empty if unknown."""
    lines, dots = [], []
    for row in stages(evaluation):
        curve = _dict(row.score, "curve")
        points = list(zip(curve.get("thresholds") or [], curve.get("miou") or [], strict=False))
        known = [(float(x), float(y)) for x, y in points if is_number(x) and is_number(y)]
        if not known:
            continue
        lines.append(Line(row.name, [x for x, _ in known], [y for _, y in known], row.key))
        for part, word, hollow in ((row.score, "in use", False), (row.oracle, "best", True)):
            x, y = part.get("threshold"), part.get("miou")
            if is_number(x) and is_number(y):
                dots.append(Dot(f"{row.name}, {word}: {percent(y)} at {x:.2f}", float(x), float(y), row.key, hollow))
    title = "mIoU by threshold. " + "; ".join(dot.name for dot in dots)
    return line_chart(
        lines, title=title, x_label="threshold", y_label="mIoU", unit=" %", dots=dots, width=680, height=300
    )


def tag_splits(evaluation: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """How well the tags are known, by split: training first."""
    tags = _dict(evaluation, "tags")
    order = sorted(tags, key=lambda key: list(SPLITS).index(key) if key in SPLITS else len(SPLITS))
    return [(SPLITS.get(key, key), _dict(tags, key)) for key in order if _dict(tags, key).get("images") != 0]


def _dict(value: dict[str, Any] | None, key: str) -> dict[str, Any]:
    inner = (value or {}).get(key)
    return inner if isinstance(inner, dict) else {}
