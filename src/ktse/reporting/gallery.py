"""The images of the page: one of each class, those that need a look, those to draw, and all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np

from ktse.files import read_table
from ktse.quality.verdict import LEVELS
from ktse.reporting.chosen_images import one_per_class, to_draw, to_look_at
from ktse.reporting.facts import Facts
from ktse.reporting.pictures import Painter, Picture, colour
from ktse.reporting.wording import clip
from ktse.run_folder import RunFolder

MOST_CLASS_ROWS, MOST_TO_LOOK_AT, MOST_TO_DRAW = 20, 6, 5
"""Images that are shown by class, that need a look, and that are to be drawn."""

PICTURES_IN_A_ROW = 6
"""Without the mask of another method."""

LIST_CHARACTERS = 1_000_000
"""Characters that the list of all images may take, without its pictures."""

SMALL_CHARACTERS, SMALL_LEAST, SMALL_PIXELS = 800_000, 3_500, 400_000_000
"""Characters of all small pictures and the fewest that one needs; pixels that are decoded for them."""

ROW_CHARACTERS, LARGEST_PICTURE = 1_900_000, 45_000
"""Characters of all pictures in rows, and of one of them at most."""

MOST_TAGS = 20
"""Tags of an image that are named."""


@dataclass(frozen=True)
class Shown:
    """One image on the page.

    Attributes:
        image_id: its name.
        about: the class that it stands for, or empty.
        level: verdict on that class, or empty.
        why: why it was chosen, in words.
        split: "training" or "validation".
        tags: names of its tagged classes, each with its colour as "#rrggbb"; at most MOST_TAGS.
        confidence: of its mask, 0..1, if known.
        iou: its mean IoU by stage, in percent, where it was measured.
        pictures: photo first; in the list of all images at most one.
    """

    image_id: str
    about: str
    level: str
    why: str
    split: str
    tags: list[tuple[str, str]]
    confidence: float | None
    iou: dict[str, float]
    pictures: list[Picture]


@dataclass(frozen=True)
class _Known:
    """What is known of each image, in the order of the data: confidence and IoU by stage, NaN where unknown."""

    facts: Facts
    confidence: np.ndarray
    iou: dict[str, np.ndarray]

    @property
    def measured(self) -> str:
        """The last stage that was measured."""
        found = (key for key in ("fused", "mask", "prediction", "seed") if np.isfinite(self.iou[key]).any())
        return next(found, "")

    @property
    def confident(self) -> bool:
        """Whether images have a confidence."""
        return bool(np.isfinite(self.confidence).any())

    @property
    def order(self) -> np.ndarray:
        """(N,) what images are ordered by: confidence, else IoU."""
        return self.confidence if self.confident or not self.measured else self.iou[self.measured]

    def shown(self, index: int, pictures: list[Picture], about: int | None = None, why: str = "") -> Shown:
        """An image with its pictures; about: the class 0..C-1 that it stands for."""
        data = self.facts.data
        tags = np.flatnonzero(data.tags[index]).tolist()[:MOST_TAGS]
        confidence = float(self.confidence[index])
        return Shown(
            image_id=clip(data.ids[index], 160),
            about="" if about is None else clip(data.classes[about]),
            level="" if about is None else self.facts.levels.get(data.classes[about], ""),
            why=why,
            split="validation" if data.validation[index] else "training",
            tags=[(clip(data.classes[k]), colour(k + 1)) for k in tags],
            confidence=confidence if np.isfinite(confidence) else None,
            iou={key: float(values[index]) for key, values in self.iou.items() if np.isfinite(values[index])},
            pictures=pictures,
        )


def gallery(facts: Facts) -> dict[str, Any]:
    """Choose images and draw them; whatever the run, the pictures stay within their budgets.

    Returns:
        classes: a typical image of each class, the worst classes first;
        untagged: classes that no image has; left: number of classes without a row of their own;
        look: images that need a look;
        draw: images to draw a mask of, with their photos; drawn: names of the classes that these show;
        images: all images, the least confident first, as far as there is space; total: their number;
        confident: the images are ordered by confidence;
        measured: stage whose IoU the list gives, empty if none was measured;
        legend: name and colour of the classes in the pictures; undecided: some picture shows undecided pixels.

    Raises:
        RunError: a file of the run is damaged.
    """
    data = facts.data
    confidence = _column(read_table(facts.run.path("masks", "confidence.csv")), "confidence", data.ids)
    known = _Known(facts, confidence, image_scores(facts.run, data.ids))
    painter = Painter(facts.run, data, facts.truth, facts.other)
    score, basis = (known.iou[known.measured], "IoU") if known.measured else (known.order, "confidence")
    worst_first = sorted(
        range(len(data.classes)), key=lambda k: -LEVELS.index(facts.levels.get(data.classes[k], "good"))
    )
    chosen = one_per_class(data.tags, score, (facts.has_truth, facts.has_other), worst_first, MOST_CLASS_ROWS)
    look = to_look_at(data.tags, known.order, {index for _, index in chosen}, MOST_TO_LOOK_AT)
    pictures = (PICTURES_IN_A_ROW + bool(facts.other)) * max(1, len(chosen) + len(look)) + MOST_TO_DRAW
    allowance = min(LARGEST_PICTURE, ROW_CHARACTERS // pictures)
    calibrated = (facts.masks.get("calibration") or {}).get("images") or []
    without_truth = ~facts.has_truth & data.tags.any(axis=1)
    free = ~facts.has_truth if without_truth.sum() >= MOST_TO_DRAW else np.ones(len(data), bool)
    draw = to_draw(data.tags, known.order, free & ~np.isin(data.ids, calibrated), MOST_TO_DRAW)
    untagged = [clip(name) for name, count in zip(data.classes, data.tags.sum(axis=0), strict=True) if count == 0]
    found = {
        "classes": [
            known.shown(index, painter.row(index, allowance), k, _place(data.tags[:, k], score, index, basis))
            for k, index in chosen
        ],
        "look": [known.shown(index, painter.row(index, allowance)) for index in look],
    }
    return {
        **found,
        "legend": [(clip(data.classes[label - 1]), colour(label)) for label in sorted(painter.shown)[:60]],
        "undecided": painter.undecided,
        "untagged": untagged[:MOST_CLASS_ROWS],
        "left": len(data.classes) - len(chosen) - len(untagged),
        "draw": [known.shown(index, [painter.photo_picture(index, allowance // 2)]) for index in draw],
        "drawn": [name for k, name in enumerate(data.classes) if data.tags[draw, k].any()],
        "images": _all_images(known, painter),
        "total": len(data),
        "confident": known.confident,
        "measured": known.measured,
    }


def image_scores(run: RunFolder, ids: Sequence[str]) -> dict[str, np.ndarray]:
    """The columns "seed", "mask", "fused" and "prediction" of evaluation_images.csv: (N,) percent, NaN if not measured.

    Raises:
        RunError: the file is damaged.
    """
    rows = read_table(run.path("evaluation_images.csv"))
    return {key: _column(rows, key, ids) for key in ("seed", "mask", "fused", "prediction")}


def _column(rows: list[dict[str, str]], name: str, ids: Sequence[str]) -> np.ndarray:
    place = {image_id: index for index, image_id in enumerate(ids)}
    found = np.full(len(ids), np.nan)
    for row in rows:
        try:
            value = float(row.get(name) or "nan")
        except ValueError:
            continue
        if row["id"] in place and np.isfinite(value):
            found[place[row["id"]]] = value
    return found


def _place(tagged: np.ndarray, score: np.ndarray, index: int, basis: str) -> str:
    """Where an image is among those with a tag, in words."""
    known = score[tagged & np.isfinite(score)]
    if not np.isfinite(score[index]):
        return ""
    return f"typical: place {1 + int((known > score[index]).sum()):,} of {len(known):,} by {basis}"


def _all_images(known: _Known, painter: Painter) -> list[Shown]:
    """As many images as there is space for, the least confident first; pictures of the first of them."""
    order = np.argsort(known.order, kind="stable").tolist()  # NaN comes last
    count = min(len(order), SMALL_CHARACTERS // SMALL_LEAST)
    allowance = min(LARGEST_PICTURE, SMALL_CHARACTERS // max(1, count))
    has_masks = painter.run.path("masks").is_dir()
    found: list[Shown] = []
    space, pixels = LIST_CHARACTERS, SMALL_PIXELS
    for place, index in enumerate(order):
        pictures: list[Picture] = []
        if place < count and pixels > 0 and has_masks:
            pictures, decoded = painter.small(index, allowance)
            pixels -= decoded
        row = known.shown(index, pictures)
        space -= 220 + len(escape(row.image_id)) + sum(8 + len(escape(name)) for name, _ in row.tags)
        if space < 0:
            break
        found.append(row)
    return found
