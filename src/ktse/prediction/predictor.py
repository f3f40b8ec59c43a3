"""A segmentation model and how it is applied: any image in, label map and confidence out."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from ktse.data.image import at_most, read_image, to_rgb
from ktse.errors import DataError
from ktse.files import label_type
from ktse.prediction.confidence import Confidence
from ktse.prediction.scales import SMALLEST, Network, Whole, merged, seen
from ktse.prediction.tiles import blend
from ktse.recipe import PredictRecipe
from ktse.refinement.dense_crf import FOR_PREDICTIONS, crf_scores
from ktse.runtime.words import many
from ktse.visual import overlay

NAMED = 5
"""Classes that are named in one line about a prediction or a model."""

LARGEST_SHOWN = 1024
"""Longer side in pixels of what a notebook shows."""

OVERLAP = 128
"""Pixels that neighbouring tiles share at least, over which their scores are blended."""

BAND = 384 * 2**20
"""Bytes that the scores of a row of tiles may take; with more classes or wider images the tiles get lower."""


@dataclass(frozen=True, repr=False)
class Prediction:
    """What a segmentation model says about an image.

    Attributes:
        label: (H, W) uint8 (uint16 from 255 classes on), 0 background, k class k.
        confidence: how sure the model is of what it found, 0..1 (ktse.prediction.confidence).
        probabilities: (C+1, H, W) float32, 0..1, where asked for.
        classes: names of the classes 1..C.
        photo: the RGB image that was segmented.
    """

    label: np.ndarray
    confidence: float
    probabilities: np.ndarray | None = None
    classes: tuple[str, ...] = ()
    photo: Image.Image | None = None

    def overlay(self, photo: Any = None, alpha: float = 0.55) -> Image.Image:
        """The labels in colour over the photo.

        Args:
            photo: any form of an image that ktse.load(...).predict takes; without it, the image that was segmented.
            alpha: opacity of the colours, 0..1.

        Returns:
            RGB image of the photo's size.

        Raises:
            DataError: there is no photo, or it cannot be read.
        """
        image = self.photo if photo is None else as_image(photo)
        if image is None:
            raise DataError("this prediction does not hold its photo", hint="Give it: overlay(photo).")
        return overlay(image, self.label, alpha)

    def _repr_png_(self) -> bytes | None:
        """What a notebook shows: the overlay, made smaller where it is large."""
        if self.photo is None:
            return None
        file = BytesIO()
        overlay(within(self.photo, LARGEST_SHOWN), self.label).save(file, format="PNG")
        return file.getvalue()

    def __repr__(self) -> str:
        values, counts = np.unique(self.label, return_counts=True)
        found = [
            f"{self._name(int(value))} {100 * count / self.label.size:.3g} %"
            for value, count in sorted(zip(values, counts, strict=True), key=lambda pair: -pair[1])
            if value
        ]
        height, width = self.label.shape
        shown = _first(found) or "background alone"
        return f"<Prediction of {width}x{height} pixels: {shown}; confidence {self.confidence:.2f}>"

    def _name(self, value: int) -> str:
        return self.classes[value - 1] if value <= len(self.classes) else f"class {value}"


class Predictor:
    """A model with the settings of its use.

    Args:
        model: computes scores at sizes that are chosen here, or resizes by itself.
        recipe: scales, mirror image, tiles.
    """

    def __init__(self, model: Network | Whole, recipe: PredictRecipe) -> None:
        self.model, self.recipe = model, recipe

    def __repr__(self) -> str:
        return f"<Predictor of {many(len(self.classes), 'class', 'classes')}: {_first(self.classes)}>"

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes 1..C."""
        return self.model.classes

    def predict(self, image: Any, *, tags: Collection[str] | None = None, probabilities: bool = False) -> Prediction:
        """Segment an image.

        Args:
            image: a path, an open binary file, a Pillow image, an array (H, W) or (H, W, 3), or a tensor (3, H, W);
                uint8, or float in 0..1.
            tags: names of the classes that it shows, where that is known: no pixel becomes another one.
            probabilities: also return the probability of every label for every pixel.

        Raises:
            DataError: it is none of these, or cannot be read, or a tag is no class of the model.
        """
        picture, kept = as_image(image), []

        def take(_: int, scores: np.ndarray) -> None:
            if probabilities:
                kept.append(scores.copy())

        label, confidence = self.label(picture, tags, take)
        whole = np.concatenate(kept, axis=1) if probabilities else None
        return Prediction(label, confidence, whole, self.classes, picture)

    def label(
        self, image: Image.Image, tags: Collection[str] | None, take: Callable[[int, np.ndarray], None]
    ) -> tuple[np.ndarray, float]:
        """Label map and confidence of an RGB image.

        Args:
            image: at its own size.
            tags: the classes that the image shows, where that is known.
            take: takes each band of probabilities (see bands), to be used up before the next one comes.

        Returns:
            (H, W) uint8 (uint16 from 255 classes on), and 0..1.
        """
        label = np.empty((image.height, image.width), dtype=label_type(len(self.classes)))
        confidence = Confidence(len(self.classes))
        for top, scores in self.bands(image, tags):
            label[top : top + scores.shape[1]], best = decide(scores)
            confidence.add(label[top : top + scores.shape[1]], best)
            take(top, scores)
        return label, confidence.value

    def bands(self, image: Image.Image, tags: Collection[str] | None = None) -> Iterator[tuple[int, np.ndarray]]:
        """Probabilities of an RGB image from top to bottom, among its tags if these are known.

        Yields:
            first row, and (C+1, rows, W) float32; to be used up before the next one is asked for.

        Raises:
            DataError: a tag is no class of the model.
        """
        if tags is None:
            return self._bands(image)
        unknown = sorted(set(tags) - set(self.classes))
        if unknown:
            hint = f"Its classes are {', '.join(self.classes)}."
            raise DataError(f"the model does not know {', '.join(map(repr, unknown))}", hint=hint)
        possible = np.array([True, *(name in tags for name in self.classes)])
        return ((top, among(scores, possible)) for top, scores in self._bands(image))

    def _bands(self, image: Image.Image) -> Iterator[tuple[int, np.ndarray]]:
        recipe, channels = self.recipe, len(self.classes) + 1
        factor = recipe.long_side / max(image.size) if recipe.long_side else 1.0
        # A tile is measured where the network sees it.
        side = max(SMALLEST, round(recipe.tile / factor)) if recipe.tile else max(image.size)
        if max(image.size) <= side:
            return self._at_once(image, factor)
        overlap = min(round(OVERLAP / factor), side // 2)
        rows = min(side, max(2 * overlap, SMALLEST, BAND // (4 * channels * image.width)))

        def score(box: tuple[int, int, int, int]) -> np.ndarray:
            part = image.crop(box)
            return self._finished(part, self._seen(part, factor))

        return blend(image.size, (side, rows), overlap, channels, score)

    def _at_once(self, image: Image.Image, factor: float) -> Iterator[tuple[int, np.ndarray]]:
        """The same for an image that the network sees as a whole.

        Where the scores of every pixel would take too much memory, they are enlarged a band at a time, and a dense CRF
        works on a smaller image.
        """
        width, height = image.size
        parts, merge = self._seen(image, factor), self.recipe.merge
        room = BAND // (4 * (len(self.classes) + 1))
        if self.recipe.crf:
            reached = math.ceil(width * height * min(1.0, factor * max(self.recipe.scales)) ** 2)
            small = at_most(image.size, max(reached, room // 4)) if width * height > room else image.size
            smaller = image if small == image.size else image.resize(small, Image.Resampling.BICUBIC)
            parts, merge = [self._finished(smaller, parts)], "mean"
        rows = height if width * height <= room else max(1, room // 4 // width)
        for top in range(0, height, rows):
            bottom = min(top + rows, height)
            yield top, merged(parts, (width, bottom - top), merge, (top / height, bottom / height))

    def _seen(self, image: Image.Image, factor: float) -> list[np.ndarray]:
        if isinstance(self.model, Whole):
            return self.model.seen(image, factor)
        return seen(self.model, image, factor, self.recipe)

    def _finished(self, image: Image.Image, parts: list[np.ndarray]) -> np.ndarray:
        """(C+1, H, W) probabilities of an image that fits into memory, after the dense CRF if the recipe has one."""
        total = merged(parts, image.size, self.recipe.merge)
        return crf_scores(np.asarray(image), total, FOR_PREDICTIONS) if self.recipe.crf else total


def _first(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"{', '.join(names[:NAMED])}{more}"


def within(image: Image.Image, side: int) -> Image.Image:
    """The image, made smaller if its longer side has more pixels than this."""
    return ImageOps.contain(image, (side, side)) if max(image.size) > side else image


def among(probabilities: np.ndarray, possible: np.ndarray) -> np.ndarray:
    """Probabilities given that only some labels are possible.

    Args:
        probabilities: (C+1, H, W) float32, overwritten.
        possible: (C+1,) bool, background first.

    Returns:
        the same array, 0 for what is not possible, and otherwise 1 in sum unless all of it was 0.
    """
    probabilities[~possible] = 0
    probabilities /= np.maximum(probabilities.sum(axis=0), np.finfo(np.float32).tiny)
    return probabilities


def decide(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The best label of each pixel, the first one where several are equal, and its score.

    Args:
        scores: (K, H, W).

    Returns:
        (H, W) uint16 and (H, W) of the scores' type.
    """
    # Plane by plane: several times as fast as argmax across planes, and without a second pass for the score.
    best, label = scores[0].copy(), np.zeros(scores.shape[1:], dtype=np.uint16)
    for number in range(1, len(scores)):
        label[scores[number] > best] = number
        np.maximum(best, scores[number], out=best)
    return label, best


def as_image(image: Any) -> Image.Image:
    """Any usual form of an image as RGB.

    Args:
        image: a path, an open binary file such as BytesIO, a Pillow image, an array (H, W) or (H, W, 1, 3 or 4), or a
            tensor (1, 3 or 4, H, W); uint8, or float in 0..1.

    Raises:
        DataError: it is none of these, or cannot be read.
    """
    if isinstance(image, str | Path):
        return read_image(Path(image))
    if hasattr(image, "read"):  # from where the file stands
        content, name = image.read(), getattr(image, "name", "")
        if not isinstance(content, bytes):
            raise DataError("an image cannot be read from a file that is open as text", hint='Open it with mode "rb".')
        return read_image(BytesIO(content), name=name if isinstance(name, str) and name else "the image in memory")
    if isinstance(image, Image.Image):
        return to_rgb(ImageOps.exif_transpose(image))
    if hasattr(image, "detach"):  # a tensor, known without loading torch
        array = image.detach().cpu().float().numpy() if image.is_floating_point() else image.detach().cpu().numpy()
        array = np.moveaxis(array, 0, -1) if array.ndim == 3 else array
    elif isinstance(image, np.ndarray):
        array = image
    else:
        hint = "Give a path, an open binary file, a Pillow image, an array or a tensor."
        raise DataError(f"a {type(image).__name__} is not an image", hint=hint)
    if array.ndim == 3 and array.shape[-1] == 1:
        array = array[..., 0]
    if not (array.ndim == 2 or (array.ndim == 3 and array.shape[-1] in (3, 4))) or array.size == 0:
        hint = "Arrays are (H, W) or (H, W, 3), tensors are (3, H, W)."
        raise DataError(f"an image of shape {tuple(image.shape)} cannot be used", hint=hint)
    if np.issubdtype(array.dtype, np.floating):
        if not (array.min() >= 0 and array.max() <= 1):
            hint = "Floating-point images hold 0..1, before any normalisation; 0..255 is for uint8."
            raise DataError(f"an image with values from {array.min():g} to {array.max():g} cannot be used", hint=hint)
        array = np.rint(array * 255)
    elif array.dtype != np.uint8:
        raise DataError(f"an image of type {array.dtype} cannot be used", hint="Give uint8, or float in 0..1.")
    return to_rgb(Image.fromarray(array.astype(np.uint8)))
