"""COCO: images, categories and annotations in one JSON file; tags from annotations, true masks from segmentations."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ktse.console import say
from ktse.data.folder import some
from ktse.data.found import SAME_AS_VOC, Found
from ktse.data.image import image_size
from ktse.data.listing import Names, left_out, list_folder
from ktse.data.records import load_json
from ktse.data.sample import TaggedImages, Truth
from ktse.data.text import clean
from ktse.errors import DataError
from ktse.run_folder import label_type

# fmt: off
COCO_CLASSES = {
    1: "person", 2: "bicycle", 3: "car", 4: "motorcycle", 5: "airplane", 6: "bus", 7: "train", 8: "truck", 9: "boat",
    10: "traffic light", 11: "fire hydrant", 13: "stop sign", 14: "parking meter", 15: "bench", 16: "bird", 17: "cat",
    18: "dog", 19: "horse", 20: "sheep", 21: "cow", 22: "elephant", 23: "bear", 24: "zebra", 25: "giraffe",
    27: "backpack", 28: "umbrella", 31: "handbag", 32: "tie", 33: "suitcase", 34: "frisbee", 35: "skis",
    36: "snowboard", 37: "sports ball", 38: "kite", 39: "baseball bat", 40: "baseball glove", 41: "skateboard",
    42: "surfboard", 43: "tennis racket", 44: "bottle", 46: "wine glass", 47: "cup", 48: "fork", 49: "knife",
    50: "spoon", 51: "bowl", 52: "banana", 53: "apple", 54: "sandwich", 55: "orange", 56: "broccoli", 57: "carrot",
    58: "hot dog", 59: "pizza", 60: "donut", 61: "cake", 62: "chair", 63: "couch", 64: "potted plant", 65: "bed",
    67: "dining table", 70: "toilet", 72: "tv", 73: "laptop", 74: "mouse", 75: "remote", 76: "keyboard",
    77: "cell phone", 78: "microwave", 79: "oven", 80: "toaster", 81: "sink", 82: "refrigerator", 84: "book",
    85: "clock", 86: "vase", 87: "scissors", 88: "teddy bear", 89: "hair drier", 90: "toothbrush",
}
# fmt: on
"""The 80 categories of COCO by their published numbers 1..90 (91 counts the eleven that were never released)."""

EIGHTY = {number: index for index, number in enumerate(COCO_CLASSES)}
"""COCO's category numbers to class indices 0..79."""


@dataclass(frozen=True)
class Instances:
    """What one COCO file says, checked.

    Attributes:
        path: the file.
        classes: names in class order: COCO's 80 if all categories are among them, else as the file numbers them.
        index: category number to class index.
        images: image number to its entry.
        annotations: image number to its annotations.
    """

    path: Path
    classes: tuple[str, ...]
    index: dict[int, int]
    images: dict[int, dict[str, Any]]
    annotations: dict[int, list[dict[str, Any]]]


def looks_like_coco(path: Path) -> bool:
    """Whether a file has the words of COCO's lists in it; half a gigabyte of JSON is not parsed to find out."""
    if path.suffix.lower() != ".json" or not path.is_file():
        return False
    words, end = {b'"images"', b'"annotations"', b'"categories"'}, b""
    with path.open("rb") as file:
        while words and (block := file.read(1 << 22)):
            words = {word for word in words if word not in end + block}
            end = block[-20:]
    return not words


