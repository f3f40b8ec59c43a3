"""What the page shows of a run: list of images, photos, thumbnails, label maps and scores."""

from __future__ import annotations

import math
import struct
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from io import BytesIO
from pathlib import Path
from threading import Lock
from typing import Any, Literal

import numpy as np
from PIL import Image

from ktse.data.dataset import TaggedImages
from ktse.data.edit_layer import EditLayer, Entry
from ktse.data.image import image_size, opened, to_rgb
from ktse.data.masks import content_of
from ktse.errors import RunError
from ktse.files import atomic, label_type
from ktse.quality.rest import Rest, rest_of
from ktse.reviewing.order import by_gain
from ktse.run_folder import RunFolder, Scores
from ktse.runtime.words import pixels
from ktse.stages.levels import levelled_scores
from ktse.stages.other_masks import other_mask, other_path
from ktse.visual import PALETTE, overlay

Layer = Literal["edit", "mask", "fused", "prediction", "other"]
Kind = Literal["scores", "cam"]

PHOTO_PIXELS = 16_000_000
"""A larger photo is scaled down to this for the page; its mask is not."""

THUMBNAIL, KEPT = 240, 64 << 20
"""Longer side of a thumbnail, and bytes of thumbnails that are kept in memory."""


SOLVED_PIXELS = 100_000
"""A larger image is solved again at this size; the page enlarges the answer."""


def solving_size(size: tuple[int, int]) -> tuple[int, int]:
    """Width and height at which an image of this width and height is solved."""
    factor = min(1.0, math.sqrt(SOLVED_PIXELS / (size[0] * size[1])))
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


