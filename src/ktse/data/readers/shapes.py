"""Masks that other tools keep as shapes, each with the name of a class, drawn to the pixel."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from ktse.data.dataset import TaggedImages
from ktse.data.readers.found_masks import Images, Reading
from ktse.data.text import short
from ktse.errors import KtseError
from ktse.files import label_type
from ktse.runtime.reading import reading, reason
from ktse.runtime.words import many, pixels

DIGITS = 4
"""Decimals of a pixel that count in a polygon."""

BACKGROUND, UNDECIDED = "background", "undecided"
"""Names of a shape that is no class, if no class has these names."""

FAR = 1e6
"""Pixels from its corner at which nothing of an image can be."""

Area = Callable[[tuple[int, int]], np.ndarray]
"""Draws a shape: from width and height of the image to (H, W) bool; a damaged shape is a ValueError."""


@dataclass(frozen=True)
class Shape:
    """One shape.

    Attributes:
        name: of its class.
        area: draws it.
        above: a shape with a larger number hides one with a smaller.
    """

    name: str
    area: Area
    above: int = 0


@dataclass(frozen=True)
class Shapes:
    """A mask that is drawn from shapes.

    Attributes:
        files: the file that holds them.
        size: width and height.
        shapes: each with its label.
        kind: type of the labels, uint8 or uint16.
        key: nothing else that the drawing depends on.
    """

    files: tuple[Path]
    size: tuple[int, int]
    shapes: tuple[tuple[int, Shape], ...]
    kind: type[np.unsignedinteger]
    key: str = ""

    def draw(self) -> np.ndarray:
        """The label map: (H, W); of shapes on the same level, the smaller hides the larger.

        Raises:
            DataError: a shape is damaged.
        """
        label = np.zeros(self.size[::-1], self.kind)
        with reading(self.files[0], "is damaged", called=f"{self.files[0]}: a shape"):
            drawn = []
            for number, shape in self.shapes:  # packed, as there may be thousands
                area = shape.area(self.size)
                drawn.append((shape.above, -int(area.sum()), number, np.packbits(area)))
        for _, _, number, packed in sorted(drawn, key=lambda one: one[:2]):
            label[np.unpackbits(packed, count=label.size).reshape(label.shape).astype(bool)] = number
        return label


class Collector:
    """Gathers the shapes of images, and everything that is wrong with them.

    Args:
        data: the images.
    """

    def __init__(self, data: TaggedImages) -> None:
        self.images, self.found = Images(data), Reading()
        self.kind = label_type(len(data.classes))
        top = int(np.iinfo(self.kind).max)
        named = {name: label for label, name in enumerate(data.classes, start=1)}
        self._labels = {BACKGROUND: 0, UNDECIDED: top, **named}
        self._strange: Counter[tuple[Path, str]] = Counter()
        self._empty = 0

    def add(self, path: Path, name: str, size: tuple[int, int] | None, shapes: list[Shape]) -> None:
        """Add an image; one without any shape is left aside unless it has no tag, as nobody may have looked at it.

        Args:
            path: the file that holds the shapes.
            name: of the image.
            size: width and height as the file says; None: it does not.
            shapes: what was drawn.
        """
        index = self.images.find(name)
        if index is None:
            self.found.unfit[name] = name
            return
        data, image_id = self.images.data, self.images.data.ids[index]
        real = self.images.size(index) or size
        if size is not None:
            require_pixels(size)
        strange = [shape.name for shape in shapes if shape.name not in self._labels]
        self._strange.update((path, one) for one in strange)
        if real is None or (size is not None and real != size):
            said = "no size" if size is None else pixels(size)
            self.found.skipped[data.files[index]] = f"has {'no size' if real is None else pixels(real)}, not {said}"
        elif image_id in self.found.paths:
            text = f"{self.found.paths[image_id]} has shapes of the same image too"
            self.found.problems.append(f"{path}: {name}: {text}")
        elif not shapes and data.tags[index].any():
            self._empty += 1
        elif not strange:
            labelled = tuple((self._labels[shape.name], shape) for shape in shapes)
            self.found.paths[image_id] = path
            self.found.drawn[image_id] = Shapes((path,), real, labelled, self.kind)
            classes = range(1, len(data.classes) + 1)
            self.found.shown[image_id] = frozenset(label for label, _ in labelled if label in classes)

    @contextmanager
    def parsing(self, called: str) -> Iterator[None]:
        """Within the block, whatever a damaged file makes ktse stumble over is noted, and the block ends there."""
        try:
            yield
        except KtseError as error:
            self.wrong(f"{called}: {error.line}")
        except Exception as error:  # files of other tools may hold anything at any place
            self.wrong(f"{called} is damaged, or of no use: {reason(error)}")

    def wrong(self, text: str) -> None:
        """Note something that makes masks useless, with its file."""
        self.found.problems.append(text)

    def reading(self) -> Reading:
        """Everything that was found."""
        for (path, name), count in self._strange.items():
            self.wrong(f"{path}: {many(count, 'shape')} of {short(name)}, which is no class of these data")
        if self._empty:
            self.found.notes.append(f"left aside, as they have tags but no shape: {many(self._empty, 'image')}")
        return self.found


def require_pixels(size: tuple[int, int]) -> None:
    """Make sure that an image may have so many pixels, before memory is taken for them.

    Raises:
        ValueError: it may not.
    """
    if min(size) < 1 or size[0] * size[1] > (Image.MAX_IMAGE_PIXELS or 0):
        raise ValueError(f"{pixels(size)} are none, or so many that it must be a decompression bomb")


def text_of(value: object) -> str:
    """A name of a class as a file holds it.

    Raises:
        ValueError: it is no text.
    """
    if not isinstance(value, str):
        raise ValueError(f"the name of a class is {short(value)}")
    return value


def polygon(points: np.ndarray) -> Area:
    """The pixels whose centre is inside a polygon; where it overlaps itself, an even number of times is outside.

    Args:
        points: (N, 2) float, x and y in pixels.
    """

    def draw(size: tuple[int, int]) -> np.ndarray:
        if points.ndim != 2 or points.shape[1] != 2 or len(points) < 3 or not (np.abs(points) < FAR).all():
            raise ValueError("a polygon needs three points or more, each with a finite x and y")
        width, height = size
        crossed = np.zeros((height, width + 1), np.int64)
        # Rounded as coordinates that were shares of a size are not exact; and each edge downwards, so that two that lie
        # on each other cross a row at the same place.
        corners = points.round(DIGITS)
        ends = np.roll(corners, -1, axis=0)
        falls = (corners[:, 1] < ends[:, 1])[:, None]
        starts, ends = np.where(falls, corners, ends), np.where(falls, ends, corners)
        low, high = starts[:, 1], ends[:, 1]
        first, last = np.clip(np.ceil([low - 0.5, high - 0.5]), 0, height).astype(int)  # rows whose middle it crosses
        edge = np.repeat(np.arange(len(starts)), last - first)
        rows = np.arange(len(edge)) - np.repeat(np.cumsum(last - first) - last, last - first)
        (x, y), (to_x, to_y) = starts[edge].T, ends[edge].T
        at = x + (rows + 0.5 - y) * (to_x - x) / (to_y - y)
        np.add.at(crossed, (rows, np.clip(np.ceil(at - 0.5), 0, width).astype(int)), 1)
        return np.asarray(np.cumsum(crossed[:, :-1], axis=1) % 2 == 1)

    return draw


def placed(part: np.ndarray, left: int, top: int) -> Area:
    """Pixels that are given for a box of the image; what lies outside the image is cut off.

    Args:
        part: (h, w) bool.
        left: of the box.
        top: of the box.
    """

    def draw(size: tuple[int, int]) -> np.ndarray:
        whole = np.zeros(size[::-1], bool)
        height, width = part.shape
        y, x = max(0, top), max(0, left)
        inside = part[y - top : size[1] - top, x - left : size[0] - left] if height and width else part[:0, :0]
        whole[y : y + inside.shape[0], x : x + inside.shape[1]] = inside
        return whole

    return draw
