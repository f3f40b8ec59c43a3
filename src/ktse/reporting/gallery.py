"""The images of the page: one of each class, those that need a look, those to draw, and all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from ktse.files import read_table
from ktse.quality.verdict import LEVELS
from ktse.reporting.choice import one_per_class, to_draw, to_look_at
from ktse.reporting.facts import Facts
from ktse.reporting.pictures import Painter, Picture, colour, data_uri
from ktse.reporting.wording import clip
from ktse.run_folder import RunFolder

ROWS, LOOK, DRAW = 20, 6, 5
"""Rows by class, images that need a look, and images to draw."""

KINDS = 6
"""Pictures in a row."""

LIST = 1_000_000
"""Characters that the list of all images may take, without its pictures."""

THUMBS, EACH, PIXELS = 800_000, 3_500, 400_000_000
"""Characters of all small pictures and the fewest that one needs; pixels that are decoded for them."""

PICTURES, LARGE = 1_900_000, 45_000
"""Characters of all pictures in rows, and of one of them at most."""

TAGS = 20
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
        tags: names of its tagged classes, each with its colour as "#rrggbb"; at most TAGS.
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
class Gallery:
    """The images of the page.

    Attributes:
        classes: a typical image of each class, the worst classes first.
        untagged: classes that no image has.
        left: number of classes without a row of their own.
        look: images that need a look.
        draw: images to draw a mask of, with their photos.
        drawn: names of the classes that these show.
        images: all images, the least confident first, as far as there is space.
        total: number of images.
        confident: the images are ordered by confidence.
        measured: stage whose IoU the list gives; empty if none was measured.
        legend: name and colour of the classes in the pictures.
        undecided: some picture shows undecided pixels.
    """

    classes: list[Shown]
    untagged: list[str]
    left: int
    look: list[Shown]
    draw: list[Shown]
    drawn: list[str]
    images: list[Shown]
    total: int
    confident: bool
    measured: str
    legend: list[tuple[str, str]]
    undecided: bool


@dataclass(frozen=True)
class _Table:
    """What is known of each image, in the order of the data: confidence and IoU by stage, NaN where unknown."""

    confidence: np.ndarray
    iou: dict[str, np.ndarray]

    @property
    def measured(self) -> str:
        """The last stage that was measured."""
        found = (key for key in ("fused", "mask", "prediction", "seed") if np.isfinite(self.iou[key]).any())
        return next(found, "")

    @property
    def order(self) -> np.ndarray:
        """(N,) what images are ordered by: confidence, else IoU."""
        if np.isfinite(self.confidence).any() or not self.measured:
            return self.confidence
        return self.iou[self.measured]


def gallery(facts: Facts) -> Gallery:
    """Choose images and draw them; whatever the run, the pictures stay within their budgets.

    Raises:
        RunError: a file of the run is damaged.
    """
    data, table = facts.data, _table(facts)
    painter = Painter(facts.run, data, facts.truth)
    score = table.iou[table.measured] if table.measured else table.order
    chosen = one_per_class(data.tags, score, facts.has_truth, _worst_first(facts), ROWS)
    look = to_look_at(data.tags, table.order, {index for _, index in chosen}, LOOK)
    allowance = min(LARGE, PICTURES // (KINDS * max(1, len(chosen) + len(look)) + DRAW))
    basis = "IoU" if table.measured else "confidence"
    classes = [
        _shown(facts, table, index, painter.row(index, allowance), k, _place(data.tags[:, k], score, index, basis))
        for k, index in chosen
    ]
    looked = [_shown(facts, table, index, painter.row(index, allowance)) for index in look]
    legend = [(clip(data.classes[label - 1]), colour(label)) for label in sorted(painter.shown)[:60]]
    calibrated = (facts.masks.get("calibration") or {}).get("images") or []
    free = ~facts.has_truth if (~facts.has_truth & data.tags.any(axis=1)).sum() >= DRAW else np.ones(len(data), bool)
    draw = to_draw(data.tags, table.order, free & ~np.isin(data.ids, calibrated), DRAW)
    without = data.tags.sum(axis=0) == 0
    return Gallery(
        classes=classes,
        untagged=[clip(name) for name, none in zip(data.classes, without, strict=True) if none][:ROWS],
        left=len(data.classes) - len(chosen) - int(without.sum()),
        look=looked,
        draw=[_shown(facts, table, index, _photo(painter, index, allowance)) for index in draw],
        drawn=[name for k, name in enumerate(data.classes) if data.tags[draw, k].any()],
        images=_all_images(facts, table, painter),
        total=len(data),
        confident=bool(np.isfinite(table.confidence).any()),
        measured=table.measured,
        legend=legend,
        undecided=painter.undecided,
    )


def image_scores(run: RunFolder, ids: Sequence[str]) -> dict[str, np.ndarray]:
    """The columns "seed", "mask", "fused" and "prediction" of evaluation_images.csv: (N,) percent, NaN if not measured.

    Raises:
        RunError: the file is damaged.
    """
    rows = read_table(run.path("evaluation_images.csv"))
    return {key: _column(rows, key, ids) for key in ("seed", "mask", "fused", "prediction")}


def _table(facts: Facts) -> _Table:
    ids = facts.data.ids
    confidence = _column(read_table(facts.run.path("masks", "confidence.csv")), "confidence", ids)
    return _Table(confidence, image_scores(facts.run, ids))


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


def _worst_first(facts: Facts) -> list[int]:
    """Classes, those with the worst verdict first, then in their own order."""
    levels = facts.verdict.classes if facts.verdict else {}
    names = facts.data.classes
    return sorted(range(len(names)), key=lambda k: -LEVELS.index(levels.get(names[k], "good")))


def _place(tagged: np.ndarray, score: np.ndarray, index: int, basis: str) -> str:
    """Where an image is among those with a tag, in words."""
    known = score[tagged & np.isfinite(score)]
    if not np.isfinite(score[index]):
        return ""
    return f"typical: place {1 + int((known > score[index]).sum()):,} of {len(known):,} by {basis}"


def _shown(
    facts: Facts, table: _Table, index: int, pictures: list[Picture], about: int | None = None, why: str = ""
) -> Shown:
    levels = facts.verdict.classes if facts.verdict else {}
    data = facts.data
    tags = np.flatnonzero(data.tags[index]).tolist()[:TAGS]
    return Shown(
        image_id=clip(data.ids[index], 160),
        about="" if about is None else clip(data.classes[about]),
        level="" if about is None else levels.get(data.classes[about], ""),
        why=why,
        split="validation" if data.validation[index] else "training",
        tags=[(clip(data.classes[k]), colour(k + 1)) for k in tags],
        confidence=float(table.confidence[index]) if np.isfinite(table.confidence[index]) else None,
        iou={key: float(values[index]) for key, values in table.iou.items() if np.isfinite(values[index])},
        pictures=pictures,
    )


def _photo(painter: Painter, index: int, allowance: int) -> list[Picture]:
    photo, problem = painter.photo(index)
    words = problem or f"Photo {clip(painter.data.ids[index])}"
    return [Picture("photo", "Photo", data_uri(photo, allowance // 2) if photo is not None else "", words)]


def _all_images(facts: Facts, table: _Table, painter: Painter) -> list[Shown]:
    """As many images as there is space for, the least confident first; pictures of the first of them."""
    data, order = facts.data, np.argsort(table.order, kind="stable")  # NaN comes last
    count = min(len(order), THUMBS // EACH)
    allowance = min(LARGE, THUMBS // max(1, count))
    found: list[Shown] = []
    space, pixels = LIST, PIXELS
    for place, index in enumerate(order.tolist()):
        pictures = []
        if place < count and pixels > 0 and facts.run.path("masks").is_dir():
            source, decoded = painter.small(index, allowance)
            words = f"Mask of {clip(data.ids[index])}"
            pictures, pixels = [Picture("mask", "Mask", source, words)] if source else [], pixels - decoded
        row = _shown(facts, table, index, pictures)
        space -= 220 + len(escape(row.image_id)) + sum(8 + len(escape(name)) for name, _ in row.tags)
        if space < 0:
            break
        found.append(row)
    return found