def read_instances(path: Path) -> Instances:
    """Read and check a COCO file.

    Raises:
        DataError: it cannot be read, or entries are damaged; all are listed.
    """
    content = load_json(path)
    lists = ("images", "annotations", "categories")
    if not isinstance(content, dict) or not all(isinstance(content.get(key), list) for key in lists):
        raise DataError(f"{path} is no COCO file", hint="It needs the lists images, annotations and categories.")
    problems: list[str] = []
    names = _entries(content, "categories", {"id": int, "name": str}, problems)
    images = _entries(content, "images", {"id": int, "file_name": str}, problems)
    annotations: dict[int, list[dict[str, Any]]] = {number: [] for number in images}
    for place, entry in enumerate(content["annotations"]):
        where = f"annotations[{place}]"
        if not isinstance(entry, dict):
            problems.append(f"{where} is not an object")
        elif not _whole(entry.get("image_id")) or entry["image_id"] not in images:
            problems.append(f"{where}: image_id {entry.get('image_id')!r} is no image")
        elif not _whole(entry.get("category_id")) or entry["category_id"] not in names:
            problems.append(f"{where}: category_id {entry.get('category_id')!r} is no category")
        else:
            annotations[entry["image_id"]].append(entry)
    named = {number: clean(entry["name"]) for number, entry in names.items()}
    doubled = {name for name in named.values() if list(named.values()).count(name) > 1}
    problems += [f"categories: the name {name!r} is there twice" for name in sorted(doubled)]
    if problems or not images or not names:
        raise DataError(
            f"{path} cannot be used as it is", where=problems or "it has no images or no categories",
            hint="Mend or remove these entries.",
        )  # fmt: skip
    if all(COCO_CLASSES.get(number) == name for number, name in named.items()):
        return Instances(path, tuple(COCO_CLASSES.values()), EIGHTY, images, annotations)
    order = sorted(named)
    classes = tuple(named[number] for number in order)
    return Instances(path, classes, {number: index for index, number in enumerate(order)}, images, annotations)


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _entries(content: dict[str, Any], key: str, needs: dict[str, type], problems: list[str]) -> dict[int, Any]:
    found: dict[int, Any] = {}
    for place, entry in enumerate(content[key]):
        where = f"{key}[{place}]"
        if not isinstance(entry, dict):
            problems.append(f"{where} is not an object")
            continue
        values = {name: entry.get(name) for name in needs}
        wrong = [
            name
            for name, value in values.items()
            if value == "" or isinstance(value, bool) or not isinstance(value, needs[name])
        ]
        if wrong:
            problems.append(f"{where}: {', '.join(f'{name} is {entry.get(name)!r}' for name in wrong)}")
        elif entry["id"] in found:
            problems.append(f"{where}: the id {entry['id']} is there twice")
        else:
            found[entry["id"]] = entry
    return found


def find_coco(images: Path, files: list[Path]) -> Found:
    """Read images and tags from COCO files; a class is a tag of an image if any annotation says so, crowds included.

    Args:
        images: folder of the images, or one above it.
        files: COCO files; images of those with "val" in their name are validation images if there are others too.

    Raises:
        DataError: a file is damaged, or images are missing; all are listed.
    """
    listing = list_folder(images)
    names = Names(listing)
    found: dict[str, tuple[str, ...]] = {}
    validation: list[bool] = []
    classes: tuple[str, ...] = ()
    problems: list[str] = []
    for path in files:
        instances = read_instances(path)
        if classes not in ((), instances.classes):
            raise DataError(f"{path} has other categories than {files[0]}", hint="Give one of them as --tags.")
        classes = instances.classes
        missing = []
        for number, entry in instances.images.items():
            file = names.find(entry["file_name"])
            if file is None:
                missing.append(f"{path}: image {number}: {entry['file_name']!r} {names.why(entry['file_name'])}")
            elif file in found:
                missing.append(f"{path}: image {number}: {entry['file_name']!r} is there already")
            else:
                present = sorted({instances.index[one["category_id"]] for one in instances.annotations[number]})
                found[file] = tuple(classes[index] for index in present)
                validation.append("val" in path.stem)
        problems += some(missing)
    if problems:
        raise DataError(
            f"{', '.join(map(str, files))} and the folder {images} do not fit", where=problems,
            hint="IMAGES is the folder of the images (train2014), or the one above it.",
        )  # fmt: skip
    split = np.array(validation, dtype=bool)
    notes = [*listing.notes, *left_out(listing, found, ", ".join(file.name for file in files))]
    chosen = split if split.any() and not split.all() else None
    return Found(images, files[0], list(found), list(found.values()), classes, chosen, notes)


def coco_files(root: Path) -> list[Path]:
    """The instance files of a COCO tree (annotations/instances_*.json), or none."""
    return sorted((root / "annotations").glob("instances_*.json"))