class Pictures:
    """A run as the page sees it.

    Args:
        run: the run folder.
        data: its images and tags.
    """

    def __init__(self, run: RunFolder, data: TaggedImages) -> None:
        self.run = run
        self.edits = EditLayer(run.path("corrections"), data.ids, run.key("refine"))
        self.data, self._given = self.edits.tagged(data), data.tags
        self.kind = label_type(len(data.classes))
        self._index = {name: index for index, name in enumerate(data.ids)}
        self._confidence = run.confidence("masks")
        self._layers = {"mask": run.mask_path, "fused": run.fused_path, "prediction": run.prediction_path}
        self._layers["other"] = partial(other_path, run)
        self._thumbnails: OrderedDict[tuple[int, str, int, int], bytes] = OrderedDict()
        self._kept, self._lock = 0, Lock()

    def index(self, image_id: str) -> int | None:
        """Number of an image, or None if the run has no such image."""
        return self._index.get(image_id)

    def about_run(self) -> dict[str, Any]:
        """Classes, colours, and all images, the one that most needs a look first."""
        self._confidence = self.run.confidence("masks")  # the run may have gone on since the page was opened
        classes = [
            {"label": label, "name": name, "colour": _hex(label if label < 255 else (label - 1) % 254 + 1)}
            for label, name in enumerate(self.data.classes, start=1)
        ]
        notes = _noticed(self.run, self.data)
        images = [
            {**self._listed(index), "notes": notes.get(self.data.ids[index], [])}
            for index in by_gain(self.data, self._confidence, self.edits.decided())
        ]
        learned = self._learned()
        images = [{**image, "learned": learned.get(image["id"])} for image in images]
        kind = np.iinfo(self.kind)
        return {"classes": classes, "undecided": int(kind.max), "bytes": kind.bits // 8, "images": images}

    def _learned(self) -> dict[str, bool]:
        """Of decided masks, whether the model has learned from them as they are now; empty if that is not known."""
        learned = self.run.summary("adapt").get("learned", {})
        if not learned and self.run.path("adapt", "model.safetensors").is_file():  # by a ktse that did not note it
            return {}
        found = {}
        for name in self.edits.decided():
            with suppress(OSError):
                found[name] = learned.get(name) == content_of(self.edits.path(name))
        return found

    def rest(self) -> Rest:
        """How good the masks are that nobody has checked."""
        return rest_of(self.run, self.data, self.edits)

    def about(self, index: int) -> dict[str, Any]:
        """Everything about one image that is not a picture."""
        name = self.data.ids[index]
        width, height = self.size(index)
        layers = {layer: path(name).is_file() for layer, path in self._layers.items()}
        layers |= {"scores": self.run.scores_path(name).is_file(), "cam": self.run.seed_path(name).is_file()}
        threshold = self.run.summary("masks").get("threshold")
        about: dict[str, Any] = {"width": width, "height": height, "layers": layers, "run_threshold": threshold}
        about["solved"] = solving_size((width, height))
        return self._listed(index) | about | {"threshold": self.edits.entry(name).threshold}

    def _listed(self, index: int) -> dict[str, Any]:
        name = self.data.ids[index]
        return {
            "id": name,
            "tags": [int(key) + 1 for key in np.flatnonzero(self.data.tags[index])],
            "confidence": self._confidence.get(name),
            "kept_out": bool(self.data.validation[index]),
            "retagged": self.retagged(index),
            **state_of(self.edits.entry(name)),
        }

    def size(self, index: int) -> tuple[int, int]:
        """Width and height of an image.

        Raises:
            DataError: it cannot be read.
        """
        return image_size(self.data.source(index))

    def tags(self, index: int) -> set[int]:
        """Labels of the tags of an image."""
        return {int(key) + 1 for key in np.flatnonzero(self.data.tags[index])}

    def retag(self, index: int, labels: set[int], revision: int) -> Entry:
        """Give an image the tags with these labels.

        Raises:
            OutdatedError: the image has another revision.
        """
        name = self.data.ids[index]
        entry = self.edits.retag(name, [self.data.classes[label - 1] for label in labels], revision)
        self.data = self.edits.tagged(self.data)
        return entry

    def retagged(self, index: int) -> bool:
        """Whether a person has given an image other tags than those that the run has learned from."""
        name = self.data.ids[index]
        if self.edits.entry(name).tags is None:
            return False
        learned = np.flatnonzero(self._given[index])
        with suppress(RunError):  # damaged or not made yet
            learned = self.run.seed(name).keys
        return self.tags(index) != {int(key) + 1 for key in learned}

    def photo(self, index: int) -> bytes:
        """An image as JPEG, upright.

        Raises:
            DataError: it cannot be read.
        """
        return _jpeg(self.data.read(index, pixels=PHOTO_PIXELS), 92)

    def thumbnail(self, index: int, layer: Layer = "edit") -> bytes:
        """An image with a label map, as of `label`, small, as JPEG.

        Raises:
            DataError: it cannot be read.
        """
        name = self.data.ids[index]
        path = self._layers["mask" if layer == "edit" else layer](name)
        key = (index, layer, self.edits.entry(name).revision, _changed(path))
        with self._lock:
            if key in self._thumbnails:
                self._thumbnails.move_to_end(key)
                return self._thumbnails[key]
        small, label = self._small(index), self._shown(index, layer)
        made = _jpeg(small if label is None else overlay(small, label, 0.5), 80)
        with self._lock:
            self._thumbnails[key] = made
            self._kept += len(made)
            while self._kept > KEPT:
                self._kept -= len(self._thumbnails.popitem(last=False)[1])
        return made

    def _small(self, index: int) -> Image.Image:
        """An image at the size of a thumbnail; made once, since large photos take a while."""
        path, source = self.run.path(".thumbnails", f"{self.data.ids[index]}.jpg"), self.data.source(index)
        if not isinstance(source, Path) or _changed(path) > _changed(source):
            with suppress(OSError), opened(path) as kept:
                return to_rgb(kept)
        small = self.data.read(index, THUMBNAIL)
        small.thumbnail((THUMBNAIL, THUMBNAIL))
        if path.parent.resolve().is_relative_to(self.run.root.resolve()):  # links do not lead out of the run
            with suppress(OSError), atomic(path) as part:  # a full disk makes the page slower, and no more
                part.write_bytes(_jpeg(small, 90))
        return small

    def _shown(self, index: int, layer: Layer) -> np.ndarray | None:
        """What a thumbnail shows over its image; nothing if there is none that can be read."""
        try:
            return self.label(index, layer)
        except RunError:
            return None

    def label(self, index: int, layer: Layer) -> np.ndarray | None:
        """A label map of an image: (H, W) uint8 or uint16, or None if there is none.

        Args:
            index: number of the image.
            layer: "edit" is the mask as a person has left it, else that of the run; "other" that of another method.

        Raises:
            RunError: it cannot be read, or has not the size of its image.
        """
        name = self.data.ids[index]
        label = self.edits.label(name) if layer == "edit" else None
        if label is None:
            readers: dict[str, Callable[[str], np.ndarray]]
            readers = {"fused": self.run.fused, "prediction": self.run.prediction}
            readers["other"] = partial(other_mask, self.run)
            path = self._layers["mask" if layer == "edit" else layer](name)
            label = readers.get(layer, self.run.mask)(name) if path.is_file() else None
        if label is not None and label.shape[::-1] != self.size(index):
            found, wanted = pixels(label.shape[::-1]), pixels(self.size(index))
            raise RunError(f"the {layer} of {name} has {found}, but its image has {wanted}", hint="Repeat the stage.")
        return None if label is None else label.astype(self.kind, copy=False)

    def scores(self, index: int, kind: Kind) -> bytes | None:
        """Stored scores as bytes, as of `packed`.

        Args:
            index: number of the image.
            kind: "scores", from which the mask was cut, or "cam".

        Raises:
            RunError: they are damaged.
        """
        if kind == "scores":
            stored = self.scores_of(index)
            return None if stored is None else packed([int(key) + 1 for key in stored.keys], stored.scores)
        name = self.data.ids[index]
        if not self.run.seed_path(name).is_file():
            return None
        seed = self.run.seed(name)
        return packed([int(key) + 1 for key in seed.keys], (seed.cam.astype(np.float32) * 255).round().astype(np.uint8))

    def scores_of(self, index: int) -> Scores | None:
        """The scores of its tags from which the mask of an image was cut, if they are stored.

        Raises:
            RunError: they are damaged.
        """
        name = self.data.ids[index]
        if not self.run.scores_path(name).is_file():
            return None
        stored = levelled_scores(self.run, name)
        kept = self.data.tags[index][stored.keys]  # a person may have taken a tag away
        return stored if kept.all() else stored._replace(keys=stored.keys[kept], scores=stored.scores[kept])


def packed(labels: list[int], values: np.ndarray) -> bytes:
    """Maps as the page reads them: K, h, w, then K labels, all uint32 in little-endian order, then K*h*w uint8.

    Args:
        labels: of the K maps.
        values: (K, h, w) uint8.
    """
    return struct.pack(f"<{3 + len(labels)}I", *values.shape, *labels) + np.ascontiguousarray(values).tobytes()


def state_of(entry: Entry) -> dict[str, Any]:
    """What was done with an image, for the page."""
    return {"state": entry.state, "revision": entry.revision, "draft": entry.draft}


def _noticed(run: RunFolder, data: TaggedImages) -> dict[str, list[str]]:
    """What check has noticed about images that a person should see: tags that are probably wrong, and copies.

    A tag that a person has corrected since is doubtful no longer.
    """
    tags = dict(zip(data.ids, data.tags, strict=True))
    column = {name: index for index, name in enumerate(data.classes)}
    found: dict[str, list[str]] = {}
    noticed = run.noticed()
    for doubt in noticed.get("doubtful", []):
        name, one = doubt["id"], doubt["class"]
        if name not in tags or one not in column or bool(tags[name][column[one]]) != doubt["tagged"]:
            continue
        text = f"doubtful tag: {one}" if doubt["tagged"] else f"perhaps without its tag: {one}"
        found.setdefault(name, []).append(text)
    for group in run.checked().get("duplicates", []):
        for name in group:
            others = ", ".join(other for other in group if other != name)
            found.setdefault(name, []).append(f"same content as {others}")
    for pair in noticed.get("near_copies", []):
        for name, other in ((pair["id"], pair["like"]), (pair["like"], pair["id"])):
            if name in tags and other in tags:
                found.setdefault(name, []).append(f"almost the same as {other}")
    return found


def _changed(path: Path) -> int:
    """When a file was changed, in nanoseconds; 0 if there is none."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _hex(label: int) -> str:
    return f"#{PALETTE[label].tobytes().hex()}"


def _jpeg(image: Image.Image, quality: int) -> bytes:
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()
