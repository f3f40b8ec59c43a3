"""Masks that the user gives: one reader for all of them, and a type for each use, so that none takes another's place.

True masks measure and nothing else; masks to calibrate with choose a threshold; corrected masks are learned from.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np

from ktse.data.dataset import TaggedImages
from ktse.data.readers.found_masks import Drawing, Images, Reading
from ktse.data.readers.mask_forms import read_masks
from ktse.data.readers.mask_pictures import retyped
from ktse.data.text import examples
from ktse.errors import DataError, KtseError
from ktse.files import label_type, read_label_map, undecided
from ktse.runtime.console import say
from ktse.runtime.words import many

HOW = (
    "A mask is a PNG file named like its image, with the image's size: 0 background, k class k (line k of "
    "classes.txt), 255 undecided. Or give one black and white picture per class, named ID_CLASS.png, or a COCO file."
)


FORMS = "a folder of PNG files, or what COCO, CVAT, Label Studio, labelme or YOLO write,"


Kind = TypeVar("Kind", bound="Masks")


@dataclass(frozen=True)
class Masks:
    """Masks of images.

    Attributes:
        paths: the file that holds the mask of each image that has one, by image id.
        drawn: how masks are drawn that are not label maps in a file of their own.
        found: how many images have a mask, and which masks fit no image, in words.
        notes: what the user should know about these masks.
    """

    paths: dict[str, Path] = field(default_factory=dict)
    drawn: dict[str, Drawing] = field(default_factory=dict)
    found: str = ""
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.paths)

    def __contains__(self, image_id: object) -> bool:
        return image_id in self.paths

    def read(self, image_id: str, kind: type[np.unsignedinteger] | None = None) -> np.ndarray:
        """The mask of an image: (H, W), 0 background, k class k, the largest value of its type undecided.

        Args:
            image_id: name of the image.
            kind: type of the labels, uint8 or uint16; None: as they are stored.

        Raises:
            KtseError: it cannot be read.
        """
        drawing = self.drawn.get(image_id)
        label = read_label_map(self.paths[image_id]) if drawing is None else drawing.draw()
        return label if kind is None or label.dtype == kind else retyped(label, kind)

    def only(self: Kind, names: Collection[str]) -> Kind:
        """Those of some images."""
        kept = set(names)
        return dataclasses.replace(self, paths={name: path for name, path in self.paths.items() if name in kept})

    def say(self) -> None:
        """Print what was found and what the user should know."""
        for text in (self.found, *self.notes):
            if text:
                say(text)

    def fingerprint(self) -> str:
        """Hash of names, of what the files hold, and of how they are read; empty without any mask."""
        digest = hashlib.sha256()
        for image_id, content in self.contents().items():
            digest.update(f"{image_id}\0{content}\n".encode())
        return digest.hexdigest() if self.paths else ""

    def contents(self) -> dict[str, str]:
        """By image id: hash of what the mask's file holds, and how it is read; of a picture, `content_of` it."""
        known: dict[Path, str] = {}  # one COCO file holds many masks
        found = {}
        for image_id, path in sorted(self.paths.items()):
            drawing = self.drawn.get(image_id)
            files, key = (drawing.files, drawing.key) if drawing is not None else ((path,), "")
            known |= {file: self._content(file) for file in files if file not in known}
            found[image_id] = f"{''.join(known[file] for file in files)}{key}"
        return found

    def _content(self, path: Path) -> str:
        return content_of(path)


