"""Predictions of many images as files; what an earlier, interrupted call has finished is left alone.

OUT/ID.png              label map
OUT/confidence.csv      how sure the model is of each image, 0..1
OUT/overlays/ID.jpg     the labels over the photo, if asked for
OUT/probabilities/ID.npz   probability (C+1, h, w) float16, every `stride`-th pixel, if asked for
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Collection, Mapping
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image

from ktse.data.dataset import TaggedImages
from ktse.data.image import read_image
from ktse.data.image_files import list_folder
from ktse.data.names import image_ids
from ktse.errors import DataError
from ktse.files import MOST_TEXT, atomic, in_cell, of_cell, write_label_map, write_npz, write_table
from ktse.prediction.predictor import Predictor, within
from ktse.runtime.claims import Part, SharedImages
from ktse.runtime.console import say, track
from ktse.runtime.reading import reading
from ktse.runtime.words import many
from ktse.visual import overlay

LARGEST_OVERLAY = 2048
"""Longer side in pixels of an overlay, which is for looking at."""

CONFIDENCE = "confidence.csv"
CONFIDENCE_HEAD = ["image", "confidence"]

Images = Mapping[str, Callable[[], Image.Image]]
"""How to read each image, by name."""


class Beside(Protocol):
    """Something more that is made of an image's probabilities."""

    def add(self, top: int, probabilities: np.ndarray) -> None:
        """Take (C+1, rows, W) float32 from row `top` on; to be used up before the next ones come."""

    def write(self) -> None:
        """Write it, after the last row and before the label map."""


def predict_folder(predictor: Predictor, images: Path, out: Path) -> list[Path]:
    """Write the predictions of an image, or of every image in a folder and its subfolders.

    Returns:
        the label maps, those of an earlier call included.

    Raises:
        DataError: nothing to read, or images that cannot be read (the others are written first).
    """
    if images.is_file():
        return predict_all(predictor, {images.stem: partial(read_image, images)}, out)
    listing = list_folder(images)
    for note in listing.notes:
        say(f"predict: {note}")
    named = zip(image_ids(listing.files), listing.files, strict=True)
    return predict_all(predictor, {name: partial(read_image, images / file) for name, file in named}, out)


def predict_tagged(predictor: Predictor, data: TaggedImages, out: Path) -> list[Path]:
    """Write the predictions of images whose tags are known: no pixel gets another class.

    Returns:
        the label maps, those of an earlier call included.

    Raises:
        DataError: a tag is no class of the model, or images cannot be read (the others are written first).
    """
    for note in data.notes:
        say(f"predict: {note}")
    tags = {
        name: [data.classes[key] for key in np.flatnonzero(row)] for name, row in zip(data.ids, data.tags, strict=True)
    }
    used = [data.classes[key] for key in np.flatnonzero(data.tags.any(axis=0))]
    if unknown := [name for name in used if name not in predictor.classes]:
        hint = f"Its classes are {', '.join(predictor.classes)}. Rename these tags, or take them out."
        text = f"{many(len(unknown), 'tag is no class', 'tags are no classes')} of the model"
        raise DataError(text, where=unknown, hint=hint)
    return predict_all(predictor, {name: partial(data.read, index) for index, name in enumerate(data.ids)}, out, tags)


def predict_all(
    predictor: Predictor, images: Images, out: Path, tags: Mapping[str, Collection[str]] | None = None
) -> list[Path]:
    """Write the predictions of images, given by name and how to read them, and sort the table of confidences.

    Returns:
        the label maps, those of an earlier call included.

    Raises:
        DataError: images that cannot be read (the others are written first).
    """
    tidy(out)
    try:
        predict_files(predictor, images, out, tags=tags)
    finally:
        tidy(out)
    return [out / f"{name}.png" for name in images]


