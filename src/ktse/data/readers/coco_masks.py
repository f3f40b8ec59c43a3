"""Masks from the segmentations of a COCO file."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ktse.data.classes import SAME_AS_VOC
from ktse.data.dataset import TaggedImages
from ktse.data.readers.coco import Entry, Instances, entries_by_file, read_instances
from ktse.data.readers.coco_shapes import require_shape
from ktse.data.readers.found_masks import Drawing, Images, Reading
from ktse.data.text import examples, short
from ktse.errors import DataError
from ktse.files import label_type
from ktse.runtime.reading import reading
from ktse.runtime.words import many, pixels

Annotation = dict[str, Any]

MOST_SIDE = 1 << 16
"""Pixels of a side of an image."""


@dataclass(frozen=True)
class Segmented:
    """A mask that is drawn from segmentations.

    Attributes:
        files: the COCO file.
        size: width and height.
        shapes: annotations with the label of their class.
        kind: type of the labels, uint8 or uint16.
        key: nothing else that the drawing depends on.
    """

    files: tuple[Path]
    size: tuple[int, int]
    shapes: tuple[tuple[int, Annotation], ...]
    kind: type[np.unsignedinteger]
    key: str = ""

    def draw(self) -> np.ndarray:
        """Draw the mask: crowds as undecided first, then objects, the larger ones first.

        Raises:
            DataError: a segmentation is damaged.
        """
        from pycocotools import mask as coco

        label = np.zeros(self.size[::-1], dtype=self.kind)
        parts = []
        for number, annotation in self.shapes:
            runs = self._runs(annotation)
            parts.append((not annotation.get("iscrowd"), -int(coco.area(runs)), number, runs))
        for is_object, _, number, runs in sorted(parts, key=lambda part: part[:2]):
            label[np.asarray(coco.decode(runs), dtype=bool)] = number if is_object else np.iinfo(self.kind).max
        return label

    def _runs(self, annotation: Annotation) -> Any:
        """What an annotation covers, as pycocotools keeps it."""
        from pycocotools import mask as coco

        shape, (width, height) = annotation["segmentation"], self.size
        called = f"{self.files[0]}: the segmentation of annotation {short(annotation.get('id'))}"
        with reading(self.files[0], "is damaged", called=called):
            require_shape(shape, width, height)
            if isinstance(shape, list):
                return coco.merge(coco.frPyObjects([part for part in shape if len(part) >= 6], height, width))
            runs = {**shape, "size": [height, width]}
            return coco.frPyObjects(runs, height, width) if isinstance(shape["counts"], list) else runs


def read_coco(path: Path, data: TaggedImages) -> Reading:
    """Find the masks of images in a COCO file.

    An image whose size is not what the file says (it was scaled since, or is turned upright by its EXIF data, which
    those who drew did not see) is left out, and so is one of which an object has no segmentation.

    Raises:
        DataError: pycocotools is missing, or the file holds none of the classes, or no segmentation of an object.
    """
    try:
        import pycocotools.mask  # noqa: F401
    except ImportError as error:
        raise DataError("masks from COCO need pycocotools", hint="pip install 'ktse[coco]'") from error
    instances = read_instances(path)
    labels = _labels(instances, data)
    images, found = Images(data), Reading()
    entries, unfit, found.problems = entries_by_file(instances, images.file)
    found.unfit = {name: name for name in unfit.values()}
    found.notes = _left_out(instances, labels)
    shapes = {
        file: tuple((labels[one["category_id"]], one) for one in entry.annotations if one["category_id"] in labels)
        for file, entry in entries.items()
    }
    _require_segmentations(path, [one for mine in shapes.values() for _, one in mine])
    for file, entry in entries.items():
        _add(found, path, images, images.files[file], entry, shapes[file])
    classes = [found.drawn[name] for name, shown in found.shown.items() if shown]
    if classes and not any(map(_covers_a_pixel, classes)):  # the first mask that does so answers
        found.problems.append(f"{path}: its segmentations cover no pixel: must be in pixels, not in shares of the size")
    return found


def _labels(instances: Instances, data: TaggedImages) -> dict[int, int]:
    """Category number to label 1..C."""
    known = {name: label for label, name in enumerate(data.classes, start=1)}
    names = instances.names.items()
    labels = {number: known.get(name) or known.get(SAME_AS_VOC.get(name, name), 0) for number, name in names}
    if not any(labels.values()):
        where = [f"categories: {examples(instances.names.values())}", f"classes: {examples(data.classes)}"]
        text = f"no category of {instances.path} is one of the classes"
        raise DataError(text, where=where, hint="Names must be the same, letter by letter.")
    return {category: label for category, label in labels.items() if label}


def _left_out(instances: Instances, labels: dict[int, int]) -> list[str]:
    """What annotations are not drawn, in words, as their categories are no classes."""
    used = Counter(one["category_id"] for mine in instances.annotations.values() for one in mine)
    other = sorted(category for category in used if category not in labels)
    if not other:
        return []
    count = many(sum(used[category] for category in other), "annotation is", "annotations are")
    names = examples(instances.names[category] for category in other)
    return [f"{instances.path}: {count} of categories that are no classes and left out: {names}"]


def _require_segmentations(path: Path, annotations: list[Annotation]) -> None:
    total, blank = many(len(annotations), "annotation"), sum(map(_blank, annotations))
    if annotations and blank == len(annotations):
        hint = "Export masks or polygons: boxes do not say which pixels belong to an object."
        raise DataError(f"{path} holds boxes, but no segmentation: {blank} of {total} have none", hint=hint)
    if annotations and all(one.get("iscrowd") for one in annotations):
        text = f"{path} holds crowds alone (iscrowd 1; {total}), whose pixels are undecided"
        raise DataError(text, hint="Set iscrowd to 0 if each of them is an object.")


def _blank(annotation: Annotation) -> bool:
    """Whether an annotation has no shape: none, an empty one, or polygons of less than three points."""
    shape = annotation.get("segmentation")
    if isinstance(shape, list):
        return all(isinstance(part, list) and len(part) < 6 for part in shape)
    return not shape or (isinstance(shape, dict) and not shape.get("counts"))


def _add(
    found: Reading, path: Path, images: Images, index: int, entry: Entry, shapes: tuple[tuple[int, Annotation], ...]
) -> None:
    if wrong := ", ".join(filter(None, map(_side_problem, ("width", "height"), entry.size))):
        found.problems.append(f"{path}: image {entry.number}: {wrong}")
        return
    file, image_id = images.data.files[index], images.data.ids[index]
    size = (int(entry.size[0]), int(entry.size[1]))
    if size[0] * size[1] > (Image.MAX_IMAGE_PIXELS or 0):
        found.problems.append(f"{path}: image {entry.number}: {pixels(size)} are refused as a decompression bomb")
        return
    real, blank = images.size(index) or size, sum(_blank(one) for _, one in shapes)
    if real != size:
        found.skipped[file] = f"has {pixels(real)}, not {pixels(size)}"
    elif blank:
        found.skipped[file] = f"has {many(len(shapes), 'annotation')}, {blank} of them without segmentation"
    else:
        found.paths[image_id] = path
        found.drawn[image_id] = Segmented((path,), size, shapes, label_type(len(images.data.classes)))
        found.shown[image_id] = frozenset(label for label, one in shapes if not one.get("iscrowd"))


def _side_problem(name: str, value: Any) -> str:
    """What is wrong with a width or height, or nothing; 64.0, as some tools write it, is 64."""
    if value is None:
        return f"{name} is missing"
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value // 1:
        return f"{name} is {short(value)}, not a whole number"
    return f"{name} is {short(value)}, but must be in 1..{MOST_SIDE}" if not 1 <= value <= MOST_SIDE else ""


def _covers_a_pixel(mask: Drawing) -> bool:
    try:
        label = mask.draw()
    except DataError:  # check lists all of these
        return True
    return bool(((label > 0) & (label < np.iinfo(label.dtype).max)).any())
