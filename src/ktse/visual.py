"""Pictures of label maps and scores: palette, overlay, heat map; for small images, so everything is plain NumPy."""

from __future__ import annotations

import numpy as np
from PIL import Image

_FIRST = "e6194b 0082c8 f5aa14 3cb44b 911eb4 46dcdc f050c8 aad728 965528 007873 fa8264 464bd7 827814 ffe150"
FIRST_COLOURS = np.frombuffer(bytes.fromhex(_FIRST), np.uint8).reshape(-1, 3)
"""Colours of the first classes, chosen by eye: each is far from those before it, also in lightness."""

HEAT_MAP_COLOURS = (
    (0.0, (20, 11, 53)),
    (0.25, (101, 21, 110)),
    (0.5, (203, 65, 73)),
    (0.75, (251, 155, 6)),
    (1.0, (252, 253, 191)),
)
"""Anchors of the heat map: dark to light in even steps, so that it can be read without colour vision too."""


def _palette() -> np.ndarray:
    """Chosen colours, then hues spread around the circle by the golden ratio, so that neighbours differ."""
    colours = np.zeros((256, 3), dtype=np.uint8)
    colours[1 : 1 + len(FIRST_COLOURS)] = FIRST_COLOURS
    for index in range(1 + len(FIRST_COLOURS), 255):
        hue = (index * 0.618034) % 1.0
        value = (1.0, 0.75, 0.55)[index % 3]
        channel = np.clip(np.abs(((hue * 6 + np.array([0, 4, 2])) % 6) - 3) - 1, 0, 1)
        colours[index] = np.rint(255 * value * (0.25 + 0.75 * channel))
    colours[255] = (224, 224, 192)
    return colours


PALETTE = _palette()
"""(256, 3) uint8: colour of each label; 0 is black, 255 (undecided) is cream."""


def colours(label: np.ndarray) -> np.ndarray:
    """Colours of labels; beyond class 254 they repeat.

    Args:
        label: (...) uint8 or uint16, 0 background, k class k, the type's largest value undecided.

    Returns:
        (..., 3) uint8.
    """
    values = label.astype(np.int64)
    index = np.where(values == 0, 0, (values - 1) % 254 + 1)
    return PALETTE[np.where(values == np.iinfo(label.dtype).max, 255, index)]


def overlay(image: Image.Image, label: np.ndarray, alpha: float = 0.55) -> Image.Image:
    """Lay a label map over a photo: classes in their colour with a bright outline, undecided pixels hatched in cream.

    Args:
        image: the photo.
        label: (h, w) uint8 or uint16, 0 background, k class k, the type's largest value undecided; brought to
            the photo's size by the nearest pixel where it has another.
        alpha: opacity of the colours, 0..1.

    Returns:
        RGB image of the photo's size.
    """
    label = _nearest(label, image.height, image.width)
    unknown = label == np.iinfo(label.dtype).max
    known = (label > 0) & ~unknown
    colour = colours(label).astype(np.float32)
    photo = np.asarray(image.convert("RGB"), dtype=np.float32)
    mixed = np.where((label > 0)[..., None], photo + alpha * (colour - photo), photo)
    mixed[unknown & _stripes(label.shape)] = (96, 94, 80)
    edge = _edge(label)
    mixed[edge & known] = colour[edge & known]
    mixed[edge & ~known & _grown(known)] = 255
    return Image.fromarray(np.rint(mixed).astype(np.uint8))


def heat_map(image: Image.Image, score: np.ndarray, alpha: float = 0.75) -> Image.Image:
    """Lay a soft score over the grey photo, from dark (0) over red to pale yellow (1).

    Args:
        image: the photo.
        score: (h, w) float, 0..1, at any size; enlarged bilinearly.
        alpha: opacity of the heat colours, 0..1.

    Returns:
        RGB image of the photo's size.
    """
    large = _bilinear(score, image)
    places = [place for place, _ in HEAT_MAP_COLOURS]
    heat = np.stack(
        [np.interp(large, places, [colour[band] for _, colour in HEAT_MAP_COLOURS]) for band in range(3)], axis=-1
    )
    grey = _grey(image)
    return Image.fromarray(np.rint(grey + alpha * (heat - grey)).astype(np.uint8))


def class_scores_overlay(image: Image.Image, scores: np.ndarray, classes: np.ndarray) -> Image.Image:
    """Lay the soft scores of several classes over the grey photo.

    Each pixel takes the colour of its strongest class, the more of it the higher the score.

    Args:
        image: the photo.
        scores: (K, h, w) float, 0..1, at any size; enlarged bilinearly.
        classes: (K,) int, the labels 1..C of the scores.

    Returns:
        RGB image of the photo's size; the grey photo for K = 0.
    """
    grey = _grey(image)
    if len(classes) == 0:
        return Image.fromarray(np.rint(grey).astype(np.uint8))
    large = np.stack([_bilinear(score, image) for score in scores])
    colour = colours(np.asarray(classes, dtype=np.uint16)[large.argmax(axis=0)]).astype(np.float32)
    weight = 0.9 * large.max(axis=0)[..., None]
    return Image.fromarray(np.rint(grey + weight * (colour - grey)).astype(np.uint8))


def _nearest(label: np.ndarray, height: int, width: int) -> np.ndarray:
    """Bring a label map (h, w) to (height, width)."""
    rows = ((np.arange(height) + 0.5) * label.shape[0] / height).astype(np.intp)
    columns = ((np.arange(width) + 0.5) * label.shape[1] / width).astype(np.intp)
    resized: np.ndarray = label[rows[:, None], columns[None, :]]
    return resized


def _bilinear(score: np.ndarray, image: Image.Image) -> np.ndarray:
    """Bring a score (h, w) to the image's size, as float32 in 0..1; what is not a number counts as 0."""
    small = np.nan_to_num(np.asarray(score, dtype=np.float32), nan=0.0)
    large = np.asarray(Image.fromarray(small).resize(image.size, Image.Resampling.BILINEAR))
    return large.clip(0, 1)


def _grey(image: Image.Image) -> np.ndarray:
    """The photo without its colours, (H, W, 3) float32, so that colours laid over it mean only one thing."""
    return np.repeat(np.asarray(image.convert("L"), dtype=np.float32)[..., None], 3, axis=-1)


def _stripes(shape: tuple[int, ...]) -> np.ndarray:
    """Diagonal stripes, two of nine pixels wide: (H, W) bool."""
    return (np.arange(shape[0])[:, None] + np.arange(shape[1])[None, :]) % 9 < 2


def _edge(label: np.ndarray) -> np.ndarray:
    """Pixels with another label above, below, left or right: (H, W) bool."""
    edge = np.zeros(label.shape, dtype=bool)
    down, right = label[1:] != label[:-1], label[:, 1:] != label[:, :-1]
    edge[1:] |= down
    edge[:-1] |= down
    edge[:, 1:] |= right
    edge[:, :-1] |= right
    return edge


def _grown(mask: np.ndarray) -> np.ndarray:
    """A (H, W) bool mask, grown by one pixel in four directions."""
    grown: np.ndarray = mask.copy()
    grown[1:] |= mask[:-1]
    grown[:-1] |= mask[1:]
    grown[:, 1:] |= mask[:, :-1]
    grown[:, :-1] |= mask[:, 1:]
    return grown
