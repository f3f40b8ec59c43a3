"""What evaluation.json says, arranged for reading: outcome, stages, classes, splits, tags, thresholds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from ktse.reporting.charts import Dot, Line, line_chart
from ktse.reporting.wording import count, is_number, listing, number, plural

STAGES = {
    "seed": ("Seed", "the CAM, cut at a threshold"),
    "mask": ("Mask", "the seed after refinement, which the segmentation model learns from"),
    "fused": ("Fused mask", "mask and segmentation model together, among the image's tags: what you take away"),
    "prediction": ("Prediction", "the segmentation model's answer from the photo alone"),
}
ALMOST_NOTHING = 5
"""IoU in per cent below which a class counts as not found."""

SPLITS = {"train": "training", "validation": "validation"}


@dataclass(frozen=True)
class StageScore:
    """One row of the table of stages.

    Attributes:
        key, name, words: which stage, and what it is.
        score: its part of evaluation.json; None if it was not measured.
        oracle: the same at the threshold chosen on the truth, if there is one.
    """

    key: str
    name: str
    words: str
    score: dict[str, Any] | None
    oracle: dict[str, Any] | None


@dataclass(frozen=True)
class ClassScore:
    """One row of the table of classes.

    Attributes:
        name: of the class.
        images: number of images with its tag; None for the background.
        iou: by stage, in per cent, None where unknown.
        oracle: the same at the oracle's threshold.
    """

    name: str
    images: int | None
    iou: dict[str, float | None]
    oracle: dict[str, float | None]


def stages(evaluation: dict[str, Any]) -> list[StageScore]:
    """The stages in order, measured or not; masks need not be fused."""
    rows = []
    for key, (name, words) in STAGES.items():
        score = _dict(evaluation, key)
        if key == "fused" and not score:
            continue
        rows.append(StageScore(key, name, words, score or None, _dict(score, "oracle") or None))
    return rows


def classes(evaluation: dict[str, Any], tagged: dict[str, int]) -> list[ClassScore]:
    """IoU of each class at each stage, background first, then in the classes' order.

    Args:
        evaluation: evaluation.json.
        tagged: number of images with each tag.
    """
    measured = [row for row in stages(evaluation) if row.score]
    names = dict.fromkeys(["background", *tagged])
    names.update(dict.fromkeys(name for row in measured for name in _dict(row.score, "iou")))
    if not measured:
        return []
    rows = []
    for name in names:
        plain = {row.key: _number(_dict(row.score, "iou").get(name)) for row in measured}
        best = {row.key: _number(_dict(row.oracle, "iou").get(name)) for row in measured if row.oracle}
        rows.append(ClassScore(name, tagged.get(name), plain, best))
    return rows


def notes(evaluation: dict[str, Any]) -> list[str]:
    """Warn of stages whose mIoU comes from the background alone, which a mean over few classes can hide."""
    found = []
    for row in stages(evaluation):
        iou = [value for name, value in _dict(row.score, "iou").items() if name != "background" and is_number(value)]
        if iou and max(iou) < ALMOST_NOTHING:
            words = f"no class reaches an IoU of {ALMOST_NOTHING} %; nearly all of its mIoU comes from the background"
            found.append(f"{row.name}: {words}.")
    return found


def splits(evaluation: dict[str, Any]) -> list[tuple[str, dict[str, dict[str, Any]]]]:
    """The mIoU by split of each measured stage; none where there is only one split."""
    rows = []
    for row in stages(evaluation):
        parts = {
            key: part
            for key, part in _dict(row.score, "by_split").items()
            if isinstance(part, dict) and part.get("images")
        }
        if len(parts) > 1:
            rows.append((row.name, parts))
    return rows


def threshold_chart(evaluation: dict[str, Any]) -> Markup:
    """Draw the mIoU of seed and mask against the threshold, with the one in use and the oracle's; empty if unknown."""
    lines, dots = [], []
    for row in stages(evaluation):
        curve = _dict(row.score, "curve")
        pairs = zip(curve.get("thresholds") or [], curve.get("miou") or [], strict=False)
        points = [(float(x), float(y)) for x, y in pairs if is_number(x) and is_number(y)]
        if not points or row.score is None:
            continue
        lines.append(Line(row.name, [x for x, _ in points], [y for _, y in points], row.key))
        for part, word, hollow in ((row.score, "in use", False), (row.oracle or {}, "oracle", True)):
            if is_number(part.get("threshold")) and is_number(part.get("miou")):
                name = f"{row.name}, {word}: {part['miou']:.1f} at {part['threshold']:.2f}"
                dots.append(Dot(name, float(part["threshold"]), float(part["miou"]), row.key, hollow))
    title = "mIoU against the threshold. " + "; ".join(dot.name for dot in dots)
    return line_chart(lines, title=title, x_label="threshold", y_label="mIoU", dots=dots, width=680, height=300)


def averaged(rows: list[StageScore]) -> str:
    """Over how many classes, background included, the means are taken: "8", or "7 or 8" where stages differ."""
    amounts = {sum(is_number(value) for value in _dict(row.score, "iou").values()) for row in rows if row.score}
    return " or ".join(map(str, sorted(amounts)))


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


def outcome(evaluation: dict[str, Any], images: int, class_count: int, *, masks: bool, truth: bool) -> str:
    """The run in a sentence or two.

    Args:
        evaluation: evaluation.json, or nothing.
        images: how many the data have.
        class_count: how many classes they have, without background.
        masks: there are masks.
        truth: there are true masks.
    """
    start = f"{plural(images, 'image')}, {plural(class_count, 'class', 'classes')}."
    scored = {row.key: row.score for row in stages(evaluation) if row.score and is_number(row.score.get("miou"))}
    if not scored:
        if not masks:
            return f"{start} There are no masks yet."
        if truth:
            return f"{start} The masks are made, but not yet measured against the true masks."
        return (
            f"{start} No true masks were given, so accuracy is unknown; look first at the least confident masks below."
        )
    subjects = {
        "fused": "The fused masks reach", "mask": "The masks reach", "seed": "The seeds reach",
        "prediction": "the segmentation model, which sees no tags, reaches",
    }  # fmt: skip
    first = next(key for key in ("fused", "mask", "seed", "prediction") if key in scored)
    where = f"on the {_images(scored[first])} with a true mask"
    text = f"{subjects[first]} {number(scored[first]['miou'])} mIoU {where}"
    if first != "prediction" and "prediction" in scored:
        other = scored["prediction"]
        same = other.get("images") == scored[first].get("images")
        text += f"; {subjects['prediction']} {number(other['miou'])}" + ("" if same else f" on {_images(other)}")
    return f"{start} {text[0].upper()}{text[1:]}."


def conditions(row: StageScore) -> str:
    """How a stage was measured: its scales, and the split where it is not all images."""
    score = row.score or {}
    scales = score.get("scales")
    words = []
    if isinstance(scales, list) and scales:
        numbers = listing([f"{scale:g}" for scale in scales if is_number(scale)])
        words.append(f"image scale{'' if len(scales) == 1 else 's'} {numbers}")
    if score.get("split") not in (None, "all"):
        words.append(f"{SPLITS.get(str(score['split']), score['split'])} images only")
    return ", ".join(words)


def _images(score: dict[str, Any]) -> str:
    images = score.get("images")
    return f"{count(images)} image{'' if images == 1 else 's'}" if is_number(images) else "images"


def _dict(value: dict[str, Any] | None, key: str) -> dict[str, Any]:
    inner = (value or {}).get(key)
    return inner if isinstance(inner, dict) else {}


def _number(value: Any) -> float | None:
    return float(value) if is_number(value) else None
