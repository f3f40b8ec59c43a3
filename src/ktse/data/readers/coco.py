"""COCO: images, categories and annotations in one JSON file, and the tags of images that annotations say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ktse.data.image_files import Names, left_out, list_folder
from ktse.data.readers.folder import some
from ktse.data.readers.found import Found
from ktse.data.readers.records import load_json
from ktse.data.text import clean
from ktse.errors import DataError

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
        names: category number to name.
        roots: categories that no annotation uses and that others name as their supercategory, as Roboflow writes one.
        images: image number to its entry.
        annotations: image number to its annotations.
    """

    path: Path
    names: dict[int, str]
    roots: frozenset[int]
    images: dict[int, dict[str, Any]]
    annotations: dict[int, list[dict[str, Any]]]


class Entry(NamedTuple):
    """One image of a COCO file.

    Attributes:
        number: of the image.
        size: width and height as they are in the file.
        annotations: of the image, and of other entries for the same image.
    """

    number: int
    size: tuple[Any, Any]
    annotations: list[dict[str, Any]]


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
    lacks = [key for key in lists if not isinstance(content, dict) or not isinstance(content.get(key), list)]
    if lacks:
        raise DataError(
            f"{path} is no COCO file", where=f"it has no list {', '.join(lacks)}",
            hint="It needs the lists images, annotations and categories.",
        )  # fmt: skip
    problems: list[str] = []
    categories = _entries(content, "categories", {"id": int, "name": str}, problems)
    images = _entries(content, "images", {"id": int, "file_name": str}, problems)
    annotations: dict[int, list[dict[str, Any]]] = {number: [] for number in images}
    for place, entry in enumerate(content["annotations"]):
        where = f"annotations[{place}]"
        if not isinstance(entry, dict):
            problems.append(f"{where} is not an object")
        elif not _whole(entry.get("image_id")) or entry["image_id"] not in images:
            problems.append(f"{where}: image_id {entry.get('image_id')!r} is no image")
        elif not _whole(entry.get("category_id")) or entry["category_id"] not in categories:
            problems.append(f"{where}: category_id {entry.get('category_id')!r} is no category")
        else:
            annotations[entry["image_id"]].append(entry)
    names = {number: clean(entry["name"]) for number, entry in categories.items()}
    roots = _roots(categories, {one["category_id"] for mine in annotations.values() for one in mine})
    counts = Counter(name for number, name in names.items() if number not in roots)
    problems += [f"categories: the name {name!r} is there twice" for name, count in sorted(counts.items()) if count > 1]
    if problems or not images or not names:
        raise DataError(
            f"{path} cannot be used as it is", where=problems or "it has no images or no categories",
            hint="Fix or remove these entries.",
        )  # fmt: skip
    return Instances(path, names, roots, images, annotations)


def _roots(categories: dict[int, dict[str, Any]], used: set[int]) -> frozenset[int]:
    """Categories that only group others."""
    groups = {number: str(entry.get("supercategory") or "").strip() for number, entry in categories.items()}
    counts = Counter(groups.values())
    names = {number: clean(entry["name"]) for number, entry in categories.items()}
    return frozenset(
        number for number in categories.keys() - used if groups[number] != names[number] and counts[names[number]]
    )


def classes_of(files: list[Instances]) -> tuple[tuple[str, ...], dict[int, int], list[str]]:
    """The classes of COCO files that belong together.

    Returns:
        names in class order: COCO's 80 if all categories are among them, else in the order of their numbers; category
        number to class index; what is left out.

    Raises:
        DataError: the files have different categories.
    """
    roots = frozenset.intersection(*(one.roots for one in files))
    named = {number: name for number, name in files[0].names.items() if number not in roots}
    for other in files[1:]:
        if {number: name for number, name in other.names.items() if number not in roots} != named:
            raise DataError(f"{other.path} has other categories than {files[0].path}", hint="Give one as --tags.")
    notes = [
        f"the category {files[0].names[number]!r} (id {number}) is left out: no annotation uses it, and it is the "
        "supercategory of others"
        for number in sorted(roots)
    ]
    if all(COCO_CLASSES.get(number) == name for number, name in named.items()):
        return tuple(COCO_CLASSES.values()), EIGHTY, notes
    order = sorted(named)
    return tuple(named[number] for number in order), {number: index for index, number in enumerate(order)}, notes


def entries_by_file(
    instances: Instances, find: Callable[[str], str | None]
) -> tuple[dict[str, Entry], dict[int, str], list[str]]:
    """The images of a COCO file by the file that `find` finds for their name.

    Entries for the same file, as a merge leaves them, are joined.

    Returns:
        the images; number and name of those whose file is not found; entries that cannot be joined.
    """
    found: dict[str, Entry] = {}
    unfit: dict[int, str] = {}
    problems = []
    for number, image in instances.images.items():
        file = find(image["file_name"])
        entry = Entry(number, (image.get("width"), image.get("height")), instances.annotations[number])
        if file is None:
            unfit[number] = image["file_name"]
        elif file not in found:
            found[file] = entry
        elif None in (*found[file].size, *entry.size) or found[file].size == entry.size:
            found[file] = found[file]._replace(annotations=[*found[file].annotations, *entry.annotations])
        else:
            sizes = " and ".join("x".join(map(str, one.size)) for one in (found[file], entry))
            numbers = f"images {found[file].number} and {number}"
            problems.append(f"{instances.path}: {numbers} are both {file}, but of {sizes} pixels")
    return found, unfit, problems


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
    problems: list[str] = []
    parts = [read_instances(path) for path in files]
    classes, index, left = classes_of(parts)
    for instances in parts:
        path = instances.path
        entries, unfit, wrong = entries_by_file(instances, names.find)
        wrong += [f"{path}: image {number}: {name!r} {names.why(name)}" for number, name in unfit.items()]
        for file, entry in entries.items():
            if file in found:
                wrong.append(f"{path}: image {entry.number}: {file!r} is in another of these files too")
                continue
            present = sorted({index[one["category_id"]] for one in entry.annotations})
            found[file] = tuple(classes[number] for number in present)
            validation.append("val" in path.stem)
        problems += some(wrong)
    if problems:
        raise DataError(
            f"{', '.join(map(str, files))} and the folder {images} do not fit", where=problems,
            hint="IMAGES is the folder of the images (train2014), or the one above it.",
        )  # fmt: skip
    split = np.array(validation, dtype=bool)
    notes = [*listing.notes, *left, *left_out(listing, found, ", ".join(file.name for file in files))]
    chosen = split if split.any() and not split.all() else None
    return Found(images, files[0], list(found), list(found.values()), classes, chosen, notes)


def coco_files(root: Path) -> list[Path]:
    """The instance files of a COCO tree (annotations/instances_*.json), or none."""
    return sorted((root / "annotations").glob("instances_*.json"))
