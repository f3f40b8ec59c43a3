"""What a network sees of an image, at which sizes, and how its answers become one at the image's own size.

Seen is the image resized by Pillow's bicubic filter, which widens where it shrinks, to whole levels 0..255. That is
ONNX's Resize with antialias, exclude_outside and a cubic coefficient of -0.5 on uint8, so that an exported model sees
the same. Scores come back bilinearly, without a wider filter even where they shrink: networks give smooth scores.
"""

from __future__ import annotations

from typing import Literal, Protocol, runtime_checkable

import numpy as np
from PIL import Image

from ktse.recipe import PredictRecipe

SMALLEST = 32
"""Side in pixels below which nothing is given to a network."""


class Network(Protocol):
    """Scores of images of the size that it is given, whatever computes them."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes 1..C."""

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """(B, H, W, 3) uint8 RGB to (B, C+1, H, W) float32, 0..1."""

    def logits(self, images: np.ndarray) -> np.ndarray:
        """(B, H, W, 3) uint8 RGB to (B, C+1, H, W) float32, whose softmax the probabilities are."""


@runtime_checkable
class Whole(Protocol):
    """A model that resizes and mirrors by itself, as an exported one does."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes 1..C."""

    def seen(self, image: Image.Image, factor: float) -> list[np.ndarray]:
        """The same as `seen` below."""


def seen(network: Network, image: Image.Image, factor: float, recipe: PredictRecipe) -> list[np.ndarray]:
    """Scores of an RGB image at every scale, mean of the image and its mirror image if the recipe has that.

    Args:
        network: what computes scores.
        image: at its own size.
        factor: from the image's own size to that of scale 1.
        recipe: scales, mirror image, and which scores are merged.

    Returns:
        for each scale (C+1, h, w) float32: probabilities, or, for the merge "max", logits.
    """
    compute = network.logits if recipe.merge == "max" else network.probabilities
    parts = []
    for scale in recipe.scales:
        size = tuple(max(SMALLEST, round(side * factor * scale)) for side in image.size)
        array = np.asarray(image.resize((size[0], size[1]), Image.Resampling.BICUBIC))
        found = compute(np.stack([array, array[:, ::-1]] if recipe.flip else [array]))
        parts.append((found[0] + found[1, ..., ::-1]) / 2 if recipe.flip else found[0])
    return parts


def merged(
    parts: list[np.ndarray], size: tuple[int, int], merge: Literal["mean", "max"], rows: tuple[float, float] = (0, 1)
) -> np.ndarray:
    """Scores of several scales as one.

    Scales are averaged, or, as published, the maximum of their scores before the softmax is taken pixel by pixel.

    Args:
        parts: (K, h, w) float32 each, of any sizes; at least one.
        size: width and height of the result.
        merge: how.
        rows: where the result begins and ends, as shares of the height of the whole.

    Returns:
        (K, height, width) float32 probabilities; a new array.
    """
    total: np.ndarray | None = None
    for part in parts:
        large = resized(part, size, rows)
        if total is None:
            total = large
        else:
            total = np.maximum(total, large, out=total) if merge == "max" else np.add(total, large, out=total)
    if total is None:
        raise ValueError("at least one scale is needed")
    if merge == "max":
        total = np.exp(total - total.max(axis=0, keepdims=True))
        total /= total.sum(axis=0, keepdims=True)
    else:
        total /= np.float32(len(parts))
    return total


def resized(scores: np.ndarray, size: tuple[int, int], rows: tuple[float, float] = (0, 1)) -> np.ndarray:
    """(K, h, w) float32, or the rows between two shares of its height, brought bilinearly to (width, height)."""
    height, width = scores.shape[1:]
    if (width, height) == size and rows == (0, 1):
        return np.array(scores)
    top, bottom = rows[0] * height, rows[1] * height
    across, down = width / size[0], (bottom - top) / size[1]
    large = np.empty((len(scores), size[1], size[0]), dtype=np.float32)
    for target, plane in zip(large, np.ascontiguousarray(scores), strict=True):
        image = Image.fromarray(plane)
        if max(across, down) <= 1:  # then resize is the same, and several times as fast
            enlarged = image.resize(size, Image.Resampling.BILINEAR, box=(0, top, width, bottom))
        else:
            moved = (across, 0.0, 0.0, 0.0, down, top)
            enlarged = image.transform(size, Image.Transform.AFFINE, moved, Image.Resampling.BILINEAR)
        target[:] = np.asarray(enlarged)
    return large
