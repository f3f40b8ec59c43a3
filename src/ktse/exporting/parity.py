"""Whether an exported model, used as the documentation says, gives what `ktse predict` gives."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from ktse.data.image import read_image
from ktse.errors import ExportError
from ktse.exporting.network_graph import UNFIT
from ktse.models.segmenter import Portable
from ktse.prediction.onnx import INPUT, LABEL
from ktse.prediction.predictor import Predictor
from ktse.recipe import PredictRecipe

SIZES = ((128, 96), (77, 131), (257, 64), (640, 480), (375, 500))
"""Width and height of the photos that are compared, odd ones on purpose; each is cut to this shape and resized."""

PHOTOS_AT_OWN_SIZE, LONGEST_SIDE = 4, 1024
"""Photos that are compared at their own size too, and the longest side of these."""


@dataclass(frozen=True)
class Parity:
    """How far two ways to compute the labels of some photos agree.

    Attributes:
        equal: share of the pixels with the same label, 0..1.
        foreground: of the pixels that at least one of them gives a class, the share with the same label, 0..1.
        photos: how many were compared.
    """

    equal: float
    foreground: float
    photos: int

    def __str__(self) -> str:
        """Both shares in words."""
        return f"{100 * self.equal:.2f} % of the labels equal, foreground IoU {100 * self.foreground:.2f} %"

    def reaches(self, share: float) -> bool:
        """Whether both shares are at least this one."""
        return min(self.equal, self.foreground) >= share


class _Float32:
    """A model on the CPU in float32, as a predictor wants it."""

    def __init__(self, model: Portable, classes: Sequence[str]) -> None:
        self.model, self.classes = model, tuple(classes)

    @torch.inference_mode()
    def logits(self, images: np.ndarray) -> np.ndarray:
        return np.asarray(self.model(torch.from_numpy(images)))

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        return np.asarray(torch.from_numpy(self.logits(images)).softmax(dim=1))


def check_photos(photos: Sequence[Path | BytesIO]) -> Iterator[Image.Image]:
    """RGB images of several sizes and shapes: of photos where there are some, else of smooth noise."""
    generator, count = np.random.default_rng(0), len(photos)
    for number, (width, height) in enumerate(SIZES):
        if count:
            yield _cut(read_image(photos[number % count]), width, height)
        else:
            noise = generator.integers(0, 256, (7, 9, 3), dtype=np.uint8)
            yield Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)
    for photo in photos[:PHOTOS_AT_OWN_SIZE]:
        image = read_image(photo)
        image.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
        yield image


def _cut(image: Image.Image, width: int, height: int) -> Image.Image:
    """The largest part of this shape from the middle, at this size."""
    share = min(image.width / width, image.height / height)
    across, down = width * share, height * share
    left, top = (image.width - across) / 2, (image.height - down) / 2
    return image.resize((width, height), Image.Resampling.BICUBIC, box=(left, top, left + across, top + down))


def compare(
    model: Portable, classes: Sequence[str], recipe: PredictRecipe, content: bytes | str, images: Sequence[Image.Image]
) -> Parity:
    """Label images by an exported model as documented, and by `ktse predict` in float32, without its dense CRF.

    Args:
        model: the original, on the CPU.
        classes: names of the classes 1..C.
        recipe: how `ktse predict` applies it.
        content: the exported model, or its path.
        images: RGB.

    Raises:
        ExportError: the exported model cannot be computed for all of them.
    """
    # Tiles are for photos that are too large for this check, unless a recipe has very small ones.
    original = Predictor(_Float32(model, classes), replace(recipe, tile=0, crf=False))
    equal = pixels = same = either = 0
    for image, found in zip(images, _labels(content, images), strict=True):
        expected = original.predict(image).label
        equal, pixels = equal + int((found == expected).sum()), pixels + expected.size
        foreground = (found > 0) | (expected > 0)
        same, either = same + int((found == expected)[foreground].sum()), either + int(foreground.sum())
    return Parity(equal / pixels, same / either if either else 1.0, len(images))


def _labels(content: bytes | str, images: Sequence[Image.Image]) -> Iterator[np.ndarray]:
    """(H, W) labels of each image, used as documented."""
    import onnxruntime

    try:
        session: Any = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
        for image in images:
            yield session.run([LABEL], {INPUT: np.asarray(image)[None]})[0][0]
    except Exception as error:  # onnxruntime's errors share no base class
        raise ExportError(
            "this model cannot be written as ONNX: what torch has written cannot be computed for photos of every size",
            where=str(error).splitlines()[0][:300],
            hint=UNFIT,
        ) from error