def content_of(path: Path) -> str:
    """Hash of what the file of a mask holds."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _size_and_time(path: Path) -> str:
    """What is looked at where there may be thousands of files."""
    stat = path.stat()
    return f"{stat.st_size}\0{stat.st_mtime_ns}"


@dataclass(frozen=True)
class Truth(Masks):
    """True masks, for measuring only."""

    def take(self, ids: Collection[str]) -> Truth:
        """The masks of some of the images."""
        paths = {name: self.paths[name] for name in ids if name in self.paths}
        drawn = {name: self.drawn[name] for name in paths if name in self.drawn}
        return dataclasses.replace(self, paths=paths, drawn=drawn)

    def _content(self, path: Path) -> str:
        return _size_and_time(path)


@dataclass(frozen=True)
class Calibration(Masks):
    """True masks that the masks of a run may depend on; those for measuring only are a `Truth`."""


@dataclass(frozen=True)
class Corrections(Masks):
    """Masks that a person has corrected: labels to learn from, which true masks for measuring never are."""


@dataclass(frozen=True)
class SecondOpinion(Masks):
    """Masks that another method has made of the same images."""

    def _content(self, path: Path) -> str:
        return _size_and_time(path)


def open_truth(path: Path, data: TaggedImages) -> Truth:
    """Open true masks: a folder of PNG files, or a COCO file. Masks of other images are left aside.

    Raises:
        DataError: there are none of these images, some cannot be used, or none shows a class.
    """
    reading = _read(path, data, "--masks")
    if reading.problems:
        raise DataError(f"some true masks in {path} cannot be used", where=reading.problems, hint=HOW)
    _require_a_class(reading, path)
    found = f"true masks: {len(reading.paths)} of {many(len(data), 'image')}"
    if reading.unfit:
        unfit = many(len(reading.unfit), f"name in {path} fits", f"names in {path} fit")
        found += f"; {unfit} no image: {examples(reading.unfit)}"
    notes = list(reading.notes)
    if skipped := reading.incomplete():
        notes.append(f"not measured, {many(len(skipped), 'image')}: {examples(skipped)}")
    if spare := reading.spare:
        notes.append(f"left aside, {many(len(spare), 'more mask')} of the same images: {examples(spare)}")
    return Truth(reading.paths, reading.drawn, found, (*notes, *_doubts(reading, data)))


def open_calibration(path: Path, data: TaggedImages) -> Calibration:
    """Open masks to calibrate with, in the forms of true masks.

    Raises:
        DataError: there is none, one of them cannot be used or fits no image, or none shows a class.
    """
    reading = _read(path, data, "--calibrate")
    if problems := _all_problems(reading, data):
        raise DataError(f"the masks in {path} cannot be calibrated with", where=problems, hint=HOW)
    _require_a_class(reading, path)
    found = f"masks to calibrate with: {len(reading.paths)}"
    return Calibration(reading.paths, reading.drawn, found, (*reading.notes, *_doubts(reading, data)))


def open_second_opinion(path: Path, data: TaggedImages) -> SecondOpinion:
    """Open the masks of another method, in the forms of true masks. Masks of other images are left aside.

    Raises:
        DataError: there are none of these images, some cannot be used, or none shows a class.
    """
    reading = _read(path, data, "--refine.other")
    if reading.problems:
        raise DataError(f"some of the other masks in {path} cannot be used", where=reading.problems, hint=HOW)
    _require_a_class(reading, path)
    found = f"other masks: {len(reading.paths)} of {many(len(data), 'image')}"
    return SecondOpinion(reading.paths, reading.drawn, found, (*reading.notes, *_doubts(reading, data)))


Own = Callable[[str], Sequence[np.ndarray]]


def open_corrections(path: Path, data: TaggedImages, own: Own | None = None) -> Corrections:
    """Open corrected masks, in the forms of true masks.

    Args:
        path: the file or folder.
        data: the images.
        own: gives the masks that the run itself has of an image; masks that are the same are left aside.

    Raises:
        DataError: there is none, one of them cannot be used, fits no image, or shows none of the tags of its image.
    """
    reading = _read(path, data, "--corrections")
    if own is not None:
        _leave_aside(reading, own, label_type(len(data.classes)))
    problems = _all_problems(reading, data)
    for name, labels in _without_tags(reading, data).items():
        tags = ", ".join(data.classes[label - 1] for label in sorted(labels))
        text = "a corrected mask of a tagged image shows none of its tags"
        problems.append(f"{reading.paths[name]}: {text}: {name} ({tags})")
    if problems:
        text = f"{len(problems)} of the corrected masks in {path} cannot be used"
        raise DataError(text, where=problems, hint=f"{HOW} If a tag is wrong, correct the tag.")
    return Corrections(reading.paths, reading.drawn, f"corrected masks: {len(reading.paths)}", tuple(reading.notes))


def _leave_aside(reading: Reading, own: Own, kind: type[np.unsignedinteger]) -> None:
    """Draw every mask, and take out those that a person has not changed."""
    masks = Masks(dict(reading.paths), reading.drawn)
    same = []
    for name in masks.paths:
        try:
            label = masks.read(name, kind)
        except KtseError as error:
            reading.problems.append(str(error))
            continue
        if any(same_mask(label, mine) for mine in own(name)):
            same.append(name)
    for name in same:
        for known in (reading.paths, reading.drawn, reading.shown):
            known.pop(name, None)
    if same:
        reading.notes.append(f"left aside, the same as the masks of the run: {many(len(same), 'mask')}")


def same_mask(label: np.ndarray, mine: np.ndarray) -> bool:
    """Whether a label map is another one, perhaps after a format without undecided pixels, which became background."""
    return np.array_equal(label, mine) or np.array_equal(label, np.where(mine == undecided(mine), 0, mine))


def _read(path: Path, data: TaggedImages, flag: str) -> Reading:
    reading = read_masks(path, data)
    if reading is None:
        wrong = "is a file, but of no known form (.json, .xml, .yaml)" if path.is_file() else "does not exist"
        raise DataError(f"{path} {wrong}", hint=f"Give {FORMS} as {flag}.")
    if not reading.paths and not reading.problems:
        where = reading.incomplete()
        if reading.unfit:
            where += [f"masks are called: {examples(reading.unfit)}", f"images are called: {examples(data.files)}"]
        raise DataError(f"no mask in {path} is the mask of an image", where=where, hint=HOW)
    return reading


def _require_a_class(reading: Reading, path: Path) -> None:
    if not any(reading.shown.values()):
        text = f"no class occurs in the masks in {path}: all of their pixels are background or undecided (255)"
        raise DataError(text, where=reading.incomplete(), hint=HOW)


def _all_problems(reading: Reading, data: TaggedImages) -> list[str]:
    """What is wrong with masks that were given on purpose, one by one."""
    names, shown = Images(data).names, KtseError.shown
    unfit = list(reading.unfit.items())
    texts = [f"{name}: the image {wanted!r} {names.why(wanted)}" for name, wanted in unfit[:shown]]  # why takes time
    texts += [f"{name}: there is no such image" for name, _ in unfit[shown:]]
    texts += [f"{name}: {why}" for name, why in reading.spare.items()]
    return [*reading.problems, *texts, *reading.incomplete()]


def _tags(reading: Reading, data: TaggedImages) -> dict[str, set[int]]:
    """Labels of the tags of the tagged images whose mask says anything."""
    return {
        name: set((np.flatnonzero(row) + 1).tolist())
        for name, row in zip(data.ids, data.tags, strict=True)
        if name in reading.paths and name not in reading.unknown and row.any()
    }


def _without_tags(reading: Reading, data: TaggedImages) -> dict[str, set[int]]:
    """Those of these images whose mask shows none of the tags."""
    return {name: labels for name, labels in _tags(reading, data).items() if not labels & reading.shown[name]}


def _doubts(reading: Reading, data: TaggedImages) -> list[str]:
    """What makes it doubtful that masks and tags speak of the same classes; only masks of tagged images can tell."""
    tags, without = _tags(reading, data), _without_tags(reading, data)
    texts = []
    if 2 * len(without) > len(tags):
        whose = f"{len(without)} of {many(len(tags), 'tagged image')}"
        texts.append(
            f"the masks of {whose} show none of the image's tags: {examples(without)}: is the order of the classes "
            "another one (class k has the value k), or is 255, which means undecided, meant as a class?"
        )
    everywhere = frozenset().union(*reading.shown.values())
    counts = {label: sum(label in labels for labels in tags.values()) for label in range(1, len(data.classes) + 1)}
    missing = [
        f"{data.classes[label - 1]!r} (value {label}, tagged in {count})"
        for label, count in counts.items()
        if count and label not in everywhere
    ]
    if missing:
        texts.append(f"no mask shows these classes, although images with a mask have the tag: {examples(missing)}")
    return texts
