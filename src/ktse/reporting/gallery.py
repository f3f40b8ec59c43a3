"""Which images to show, and their pictures: photo, CAM, masks, prediction and truth side by side."""

from __future__ import annotations

import base64
import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from ktse.data.masks import Truth
from ktse.data.sample import TaggedImages
from ktse.errors import DataError, RunError
from ktse.reporting.wording import listing
from ktse.run_folder import RunFolder, read_label_map, read_npz, undecided
from ktse.visual import class_scores_overlay, colours, overlay

LONG_SIDE = 352
EACH = 4


@dataclass(frozen=True)
class Picture:
    """One picture of a row.

    Attributes:
        name: column.
        source: data URI, or empty if there is none.
        words: what it shows, for those who cannot see it; or why there is none.
    """

    name: str
    source: str
    words: str


@dataclass(frozen=True)
class Row:
    """One image with everything that the run made of it.

    Attributes:
        image_id: its name.
        rank: place by mask IoU or confidence, from 1.
        split: "training" or "validation".
        tags: names of its tagged classes, each with its colour as "#rrggbb".
        scores: per-image mIoU by stage, in per cent.
        confidence: of its mask, 0..1, if known.
        pictures: photo first.
    """

    image_id: str
    rank: int
    split: str
    tags: list[tuple[str, str]]
    scores: dict[str, float]
    confidence: float | None
    pictures: list[Picture]


@dataclass
class Gallery:
    """Groups of rows.

    Attributes:
        by: "fused", "mask", "prediction", "seed" (per-image IoU), "confidence", or empty if images cannot be ranked.
        ranked: number of ranked images.
        groups: best, median, worst; by confidence the least confident first, since those want looking at.
        classes: name and colour of the classes that occur in the rows.
        undecided: some mask has undecided pixels.
    """

    by: str = ""
    ranked: int = 0
    groups: list[tuple[str, list[Row]]] = field(default_factory=list)
    classes: dict[str, str] = field(default_factory=dict)
    undecided: bool = False


def gallery(run: RunFolder, data: TaggedImages, truth: Truth | None) -> Gallery:
    """Choose images by mask IoU, or by confidence where there is no truth, and draw them.

    Raises:
        RunError: a file of the run is damaged.
    """
    measured = read_table(run.path("evaluation_images.csv"))
    scores = {row["id"]: _floats(row, ("seed", "mask", "fused", "prediction")) for row in measured}
    confidence = {row["id"]: _floats(row, ("confidence",)) for row in read_table(run.path("masks", "confidence.csv"))}
    number = {image_id: index for index, image_id in enumerate(data.ids)}
    by, ranking = "", {}
    choices = [*((stage, scores) for stage in ("fused", "mask", "prediction", "seed")), ("confidence", confidence)]
    for by, table in choices:
        ranking = {image_id: row[by] for image_id, row in table.items() if by in row and image_id in number}
        # Without a tag the mask is background by rule: right or wrong, it shows nothing of the method.
        ranking = {image_id: value for image_id, value in ranking.items() if data.tags[number[image_id]].any()}
        if ranking:
            break
    if not ranking:
        return Gallery()
    order = sorted(ranking, key=lambda image_id: (-ranking[image_id], image_id))
    result = Gallery(by=by, ranked=len(order))
    groups = list(zip(("Best", "Around the median", "Worst"), choose(len(order)), strict=True))
    if by == "confidence":
        names = ("Least confident", "Around the median", "Most confident")
        groups = list(zip(names, reversed(choose(len(order))), strict=True))
    for name, places in groups:
        rows = []
        for place in places:
            image_id = order[place]
            index = number[image_id]
            rows.append(
                Row(
                    image_id=image_id,
                    rank=place + 1,
                    split="validation" if data.validation[index] else "training",
                    tags=[(data.classes[k], colour(k + 1)) for k in np.flatnonzero(data.tags[index]).tolist()],
                    scores=scores.get(image_id, {}),
                    confidence=confidence.get(image_id, {}).get("confidence"),
                    pictures=_pictures(run, data, truth, index, result),
                )
            )
        if rows:
            result.groups.append((name, rows))
    result.classes = {name: result.classes[name] for name in data.classes if name in result.classes}
    return result