def predict_files(
    predictor: Predictor,
    images: Images,
    out: Path,
    beside: Callable[[str, Image.Image], Beside] | None = None,
    tags: Mapping[str, Collection[str]] | None = None,
    part: Part | None = None,
) -> None:
    """Write the predictions of images, given by name and how to read them.

    Args:
        predictor: what predicts.
        images: how to read each, by name.
        out: the folder.
        beside: what else to make of each.
        tags: the classes that each shows, where that is known.
        part: of a run, which other processes may share.

    Raises:
        DataError: images that cannot be read (the others are written first).
    """
    sure, names = known_confidences(out), list(images)
    shared = SharedImages(
        len(names), lambda index: not (names[index] in sure and is_done(predictor, out, names[index])), part
    )
    if done := shared.total - len(shared.left):
        say(f"predict: {done} of {shared.total} are in {out} already and stay; remove them to have them anew")
    problems = []
    for index in track(shared, "predict", total=shared.total, done=done):
        name = names[index]
        try:
            image = images[name]()
            known = None if tags is None else tags[name]
            confidence = predict_file(predictor, image, out, name, beside(name, image) if beside else None, known)
        except DataError as error:
            problems.append(error.line)
        else:
            if not shared.tell(index, confidence):
                add_confidences(out, {name: confidence})
    add_confidences(out, {names[index]: confidence for index, confidence in shared.told.items()})
    if problems:
        others = "The predictions of all others are written." if len(problems) < len(images) else ""
        raise DataError(f"{len(problems)} of {many(len(images), 'image')} cannot be read", where=problems, hint=others)


def is_done(predictor: Predictor, out: Path, name: str) -> bool:
    """Whether an earlier call has written all files of an image that the settings ask for."""
    files = [out / f"{name}.png"]
    files += [out / "overlays" / f"{name}.jpg"] if predictor.recipe.overlay else []
    files += [out / "probabilities" / f"{name}.npz"] if predictor.recipe.probabilities else []
    return all(file.is_file() for file in files)


def predict_file(
    predictor: Predictor,
    image: Image.Image,
    out: Path,
    name: str,
    beside: Beside | None = None,
    tags: Collection[str] | None = None,
) -> str:
    """Write everything that the settings ask for about one RGB image, among its tags if these are known.

    Returns:
        the confidence, for `add_confidences`.
    """
    recipe, kept = predictor.recipe, []
    stride = recipe.probabilities

    def take(top: int, scores: np.ndarray) -> None:
        if beside is not None:
            beside.add(top, scores)
        if stride:
            kept.append(scores[:, -top % stride :: stride, ::stride].astype(np.float16))

    label, confidence = predictor.label(image, tags, take)
    if stride:
        probability = np.concatenate(kept, axis=1)
        write_npz(out / "probabilities" / f"{name}.npz", probability=probability, stride=np.array(stride))
    if recipe.overlay:
        small = within(image, LARGEST_OVERLAY)
        with atomic(out / "overlays" / f"{name}.jpg", durable=False) as part:
            overlay(small, label).save(part, format="JPEG", quality=90)
    if beside is not None:
        beside.write()
    write_label_map(out / f"{name}.png", label)
    return f"{confidence:.4f}"


def add_confidences(out: Path, found: Mapping[str, str]) -> None:
    """Add confidences, by image, to the table; an image with a label map and a confidence is done."""
    if found:
        with (out / CONFIDENCE).open("a", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([in_cell(name), confidence] for name, confidence in found.items())


def known_confidences(out: Path) -> dict[str, str]:
    """Confidences by image, the last one of each, from rows that are whole; a machine without power may tear one."""
    path = out / CONFIDENCE
    if not path.is_file():
        return {}
    with reading(path, most=MOST_TEXT):
        text = path.read_bytes().decode("utf-8", "replace").replace("\0", "\ufffd")
        rows = csv.reader(io.StringIO(text[: text.rfind("\n") + 1], newline=""))
        return {of_cell(row[0]): row[1] for row in rows if len(row) == 2 and re.fullmatch(r"[01]\.\d{4}", row[1])}


def tidy(out: Path) -> None:
    """Sort the table of confidences, one row for each image; an interrupted call may leave two, or half a one."""
    if (out / CONFIDENCE).is_file():
        write_table(out / CONFIDENCE, CONFIDENCE_HEAD, sorted(known_confidences(out).items()))