@dataclass(frozen=True)
class CocoTruth(Truth):
    """True masks from segmentations.

    Attributes:
        entries: by image id, the entry of its image and its annotations.
        labels: category number to label 1..C of the classes in use.
    """

    entries: dict[str, tuple[dict[str, Any], list[dict[str, Any]]]]
    labels: dict[int, int]

    def read(self, image_id: str) -> np.ndarray:
        """Draw the mask of an image: crowds as ignored first, then objects, the larger ones first.

        Raises:
            DataError: a segmentation is damaged.
        """
        image, annotations = self.entries[image_id]
        kind = label_type(max(self.labels.values(), default=0))
        label = np.zeros((image["height"], image["width"]), dtype=kind)
        parts = []
        for annotation in annotations:
            if annotation["category_id"] in self.labels:
                mask = self._draw(annotation, image)
                crowd = bool(annotation.get("iscrowd"))
                parts.append((not crowd, -int(mask.sum()), annotation["category_id"], mask))
        for place in sorted(range(len(parts)), key=lambda index: parts[index][:2]):
            is_object, _, category, mask = parts[place]
            label[mask] = self.labels[category] if is_object else np.iinfo(kind).max
        return label

    def _draw(self, annotation: dict[str, Any], image: dict[str, Any]) -> np.ndarray:
        from pycocotools import mask as coco

        shape, height, width = annotation.get("segmentation"), image["height"], image["width"]
        try:
            if not isinstance(shape, list | dict):
                raise ValueError(f"it is {shape!r}")
            if isinstance(shape, list):
                polygons = [part for part in shape if len(part) >= 6]
                if not polygons:
                    return np.zeros((height, width), dtype=bool)
                runs = coco.merge(coco.frPyObjects(polygons, height, width))
            elif list(shape["size"]) != [height, width]:
                raise ValueError("its size is not that of the image")
            elif isinstance(shape["counts"], list):
                if sum(shape["counts"]) != height * width:
                    raise ValueError("its runs do not fill the image")
                runs = coco.frPyObjects(shape, height, width)
            else:
                runs = shape
            return np.asarray(coco.decode(runs), dtype=bool)
        except Exception as error:  # damaged runs make pycocotools raise whatever its C code stumbles over
            path = next(iter(self.paths.values()))
            raise DataError(
                f"{path}: the segmentation of annotation {annotation.get('id')} is damaged: {error}"
            ) from error

    def take(self, ids: Collection[str]) -> CocoTruth:
        """The masks of some of the images."""
        kept = {name: self.paths[name] for name in ids if name in self.paths}
        return dataclasses.replace(self, paths=kept, entries={name: self.entries[name] for name in kept})


def _size(data: TaggedImages, index: int) -> tuple[int, int] | None:
    try:
        return image_size(data.source(index))
    except DataError:  # said by check, which knows whether to skip it
        return None


def open_coco_truth(path: Path, data: TaggedImages) -> CocoTruth:
    """Find the true masks of a data set in a COCO file.

    An image whose size is not what the file says (it was scaled since, or is turned upright by its EXIF data, which
    those who drew did not see) has no mask there; that is said.

    Raises:
        DataError: pycocotools is missing, the file is damaged, or it holds none of the images or of the classes.
    """
    try:
        import pycocotools.mask  # noqa: F401
    except ImportError as error:
        raise DataError("masks from COCO need pycocotools", hint="pip install 'ktse[coco]'") from error
    instances = read_instances(path)
    number = {name: label for label, name in enumerate(data.classes, start=1)}
    labels: dict[int, int] = {}
    for category, index in instances.index.items():
        name = instances.classes[index]
        label = number.get(name) or number.get(SAME_AS_VOC.get(name, name))
        if label:
            labels[category] = label
    bare = [name.rpartition("/")[2] for name in data.files]
    counts = Counter(bare)
    byname = {name: index for index, name in enumerate(bare) if counts[name] == 1}
    whole = {name: index for index, name in enumerate(data.files)}
    entries = {}
    problems, other = [], []
    for image, entry in instances.images.items():
        name = entry["file_name"]
        if name not in whole and name.rpartition("/")[2] not in byname:
            continue
        index = whole[name] if name in whole else byname[name.rpartition("/")[2]]
        if not all(_whole(entry.get(side)) and entry[side] > 0 for side in ("height", "width")):
            problems.append(f"{path}: image {image}: height and width are missing")
        elif _size(data, index) in (None, (entry["width"], entry["height"])):
            entries[data.ids[index]] = (entry, instances.annotations[image])
        else:
            width, height = _size(data, index) or (0, 0)
            other.append(f"{data.files[index]} has {width}x{height} pixels, not {entry['width']}x{entry['height']}")
    if other and entries:
        say(f"{path}: {len(other)} images are not measured: {'; '.join(other[:3])}{' ...' if len(other) > 3 else ''}")
    problems += other if not entries else []
    if problems or not entries or not labels:
        raise DataError(
            f"{path} does not hold the masks of these images",
            where=some(problems) or ("no image is in it" if labels else "no class is in it"),
        )
    return CocoTruth(dict.fromkeys(entries, path), entries, labels)