def choose(count: int, each: int = EACH) -> tuple[list[int], list[int], list[int]]:
    """Places in a ranking to show, none twice: the first, those around the middle, and the last, from the very last."""
    some = min(each, max(1, count // 3))
    start = (count - some + 1) // 2
    best = list(range(min(some, count)))
    worst = [place for place in range(count - 1, count - 1 - some, -1) if place >= some]
    middle = [place for place in range(start, start + some) if some <= place < count - some]
    return best, middle, worst


def colour(label: int) -> str:
    """Colour of a class 1..C as "#rrggbb"."""
    red, green, blue = colours(np.array(label, dtype=np.uint16))
    return f"#{red:02x}{green:02x}{blue:02x}"


def data_uri(image: Image.Image) -> str:
    """An image inside a page, as JPEG."""
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, "JPEG", quality=82, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def read_table(path: Path) -> list[dict[str, str]]:
    """Rows of a CSV file of the run that has a column `id`; none for a missing file.

    Raises:
        RunError: it is damaged.
    """
    if not path.is_file():
        return []
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file, strict=True))
    except (csv.Error, UnicodeDecodeError) as error:
        raise RunError(f"{path} is damaged", where=str(error), hint="Remove it and repeat the stage.") from error
    if any(row.get("id") is None for row in rows):
        raise RunError(f"{path} is damaged", where="no column 'id'", hint="Remove it and repeat the stage.")
    return rows


def _floats(row: dict[str, str], names: Sequence[str]) -> dict[str, float]:
    """The cells that hold finite numbers."""
    found = {}
    for name in names:
        try:
            value = float(row.get(name) or "nan")
        except ValueError:
            continue
        if np.isfinite(value):
            found[name] = value
    return found


def _pictures(run: RunFolder, data: TaggedImages, truth: Truth | None, index: int, result: Gallery) -> list[Picture]:
    image_id = data.ids[index]
    for k in np.flatnonzero(data.tags[index]).tolist():
        result.classes[data.classes[k]] = colour(k + 1)
    try:
        photo = data.read(index)
    except DataError as error:
        return [Picture("Photo", "", f"The photo cannot be read: {error.what}")]
    photo.thumbnail((LONG_SIDE, LONG_SIDE), Image.Resampling.LANCZOS)
    pictures = [Picture("Photo", data_uri(photo), f"Photo {image_id}")]
    if run.path("seeds").is_dir():
        pictures.append(_cam(run.seed_path(image_id), photo, data.classes))
    labels = [
        ("Mask", run.path("masks"), run.mask_path(image_id)),
        ("Fused mask", run.path("fused"), run.fused_path(image_id)),
        ("Prediction", run.path("predictions"), run.prediction_path(image_id)),
    ]
    for name, folder, path in labels:
        if path.is_file():
            pictures.append(_label(name, read_label_map(path), photo, data.classes, result))
        elif folder.is_dir():
            pictures.append(Picture(name, "", "none for this image"))
    if truth is not None and image_id in truth.paths:
        pictures.append(_label("True mask", truth.read(image_id), photo, data.classes, result))
    return pictures


def _cam(path: Path, photo: Image.Image, classes: Sequence[str]) -> Picture:
    if not path.is_file():
        return Picture("CAM", "", "none for this image")
    seed = read_npz(path)
    if "keys" not in seed or "cam" not in seed:
        raise RunError(f"{path} is damaged", where="no keys or no cam", hint="Remove it and repeat the stage.")
    keys = np.asarray(seed["keys"], dtype=np.int64)
    names = listing([classes[k] for k in keys if 0 <= k < len(classes)]) or "no class"
    return Picture("CAM", data_uri(class_scores_overlay(photo, seed["cam"], keys + 1)), f"CAM: {names}")


def _label(name: str, label: np.ndarray, photo: Image.Image, classes: Sequence[str], result: Gallery) -> Picture:
    values, sizes = np.unique(label, return_counts=True)
    words = []
    for value, size in zip(values.tolist(), sizes.tolist(), strict=True):
        part = f"{100 * size / label.size:.0f} %"
        if value == undecided(label):
            result.undecided = True
            words.append(f"undecided {part}")
        elif 1 <= value <= len(classes):
            result.classes[classes[value - 1]] = colour(value)
            words.append(f"{classes[value - 1]} {part}")
    shown = listing(words) or "background only"
    return Picture(name, data_uri(overlay(photo, label)), f"{name}: {shown}")
