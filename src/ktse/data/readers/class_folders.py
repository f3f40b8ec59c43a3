"""Folders of images with one subfolder per class."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np

from ktse.data.image_files import Listing, list_folder
from ktse.data.readers.found import Found
from ktse.data.text import words_of
from ktse.errors import DataError
from ktse.runtime.words import many

TRAINING = ("train", "training")
VALIDATION = ("val", "valid", "validation")
SPLITS = (*TRAINING, *VALIDATION, "test")

CONTAINERS = words_of(
    """images image imgs img photos pictures pics jpegimages jpegs jpg png rgb data dataset inputs masks mask labels
    label labels_png annotations annotation annots ann anns segmentationclass segmentationclassaug segmentationobject
    segmentation segmentations segs groundtruth ground_truth gt targets target depth thumbnails thumbs splits imagesets
    train_images test_images val_images train_masks trainimages testimages"""
)
"""Names, lower-case, of folders that hold images or masks of any class: such a folder is no class."""

MASKS = ("masks", "mask", "segmentationclass", "gt", "groundtruth", "ground_truth", "labels", "annotations")
PHOTOS = ("images", "image", "imgs", "img", "jpegimages", "photos", "rgb", "train_images", "inputs")
TABLES = (".csv", ".tsv", ".json", ".jsonl", ".txt", ".lst")


def find_subfolders(images: Path, *, sure: bool = False) -> Found:
    """Read a folder with one subfolder per class, or with such folders under train, val and test.

    A symbolic link in one class to an image in another gives that image both tags. Images under test are left out.

    Args:
        images: the folder.
        sure: the user gave this form: each subfolder is a class, whatever its name.

    Raises:
        DataError: no images, images outside of class folders, or folders that are no classes by their names.
    """
    listing = list_folder(images)
    top = {name.split("/")[0] for name in (*listing.files, *listing.links) if "/" in name}
    split = bool(top) and all(name.lower() in SPLITS for name in top) and bool(top & {*TRAINING, *VALIDATION})
    tags: dict[str, dict[str, None]] = {}
    stray, notes, test = [], list(listing.notes), 0
    for place, file in [*((file, file) for file in listing.files), *listing.links.items()]:
        parts = place.split("/")[1 if split else 0 :]
        if len(parts) < 2:
            stray.append(place)
        elif split and file.split("/")[0].lower() == "test":
            test += 1
        else:
            tags.setdefault(file, {})[parts[0]] = None
    if not sure:
        _refuse_containers(images, listing, list(dict.fromkeys(tag for row in tags.values() for tag in row)))
    if stray:
        hint = "Give a file of tags with --tags, or put each image into a subfolder named like its class."
        hint += f" {_what_to_give(images)}" if _tables(images) else ""
        hint += " Or is it a VOC tree? Give the folder above." if images.name == "JPEGImages" else ""
        text = f"{many(len(stray), 'image is', 'images are')} in no class folder of {images}, and so without tags"
        raise DataError(text, where=stray, hint=hint)
    # A train may be a railway train, so that this is no error.
    parts = [] if split else sorted(name for name in top if name.lower() in SPLITS)
    notes += [f"the class {name!r} is called like a part of a data set: is that right?" for name in parts]
    if len(top) == 1 and not split:
        notes.append(f"{images} has one subfolder, {next(iter(top))!r}, and this is taken for a class: is that right?")
    if not tags:
        raise DataError(f"{images} holds images for testing only", hint="Images to learn from belong under train.")
    if test:
        notes.append(f"left out: {many(test, 'image')} under test")
    files = sorted(tags)
    validation = np.array([split and file.split("/")[0].lower() in VALIDATION for file in files])
    chosen = validation if validation.any() else None
    return Found(images, images, files, [tuple(tags[file]) for file in files], validation=chosen, notes=notes)


def _refuse_containers(images: Path, listing: Listing, classes: list[str]) -> None:
    """Raise a DataError if names of class folders say that they hold images or masks of any class."""
    parts = [name for name in classes if name.lower() in SPLITS]
    # train/dog/1.jpg: a part of a data set holds folders, a class holds images.
    deep = {file.split("/")[0] for file in listing.files if file.count("/") > 1}
    wrong = [name for name in classes if name.lower() in CONTAINERS]
    wrong += [name for name in parts if len(parts) > 1 or name in deep]
    if not wrong:
        return
    yolo = (images / "data.yaml").is_file() or (images / "labels").is_dir()
    raise DataError(
        f"{images} has no folder per class: {', '.join(map(repr, wrong[:5]))} hold images or masks of any class",
        where="it looks like a data set for YOLO: convert its labels to COCO, or write a table of tags" if yolo else (),
        hint=f"{_what_to_give(images)} If these are classes: --data.form folders.",
    )


def _what_to_give(images: Path) -> str:
    """Arguments that probably fit: the folder of the photos, and a table that lies near."""
    folders = {path.name.lower(): path for path in sorted(images.iterdir()) if path.is_dir()}
    photos = next((folders[name] for name in PHOTOS if name in folders), None)
    masks = next((folders[name] for name in MASKS if name in folders and folders[name] != photos), None)
    tables = _tables(images)
    text = "Give the folder of the images and the file of the tags: "
    text += f"{photos or images} --tags {tables[0] if tables else 'FILE'}"
    if photos and not tables and any(path.is_dir() for path in photos.iterdir()):
        text = f"Give {photos}, if its subfolders are the classes, or also a file of tags with --tags"
    return f"{text} (and to measure, --masks {masks})." if masks else f"{text}."


def _tables(images: Path) -> list[Path]:
    """Files in a folder, or one below it, that may be tables of tags, the likeliest first."""
    near = [path for pattern in ("*.*", "*/*.*") for path in islice(images.glob(pattern), 10_000)]
    other = ("classes.txt", "readme.txt", "license.txt", "recipe.yaml", "manifest.json")
    tables = [path for path in near if path.suffix.lower() in TABLES and path.name.lower() not in other]
    tables = [path for path in tables if path.is_file()]
    return sorted(tables, key=lambda path: (len(path.parts), TABLES.index(path.suffix.lower()), path.name))
