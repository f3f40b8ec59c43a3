"""PASCAL VOC trees: JPEGImages, Annotations, ImageSets, SegmentationClass and, if present, SegmentationClassAug."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ktse.data.classes import VOC_CLASSES, read_classes
from ktse.data.image_files import list_folder
from ktse.data.readers.found import Found, read_split
from ktse.data.text import clean, listed
from ktse.data.text_files import read_xml
from ktse.errors import DataError, KtseError
from ktse.files import read_label_map, undecided
from ktse.runtime.words import many

LISTS = ("ImageSets/Segmentation", "ImageSets/SegmentationAug", "ImageSets/Main")
TRAINING = ("train_aug", "trainaug", "train")
"""Lists of training images; the first that is there counts. train_aug is VOC 2012 with the masks of SBD."""

MASKS = ("SegmentationClassAug", "SegmentationClass")


def voc_root(path: Path) -> Path | None:
    """The VOC tree at a path, or below it (VOCdevkit/VOC2012), or None.

    Raises:
        DataError: there are several.
    """
    if (path / "JPEGImages").is_dir():
        return path
    places = [sorted(path.glob(f"{above}*/JPEGImages")) for above in ("", "VOCdevkit/")]
    below = [folder.parent for folder in places[0] or places[1]]
    if len(below) > 1:
        raise DataError(f"{path} holds several VOC trees", where=map(str, below), hint="Give one of them.")
    return below[0] if below else None


def find_voc(images: Path, train_list: str = "", validation_list: str = "") -> Found:
    """Read the images that ImageSets names, and their tags from Annotations, or from masks for images without one.

    Without lists given, training images are those of train_aug.txt or else train.txt, validation images those of
    val.txt; without these, all. Every object is a tag, those marked difficult too: it is in the image, and the
    published results count it. Classes are VOC's 20 in their order, so that its masks fit; for other objects, those
    of a classes.txt beside JPEGImages, or the names that occur, sorted.

    Args:
        images: folder that holds JPEGImages, or one above.
        train_list: name of a list of the tree, such as trainval, or path of any other.
        validation_list: likewise.

    Raises:
        DataError: lists, annotations or masks that cannot be used, all together.
    """
    root = voc_root(images)
    if root is None:
        raise DataError(f"{images} is no VOC tree", hint="It needs a folder JPEGImages.")
    listing = list_folder(root / "JPEGImages")
    if train_list or validation_list:
        training, validation = _list_path(root, train_list), _list_path(root, validation_list)
    else:
        training, validation = _list_file(root, TRAINING), _list_file(root, ("val",))
    split = read_split(training, validation, listing)
    problems, notes = split.problems, list(listing.notes)
    if training or validation:
        notes.append(f"training images: {training or 'all others'}; validation images: {validation or 'none'}")
    classes = read_classes(root / "classes.txt") if (root / "classes.txt").is_file() else ()
    tags: list[tuple[str, ...]] = []
    bad = []
    for file in split.files:
        try:
            tags.append(_tags(root, Path(file).with_suffix(""), classes or VOC_CLASSES))
        except KtseError as error:
            bad.append(error.line)
    used = {tag for row in dict.fromkeys(tags) for tag in row}
    classes = classes or (VOC_CLASSES if used <= set(VOC_CLASSES) else ())
    unknown = sorted(used - set(classes or used))
    problems += listed([f"the tag {tag!r} is not in {root / 'classes.txt'}" for tag in unknown]) + listed(bad)
    if problems:
        hint = "Fix or remove these, or name other lists with --data.train_list and --data.validation_list."
        raise DataError(f"the VOC tree {root} cannot be used as it is", where=problems, hint=hint)
    chosen = np.array([file in split.held_out for file in split.files], dtype=bool) if validation else None
    return Found(listing.root, root, split.files, tags, classes, chosen, notes + split.notes)


def _list_path(root: Path, name: str) -> Path | None:
    if not name or Path(name).is_file():
        return Path(name) if name else None
    return _list_file(root, (name.removesuffix(".txt"),)) or Path(name)


def _list_file(root: Path, names: tuple[str, ...]) -> Path | None:
    paths = [root / folder / f"{name}.txt" for name in names for folder in LISTS]
    return next((path for path in paths if path.is_file()), None)


def _tags(root: Path, stem: Path, classes: tuple[str, ...]) -> tuple[str, ...]:
    path = root / "Annotations" / f"{stem}.xml"
    if path.is_file():
        return _annotated(path)
    masks = [root / folder / f"{stem}.png" for folder in MASKS]
    mask = next((mask for mask in masks if mask.is_file()), None)
    if mask is None:
        raise DataError(f"{path}: there is no such annotation, and no mask of this image either")
    label = read_label_map(mask)
    values = [int(value) for value in np.unique(label) if value not in (0, undecided(label))]
    if unknown := [value for value in values if value > len(classes)]:
        raise DataError(f"{mask}: values {unknown[:5]}, but the data have {many(len(classes), 'class', 'classes')}")
    return tuple(classes[value - 1] for value in values)


def _annotated(path: Path) -> tuple[str, ...]:
    content = read_xml(path)
    if content.tag != "annotation":
        raise DataError(f"{path}: line 1: its root is <{content.tag}>, not <annotation>")
    # Parts of a person (head, hand, foot) have names too, but stand inside their object.
    names = [clean(thing.findtext("name") or "") for thing in content.findall("object")]
    if not all(names):
        raise DataError(f"{path}: object {names.index('') + 1} has no name")
    return tuple(dict.fromkeys(names))
