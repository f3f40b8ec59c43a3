"""Pictures that hold masks: the values in them, and why a picture cannot be a mask."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from ktse.data.image import opened
from ktse.data.text import examples
from ktse.files import undecided
from ktse.runtime.reading import reading
from ktse.runtime.words import many

PLAIN = ("P", "L", "1", "I;16", "I")
"""Modes whose values are stored as they are meant."""

NEAR = 240
"""8-bit values from here up to 254 come from compression or smoothing, unless there are as many classes."""

NUMBERS = "masks hold class numbers (8-bit palette or grey)"

COLOURS = 4
"""Colours that a message names."""


class Picture(NamedTuple):
    """One look at a picture.

    Attributes:
        path: the file.
        size: width and height.
        values: the values that occur, in order.
        top: the largest value of its type, which means undecided in a label map: 255, or 65535 in 16 bits.
        white: whether viewers show `top` as white and 0 as black.
        plain: whether the file stores the values as they are, so that it can be read as a label map.
    """

    path: Path
    size: tuple[int, int]
    values: tuple[int, ...]
    top: int
    white: bool
    plain: bool


@dataclass(frozen=True)
class Drawn:
    """A mask that is drawn from pictures.

    Attributes:
        parts: pictures and their labels: what is not 0 in a picture has its label; label 0: the values are labels.
        kind: type of the labels, uint8 or uint16.
    """

    parts: tuple[tuple[Path, int], ...]
    kind: type[np.unsignedinteger]

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that it is drawn from."""
        return tuple(path for path, _ in self.parts)

    @property
    def key(self) -> str:
        """What else the drawing depends on."""
        return ",".join(str(label) for _, label in self.parts)

    def draw(self) -> np.ndarray:
        """The label map: (H, W) 0 background, k class k, the largest value undecided; the smaller object wins.

        Raises:
            DataError: a picture cannot be read.
        """
        top = np.iinfo(self.kind).max
        shapes = [_label(read_values(path)[0], label, self.kind) for path, label in self.parts]
        whole = np.zeros_like(shapes[0])
        for shape in sorted(shapes, key=lambda shape: -int(np.count_nonzero(shape))):
            whole = np.where((shape > 0) & (shape < top), shape, whole)
        for shape in shapes:
            whole[(shape == top) & (whole == 0)] = top
        return whole


def _label(values: np.ndarray, label: int, kind: type[np.unsignedinteger]) -> np.ndarray:
    if not label:
        return retyped(values, kind)
    top = np.iinfo(values.dtype).max
    shape: np.ndarray = np.where(values > 0, kind(label), kind(0))
    if ((values > 0) & (values < top)).any():  # then the object is not white, and white is undecided
        shape[values == top] = np.iinfo(kind).max
    return shape


def retyped(label: np.ndarray, kind: type[np.unsignedinteger]) -> np.ndarray:
    """A label map in another type, uint8 or uint16, in which undecided pixels stay undecided."""
    same: np.ndarray = label.astype(kind)
    same[label == undecided(label)] = np.iinfo(kind).max
    return same


def size_of(path: Path) -> tuple[int, int]:
    """Width and height of a picture.

    Raises:
        DataError: it cannot be read.
    """
    with reading(path, "cannot be a mask"), opened(path, "error") as image:
        return image.size


def look_at(path: Path) -> Picture:
    """Look at all pixels of a picture once.

    Raises:
        DataError: it cannot be read, or is no picture that can be a mask.
    """
    values, mode, palette = read_values(path)
    top = int(np.iinfo(values.dtype).max)
    white = palette is None or (max(palette[0]) < 16 and min(palette[-1]) > 239)
    height, width = values.shape
    return Picture(path, (width, height), tuple(np.unique(values).tolist()), top, white, mode in PLAIN)


def read_values(path: Path) -> tuple[np.ndarray, str, list[tuple[int, ...]] | None]:
    """Read the values of a picture: grey, palette, or colours that are all grey.

    Returns:
        (H, W) uint8 or uint16; the mode; the 256 colours of its palette, if it has one.

    Raises:
        DataError: it cannot be read, or has colours, transparency or compression that a mask cannot have.
    """
    with reading(path, "cannot be a mask"), opened(path, "error") as image:
        image.load()
        return _values(image), image.mode, _palette(image)


def _values(image: Image.Image) -> np.ndarray:
    if image.format == "JPEG":
        raise ValueError("a JPEG image, whose compression changes class numbers: export the masks as PNG")
    values = np.asarray(image)
    if image.mode in ("P", "L", "1"):
        return values.astype(np.uint8)
    if image.mode in ("I;16", "I"):
        if values.min() < 0 or values.max() > 65535:
            raise ValueError("its values are not within 0..65535")
        return values.astype(np.uint16)
    if image.mode not in ("RGB", "RGBA", "LA"):
        raise ValueError(f"its mode is {image.mode}, but {NUMBERS}")
    if image.mode != "RGB":
        if (values[..., -1] < 255).any():
            raise ValueError("it has transparent pixels: export the masks without transparency")
        values = values[..., :-1]
    if (values == values[..., :1]).all():
        return np.ascontiguousarray(values[..., 0])
    colours = sorted(colour for _, colour in image.convert("RGB").getcolors(image.width * image.height) or [])
    text = f"a colour image with {len(colours)} colours ({examples(map(str, colours[: COLOURS + 1]), COLOURS)})"
    raise ValueError(f"{text}, but {NUMBERS}: write the number of its class in place of each colour")


def _palette(image: Image.Image) -> list[tuple[int, ...]] | None:
    if image.mode != "P":
        return None
    raw = image.getpalette() or []
    colours = [tuple(raw[start : start + 3]) for start in range(0, len(raw), 3)]
    return [*colours, *[(0, 0, 0)] * (256 - len(colours))]


def value_problem(picture: Picture, classes: int) -> str:
    """What is wrong with the values of a label map, or nothing."""
    unknown = [value for value in picture.values if value > classes and value != picture.top]
    text = f"{picture.path}: values {unknown[:5]}, but the data have {many(classes, 'class', 'classes')}"
    if picture.top == 255 and any(value >= NEAR for value in unknown):
        text += (
            "; grey values like these come from a JPEG or from scaling with smoothing: export the masks as PNG, and "
        )
        text += "scale them by nearest neighbour"
    return text if unknown else ""
