"""COCO: images, categories and annotations in one JSON file, and the tags of images that annotations say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ktse.data.classes import COCO_CLASSES
from ktse.data.image_files import list_folder
from ktse.data.name_matching import Names
from ktse.data.readers.found import Found
from ktse.data.text import clean, listed
from ktse.data.text_files import read_json
from ktse.errors import DataError
from ktse.runtime.words import many

LISTS = ("images", "annotations", "categories")


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
    words, end = {f'"{name}"'.encode() for name in LISTS}, b""
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
    content = read_json(path)
    if lacks := [key for key in LISTS if not isinstance(content, dict) or not isinstance(content.get(key), list)]:
        where, hint = f"it has no list {', '.join(lacks)}", f"It needs the lists {', '.join(LISTS)}."
        raise DataError(f"{path} is no COCO file", where=where, hint=hint)
    problems: list[str] = []
    categories = _by_id(content, "categories", "name", problems)
    images = _by_id(content, "images", "file_name", problems)
    annotations: dict[int, list[dict[str, Any]]] = {number: [] for number in images}
    for where, entry in _objects(content, "annotations", problems):
        image, category = entry.get("image_id"), entry.get("category_id")
        if not _whole(image) or image not in images:
            problems.append(f"{where}: image_id {image!r} is no image")
        elif not _whole(category) or category not in categories:
            problems.append(f"{where}: category_id {category!r} is no category")
        else:
            annotations[image].append(entry)
    names = {number: clean(entry["name"]) for number, entry in categories.items()}
    above = {number: str(entry.get("supercategory") or "").strip() for number, entry in categories.items()}
    unused = names.keys() - {one["category_id"] for mine in annotations.values() for one in mine}
    groups = set(above.values())
    roots = frozenset(number for number in unused if above[number] != names[number] and names[number] in groups)
    counts = Counter(name for number, name in names.items() if number not in roots)
    problems += [f"categories: the name {name!r} is there twice" for name, count in sorted(counts.items()) if count > 1]
    if problems or not images or not names:
        places = problems or ["it has no images or no categories"]
        raise DataError(f"{path} cannot be used as it is", where=places, hint="Fix or remove these entries.")
    return Instances(path, names, roots, images, annotations)


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _objects(content: dict[str, Any], key: str, problems: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    for place, entry in enumerate(content[key]):
        if isinstance(entry, dict):
            yield f"{key}[{place}]", entry
        else:
            problems.append(f"{key}[{place}] is not an object")


def _by_id(content: dict[str, Any], key: str, text: str, problems: list[str]) -> dict[int, Any]:
    """The entries of a list by their ids; those without an id or a text under a key are problems."""
    found: dict[int, Any] = {}
    for where, entry in _objects(content, key, problems):
        named = isinstance(entry.get(text), str) and entry[text]
        wrong = [name for name, fine in (("id", _whole(entry.get("id"))), (text, named)) if not fine]
        if wrong:
            problems.append(f"{where}: {', '.join(f'{name} is {entry.get(name)!r}' for name in wrong)}")
        elif entry["id"] in found:
            problems.append(f"{where}: the id {entry['id']} is there twice")
        else:
            found[entry["id"]] = entry
    return found


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
    published = all(COCO_CLASSES.get(number) == name for number, name in named.items())
    order = COCO_CLASSES if published else dict(sorted(named.items()))
    return tuple(order.values()), {number: index for index, number in enumerate(order)}, notes


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
    held_out: set[str] = set()
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
            held_out |= {file} if "val" in path.stem else set()
        problems += listed(wrong)
    if problems:
        hint = "IMAGES is the folder of the images (train2014), or the one above it."
        text = f"{', '.join(map(str, files))} and the folder {images} do not fit"
        raise DataError(text, where=problems, hint=hint)
    notes = [*listing.notes, *left]
    if rest := len(listing.files) - len(found):
        given = ", ".join(file.name for file in files)
        notes.append(f"left out: {many(rest, 'image')} in {images} without a name in {given}")
    chosen = np.array([file in held_out for file in found]) if 0 < len(held_out) < len(found) else None
    return Found(images, files[0], list(found), list(found.values()), classes, chosen, notes)


def coco_files(root: Path) -> list[Path]:
    """The instance files of a COCO tree (annotations/instances_*.json), or none."""
    return sorted((root / "annotations").glob("instances_*.json"))
