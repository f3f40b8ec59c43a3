"""Masks from the segmentations of a COCO file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ktse.data.dataset import TaggedImages
from ktse.data.image import image_size
from ktse.data.readers.coco import Entry, Instances, entries_by_file, read_instances
from ktse.data.readers.found import SAME_AS_VOC
from ktse.data.readers.found_masks import Images, Reading, examples, many
from ktse.errors import DataError
from ktse.files import label_type

Annotation = dict[str, Any]


@dataclass(frozen=True)
class Segmented:
    """A mask that is drawn from segmentations.

    Attributes:
        path: the COCO file.
        size: width and height.
        shapes: annotations with the label of their class.
        kind: type of the labels, uint8 or uint16.
    """

    path: Path
    size: tuple[int, int]
    shapes: tuple[tuple[int, Annotation], ...]
    kind: type[np.unsignedinteger]

    @property
    def files(self) -> tuple[Path, ...]:
        """The file that it is drawn from."""
        return (self.path,)

    @property
    def key(self) -> str:
        """What else the drawing depends on."""
        return ""

    def draw(self) -> np.ndarray:
        """Draw the mask: crowds as undecided first, then objects, the larger ones first.

        Raises:
            DataError: a segmentation is damaged.
        """
        label = np.zeros(self.size[::-1], dtype=self.kind)
        parts = []
        for number, annotation in self.shapes:
            mask = self._shape(annotation)
            parts.append((not annotation.get("iscrowd"), -int(mask.sum()), number, mask))
        for is_object, _, number, mask in sorted(parts, key=lambda part: part[:2]):
            label[mask] = number if is_object else np.iinfo(self.kind).max
        return label

    def _shape(self, annotation: Annotation) -> np.ndarray:
        from pycocotools import mask as coco

        shape, (width, height) = annotation["segmentation"], self.size
        try:
            if not isinstance(shape, list | dict):
                raise ValueError(f"it is {shape!r}")
            if isinstance(shape, list):
                runs = coco.merge(coco.frPyObjects([part for part in shape if len(part) >= 6], height, width))
            elif list(shape["size"]) != [height, width]:
                raise ValueError("its size is not that of the image")
            elif isinstance(shape["counts"], list):
                if sum(shape["counts"]) != height * width:
                    raise ValueError("its runs do not fill the image")
                runs = coco.frPyObjects({**shape, "size": [height, width]}, height, width)
            else:
                runs = {**shape, "size": [height, width]}
            return np.asarray(coco.decode(runs), dtype=bool)
        except Exception as error:  # damaged runs make pycocotools raise whatever its C code stumbles over
            raise DataError(
                f"{self.path}: the segmentation of annotation {annotation.get('id')} is damaged: {error}"
            ) from error


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
    entries, unfit, found.problems = entries_by_file(instances, lambda name: _file(images, data, name))
    found.unfit = {name: name for name in unfit.values()}
    index = {file: number for number, file in enumerate(data.files)}
    fitting = {index[file]: entry for file, entry in entries.items()}
    shapes = {
        number: tuple((labels[one["category_id"]], one) for one in entry.annotations if one["category_id"] in labels)
        for number, entry in fitting.items()
    }
    _require_segmentations(path, [one for mine in shapes.values() for _, one in mine])
    for number, entry in fitting.items():
        _add(found, path, data, number, entry, shapes[number])
    if not _covers_a_pixel(found):
        found.problems.append(f"{path}: its segmentations cover no pixel: must be in pixels, not in shares of the size")
    return found


def _labels(instances: Instances, data: TaggedImages) -> dict[int, int]:
    """Category number to label 1..C."""
    number = {name: label for label, name in enumerate(data.classes, start=1)}
    named = {category: SAME_AS_VOC.get(name, name) for category, name in instances.names.items()}
    labels = {
        category: number.get(name) or number.get(named[category], 0) for category, name in instances.names.items()
    }
    if not any(labels.values()):
        raise DataError(
            f"no category of {instances.path} is one of the classes",
            where=[f"categories: {examples(instances.names.values())}", f"classes: {examples(data.classes)}"],
            hint="Names must be the same, letter by letter.",
        )  # fmt: skip
    return {category: label for category, label in labels.items() if label}


def _file(images: Images, data: TaggedImages, name: str) -> str | None:
    index = images.find(name)
    return None if index is None else data.files[index]


def _require_segmentations(path: Path, annotations: list[Annotation]) -> None:
    total, blank = len(annotations), sum(_blank(one) for one in annotations)
    if total and blank == total:
        raise DataError(
            f"{path} holds boxes, but no segmentation: {blank} of {many(total, 'annotation')} have none",
            hint="Export masks or polygons: boxes do not say which pixels belong to an object.",
        )
    if total and all(one.get("iscrowd") for one in annotations):
        raise DataError(
            f"all {many(total, 'annotation')} in {path} are crowds (iscrowd 1), whose pixels are undecided",
            hint="Set iscrowd to 0 if each of them is an object.",
        )


def _blank(annotation: Annotation) -> bool:
    """Whether an annotation has no shape: none, an empty one, or polygons of less than three points."""
    shape = annotation.get("segmentation")
    if isinstance(shape, list):
        return all(isinstance(part, list) and len(part) < 6 for part in shape)
    return not shape or (isinstance(shape, dict) and not shape.get("counts"))


def _add(
    found: Reading, path: Path, data: TaggedImages, index: int, entry: Entry, shapes: tuple[tuple[int, Annotation], ...]
) -> None:
    size, wrong = _size(entry)
    if wrong or size is None:
        found.problems.append(f"{path}: image {entry.number}: {wrong}")
        return
    file, image_id = data.files[index], data.ids[index]
    real, blank = _real_size(data, index), sum(_blank(one) for _, one in shapes)
    if real not in (None, size):
        found.skipped[file] = f"has {'x'.join(map(str, real or ()))} pixels, not {size[0]}x{size[1]}"
    elif blank:
        found.skipped[file] = f"has {many(len(shapes), 'annotation')}, {blank} of them without segmentation"
    else:
        found.paths[image_id] = path
        found.drawn[image_id] = Segmented(path, size, shapes, label_type(len(data.classes)))
        found.shown[image_id] = frozenset(label for label, one in shapes if not one.get("iscrowd"))


def _size(entry: Entry) -> tuple[tuple[int, int] | None, str]:
    """Width and height, or what is wrong with them; 64.0, as some tools write it, is 64."""
    wrong = []
    for name, value in zip(("width", "height"), entry.size, strict=True):
        if value is None:
            wrong.append(f"{name} is missing")
        elif isinstance(value, bool) or not isinstance(value, int | float) or value != value // 1:
            wrong.append(f"{name} is {value!r}, not a whole number")
        elif value < 1:
            wrong.append(f"{name} is {value!r}, but must be 1 or more")
    return (None, ", ".join(wrong)) if wrong else ((int(entry.size[0]), int(entry.size[1])), "")


def _real_size(data: TaggedImages, index: int) -> tuple[int, int] | None:
    try:
        return image_size(data.source(index))
    except DataError:  # check says it, and knows whether to skip the image
        return None


def _covers_a_pixel(found: Reading) -> bool:
    """Whether any mask that should show a class does; the first that does answers."""
    names = [name for name, shown in found.shown.items() if shown]
    return not names or any(_any_class(found, name) for name in names)


def _any_class(found: Reading, name: str) -> bool:
    try:
        label = found.drawn[name].draw()
    except DataError:  # check lists all of these
        return True
    return bool(((label > 0) & (label < np.iinfo(label.dtype).max)).any())
