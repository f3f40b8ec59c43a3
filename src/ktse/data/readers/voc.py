"""PASCAL VOC trees: JPEGImages, Annotations, ImageSets, SegmentationClass and, if present, SegmentationClassAug."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ktse.data.image_files import Names, list_folder
from ktse.data.readers.folder import some
from ktse.data.readers.found import VOC_CLASSES, Found, read_classes, read_list
from ktse.data.readers.xml import read_xml
from ktse.data.text import clean
from ktse.errors import DataError, KtseError
from ktse.files import read_label_map, undecided

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


def find_voc(root: Path, train_list: str = "", validation_list: str = "") -> Found:
    """Read the images that ImageSets names, and their tags from Annotations, or from masks for images without one.

    Without lists given, training images are those of train_aug.txt or else train.txt, validation images those of
    val.txt; without these, all. Every object is a tag, those marked difficult too: it is in the image, and the
    published results count it. Classes are VOC's 20 in their order, so that its masks fit; for other objects, those
    of a classes.txt beside JPEGImages, or the names that occur, sorted.

    Args:
        root: folder that holds JPEGImages.
        train_list: name of a list of the tree, such as trainval, or path of any other.
        validation_list: likewise.

    Raises:
        DataError: lists, annotations or masks that cannot be used, all together.
    """
    listing = list_folder(root / "JPEGImages")
    names = Names(listing)
    if train_list or validation_list:
        training, validation = _list_path(root, train_list), _list_path(root, validation_list)
    else:
        training, validation = _list_file(root, TRAINING), _list_file(root, ("val",))
    train, problems = read_list(training, names) if training else ([], [])
    held_out, wrong = read_list(validation, names) if validation else ([], [])
    problems = some(problems) + some(wrong)
    notes = list(listing.notes)
    if training or validation:
        both = set(train) & set(held_out)
        problems += some([f"{name} is on both {training} and {validation}" for name in sorted(both)])
        files = [*train, *held_out] if training else listing.files
        rest = len(listing.files) - len(set(files))
        notes.append(f"training images: {training or 'all others'}; validation images: {validation or 'none'}")
        notes += [f"{rest} images are on neither list: left out"] if rest else []
    else:
        files = listing.files
    classes = read_classes(root / "classes.txt") if (root / "classes.txt").is_file() else ()
    tags: list[tuple[str, ...]] = []
    bad = []
    for file in files:
        try:
            tags.append(_tags(root, Path(file).with_suffix(""), classes or VOC_CLASSES))
        except (OSError, ValueError, KtseError) as error:
            bad.append(str(error).splitlines()[0])
    used = {tag for row in dict.fromkeys(tags) for tag in row}
    classes = classes or (VOC_CLASSES if used <= set(VOC_CLASSES) else ())
    unknown = sorted(used - set(classes or used))
    problems += some([f"the tag {tag!r} is not in {root / 'classes.txt'}" for tag in unknown])
    problems += some(bad)
    if problems:
        raise DataError(
            f"the VOC tree {root} cannot be used as it is", where=problems,
            hint="Fix or remove these, or name other lists with --data.train_list and --data.validation_list.",
        )  # fmt: skip
    held = set(held_out)
    chosen = np.array([file in held for file in files], dtype=bool)
    return Found(listing.root, root, files, tags, classes, chosen if validation else None, notes)


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
    for folder in MASKS:
        mask = root / folder / f"{stem}.png"
        if mask.is_file():
            label = read_label_map(mask)
            values = [int(value) for value in np.unique(label) if value not in (0, undecided(label))]
            unknown = [value for value in values if value > len(classes)]
            if unknown:
                raise ValueError(f"{mask}: values {unknown[:5]}, but there are {len(classes)} classes")
            return tuple(classes[value - 1] for value in values)
    raise ValueError(f"{path}: there is no such annotation, and no mask of this image either")


def _annotated(path: Path) -> tuple[str, ...]:
    try:
        content = read_xml(path)
    except (ValueError, OSError) as error:
        raise ValueError(f"{path}: {error}") from error
    if content.tag != "annotation":
        raise ValueError(f"{path}: line 1: its root is <{content.tag}>, not <annotation>")
    # Parts of a person (head, hand, foot) have names too, but stand inside their object.
    names = [clean(thing.findtext("name") or "") for thing in content.findall("object")]
    if not all(names):
        raise ValueError(f"{path}: object {names.index('') + 1} has no name")
    return tuple(dict.fromkeys(names))
