"""Pictures of what a run made of an image, small enough for one page."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from ktse.data.dataset import TaggedImages
from ktse.data.masks import Truth
from ktse.errors import DataError
from ktse.files import read_label_map, undecided
from ktse.reporting.wording import clip, listing, some_of
from ktse.run_folder import RunFolder
from ktse.stages.other_masks import Compared, other_path
from ktse.visual import class_scores_overlay, colours, overlay

LONG_SIDES = (480, 400, 336, 280, 224, 176, 128, 96, 64)
"""Long sides that are tried, in pixels, until a picture is small enough."""

JPEG_URI = "data:image/jpeg;base64,"


@dataclass(frozen=True)
class Picture:
    """One picture of a row.

    Attributes:
        kind: "photo", "cam", "mask", "truth", "other", "fused" or "prediction".
        name: the same in words.
        source: data URI, or empty if there is none.
        words: what it shows, for those who cannot see it; or why there is none.
        note: what else stands below it.
    """

    kind: str
    name: str
    source: str
    words: str
    note: str = ""


@dataclass
class Painter:
    """Draws pictures of images.

    Attributes:
        run, data, truth: where everything is read from.
        other: by class, whether the masks take it from those of another method; empty without such masks.
        shown: labels, 1..C, that the pictures drawn so far show.
        undecided: some of them shows undecided pixels.
    """

    run: RunFolder
    data: TaggedImages
    truth: Truth | None
    other: Mapping[str, Compared] = field(default_factory=dict)
    shown: set[int] = field(default_factory=set)
    undecided: bool = False

    def row(self, index: int, allowance: int) -> list[Picture]:
        """Photo, CAM, mask, true mask, other mask, fused mask and prediction, as far as they exist.

        The truth is between the masks that compete.

        Args:
            index: of the image.
            allowance: characters that each picture may take.

        Raises:
            RunError: a file of the run is damaged.
        """
        name = self.data.ids[index]
        self.shown |= set((np.flatnonzero(self.data.tags[index]) + 1).tolist())
        pictures = [self.photo_picture(index, allowance)]
        photo = self._photo(index)
        if isinstance(photo, str):
            return pictures
        if self.run.path("seeds").is_dir():
            pictures.append(self._cam(name, photo, allowance))
        labels = {
            "mask": ("Mask", self.run.path("masks"), self.run.mask_path(name)),
            "truth": ("True mask", None, self.truth.paths.get(name) if self.truth else None),
            "other": ("Other mask", self.run.path("other"), other_path(self.run, name)),
            "fused": ("Fused mask", self.run.path("fused"), self.run.fused_path(name)),
            "prediction": ("Prediction", self.run.path("predictions"), self.run.prediction_path(name)),
        }
        for kind, (title, folder, path) in labels.items():
            if path is not None and path.is_file():
                label = self.truth.read(name) if kind == "truth" and self.truth else read_label_map(self.run.own(path))
                source = data_uri(overlay(photo, label), allowance)
                note = self._taken(index) if kind == "other" else ""
                words = f"{title}: {self._words(label)}{'; ' if note else ''}{note}"
                pictures.append(Picture(kind, title, source, words, note))
            elif (self.truth is not None and self.truth.paths) if folder is None else folder.is_dir():
                pictures.append(Picture(kind, title, "", "none for this image"))
        return pictures

    def photo_picture(self, index: int, allowance: int) -> Picture:
        """The photo of an image, or why it cannot be read."""
        photo = self._photo(index)
        if isinstance(photo, str):
            return Picture("photo", "Photo", "", photo)
        return Picture("photo", "Photo", data_uri(photo, allowance), f"Photo {clip(self.data.ids[index])}")

    def small(self, index: int, allowance: int) -> tuple[list[Picture], int]:
        """The photo under its fused mask, or else its mask, and how many pixels were decoded for it.

        There is no picture if the photo cannot be read, or if there is no space.
        """
        name = self.data.ids[index]
        path = next((path for path in (self.run.fused_path(name), self.run.mask_path(name)) if path.is_file()), None)
        photo = self._photo(index)
        if isinstance(photo, str) or path is None:
            return [], 0
        label = read_label_map(self.run.own(path))
        photo.thumbnail((LONG_SIDES[2], LONG_SIDES[2]), Image.Resampling.LANCZOS)
        source = data_uri(overlay(photo, label), allowance)
        return [Picture("mask", "Mask", source, f"Mask of {clip(name)}")] if source else [], label.size

    def _photo(self, index: int) -> Image.Image | str:
        """The photo, at most as large as the largest picture; or why it cannot be read."""
        try:
            photo = self.data.read(index, long_side=LONG_SIDES[0])
        except DataError as error:
            return f"The photo cannot be read: {error.what}"
        photo.thumbnail((LONG_SIDES[0], LONG_SIDES[0]), Image.Resampling.LANCZOS)
        return photo

    def _cam(self, name: str, photo: Image.Image, allowance: int) -> Picture:
        path = self.run.seed_path(name)
        if not path.is_file():
            return Picture("cam", "CAM", "", "none for this image")
        seed = self.run.seed(name)
        keys = seed.keys.astype(np.int64)
        names = listing([clip(self.data.classes[k]) for k in keys if 0 <= k < len(self.data.classes)]) or "no class"
        source = data_uri(class_scores_overlay(photo, seed.cam, keys + 1), allowance)
        return Picture("cam", "CAM", source, f"CAM: {names}")

    def _taken(self, index: int) -> str:
        """Which tags of an image its mask takes from the other one, in words."""
        names = [self.data.classes[k] for k in np.flatnonzero(self.data.tags[index])]
        taken = [name for name in names if name in self.other and self.other[name].taken]
        left = [name for name in names if name not in taken]
        parts = {"taken": taken, "not taken": left}
        return "; ".join(f"{word}: {some_of([clip(name) for name in of])}" for word, of in parts.items() if of)

    def _words(self, label: np.ndarray) -> str:
        values, sizes = np.unique(label, return_counts=True)
        words = []
        for value, size in zip(values.tolist(), sizes.tolist(), strict=True):
            percent = 100 * size / label.size
            part = f"{percent:.0f} %" if percent >= 1 else "below 1 %"
            if value == undecided(label):
                self.undecided = True
                words.append(f"undecided {part}")
            elif 1 <= value <= len(self.data.classes):
                self.shown.add(value)
                words.append(f"{clip(self.data.classes[value - 1])} {part}")
        return some_of(words) or "background only"


def colour(label: int) -> str:
    """Colour of a class 1..C as "#rrggbb"."""
    red, green, blue = colours(np.array(label, dtype=np.uint16))
    return f"#{red:02x}{green:02x}{blue:02x}"


def data_uri(image: Image.Image, allowance: int) -> str:
    """An image inside a page, as JPEG, as large as the allowance lets it be; a small image is never enlarged.

    Args:
        image: any image.
        allowance: characters that it may take.

    Returns:
        the data URI; empty if even the smallest does not fit.
    """
    image = image.convert("RGB")
    for side in LONG_SIDES:
        image.thumbnail((side, side), Image.Resampling.LANCZOS)
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=80, optimize=True)
        source = JPEG_URI + base64.b64encode(buffer.getvalue()).decode("ascii")
        if len(source) <= allowance:
            return source
    return ""
