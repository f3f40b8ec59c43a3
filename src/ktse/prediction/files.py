"""Predictions of many images as files; what an earlier, interrupted call has finished is left alone.

OUT/ID.png              label map
OUT/confidence.csv      how sure the model is of each image, 0..1
OUT/overlays/ID.jpg     the labels over the photo, if asked for
OUT/probabilities/ID.npz   probability (C+1, h, w) float16, every `stride`-th pixel, if asked for
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Collection, Mapping
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image, ImageOps

from ktse.data.dataset import TaggedImages
from ktse.data.image import read_image
from ktse.data.image_files import list_folder
from ktse.data.names import image_ids
from ktse.errors import DataError
from ktse.files import atomic, label_type, write_label_map, write_npz
from ktse.prediction.confidence import Confidence
from ktse.prediction.predictor import Predictor, decide
from ktse.runtime.console import say, track
from ktse.visual import overlay

LARGEST_OVERLAY = 2048
"""Longer side in pixels of an overlay, which is for looking at."""

CONFIDENCE = "confidence.csv"
HEAD = ["image", "confidence"]


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
        named = {images.stem: images}
    else:
        listing = list_folder(images)
        for note in listing.notes:
            say(f"predict: {note}")
        files = listing.files
        named = {name: images / file for name, file in zip(image_ids(files), files, strict=True)}
    try:
        predict_files(predictor, {name: partial(read_image, path) for name, path in named.items()}, out)
    finally:
        tidy(out)
    return [out / f"{name}.png" for name in named]


def predict_tagged(predictor: Predictor, data: TaggedImages, out: Path) -> list[Path]:
    """Write the predictions of images whose tags are known: no pixel gets another class.

    Returns:
        the label maps, those of an earlier call included.

    Raises:
        DataError: a tag is no class of the model, or images cannot be read (the others are written first).
    """
    for note in data.notes:
        say(f"predict: {note}")
    used = [data.classes[key] for key in np.flatnonzero(data.tags.any(axis=0))]
    unknown = [name for name in used if name not in predictor.classes]
    if unknown:
        raise DataError(
            f"{len(unknown)} tags are no classes of the model",
            where=unknown,
            hint=f"Its classes are {', '.join(predictor.classes)}. Rename these tags, or take them out.",
        )
    tags = {
        name: [data.classes[key] for key in np.flatnonzero(row)] for name, row in zip(data.ids, data.tags, strict=True)
    }
    try:
        images = {name: partial(data.read, index) for index, name in enumerate(data.ids)}
        predict_files(predictor, images, out, tags=tags)
    finally:
        tidy(out)
    return [out / f"{name}.png" for name in data.ids]


def predict_files(
    predictor: Predictor,
    images: Mapping[str, Callable[[], Image.Image]],
    out: Path,
    beside: Callable[[str, Image.Image], Beside] | None = None,
    tags: Mapping[str, Collection[str]] | None = None,
) -> None:
    """Write the predictions of images, given by name and how to read them.

    Args:
        predictor: what predicts.
        images: how to read each, by name.
        out: the folder.
        beside: what else to make of each.
        tags: the classes that each shows, where that is known.

    Raises:
        DataError: images that cannot be read (the others are written first).
    """
    left = {
        name: read
        for name, read in images.items()
        if not all(file.is_file() for file in files_of(predictor, out, name))
    }
    if len(left) < len(images):
        done = len(images) - len(left)
        say(f"predict: {done} of {len(images)} are in {out} already and stay; remove them to have them anew")
    problems = []
    for name, read in track(left.items(), "predict", total=len(images), done=len(images) - len(left)):
        try:
            image = read()
            known = None if tags is None else tags[name]
            predict_file(predictor, image, out, name, beside(name, image) if beside else None, known)
        except DataError as error:
            problems.append(": ".join([error.what, *error.where]))
    if problems:
        others = "The predictions of all others are written." if len(problems) < len(images) else ""
        raise DataError(f"{len(problems)} of {len(images)} images cannot be read", where=problems, hint=others)


def files_of(predictor: Predictor, out: Path, name: str) -> list[Path]:
    """The files that the settings ask for, the label map last."""
    files = [out / "overlays" / f"{name}.jpg"] if predictor.recipe.overlay else []
    if predictor.recipe.probabilities:
        files.append(out / "probabilities" / f"{name}.npz")
    return [*files, out / f"{name}.png"]


def predict_file(
    predictor: Predictor,
    image: Image.Image,
    out: Path,
    name: str,
    beside: Beside | None = None,
    tags: Collection[str] | None = None,
) -> None:
    """Write everything that the settings ask for about one RGB image, among its tags if these are known."""
    recipe = predictor.recipe
    label = np.empty((image.height, image.width), dtype=label_type(len(predictor.classes)))
    kept, confidence, stride = [], Confidence(len(predictor.classes)), recipe.probabilities
    for top, scores in predictor.bands(image, tags):
        label[top : top + scores.shape[1]], best = decide(scores)
        confidence.add(label[top : top + scores.shape[1]], best)
        if beside is not None:
            beside.add(top, scores)
        if stride:
            kept.append(scores[:, -top % stride :: stride, ::stride].astype(np.float16))
    if stride:
        write_npz(
            out / "probabilities" / f"{name}.npz", probability=np.concatenate(kept, axis=1), stride=np.array(stride)
        )
    if recipe.overlay:
        large = max(image.size) > LARGEST_OVERLAY
        small = ImageOps.contain(image, (LARGEST_OVERLAY, LARGEST_OVERLAY)) if large else image
        with atomic(out / "overlays" / f"{name}.jpg") as part:
            overlay(small, label).save(part, format="JPEG", quality=90)
    if beside is not None:
        beside.write()
    # The label map comes last, since it says that an image is done.
    out.mkdir(parents=True, exist_ok=True)
    with (out / CONFIDENCE).open("a", newline="", encoding="utf-8") as file:
        csv.writer(file).writerow([name, f"{confidence.value:.4f}"])
    write_label_map(out / f"{name}.png", label)


def tidy(out: Path) -> None:
    """Sort the table of confidences and keep the last row of each image; an interrupted call may leave two."""
    path = out / CONFIDENCE
    if not path.is_file():
        return
    with path.open(newline="", encoding="utf-8") as file:
        rows = {row[0]: row[1] for row in csv.reader(file) if len(row) == 2 and row != HEAD}
    with atomic(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([HEAD, *sorted(rows.items())])
