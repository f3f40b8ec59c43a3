"""Masks in a folder of PNG files: label maps, black and white masks of images with one tag, one picture per class."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ktse.data.dataset import TaggedImages
from ktse.data.file_kinds import ending
from ktse.data.image_files import list_folder
from ktse.data.readers.found_masks import Images, Reading
from ktse.data.readers.mask_pictures import Drawn, Picture, look_at, size_of, value_problem
from ktse.data.text import examples
from ktse.errors import DataError
from ktse.files import label_type
from ktse.runtime.words import many, pixels

SHARE = 4
"""Masks of 0 and 1 are black and white only if at least one in this many shows that 1 is not the first class."""


class _Part(NamedTuple):
    """A file that is named after an image and a class: its name, the image, the label."""

    name: str
    image: int
    label: int


def read_folder(folder: Path, data: TaggedImages) -> Reading:
    """Find the masks of images in a folder and its subfolders.

    A file is named like its image (`ID.png`), or like its image and a class (`ID_CLASS.png`, `CLASS/ID.png`): then it
    shows the objects of this class. Files of the first kind are label maps, unless all of them are black and white.

    Raises:
        DataError: it holds no PNG file.
    """
    return _Folder(folder, data).read()


def _png_files(folder: Path) -> list[str]:
    text = f"the folder of masks {folder} holds no PNG file"
    try:
        listing = list_folder(folder)
    except DataError as error:
        raise DataError(text, where=error.where) from error
    names = sorted([*listing.files, *listing.links])
    found = [name for name in names if ending(name) == ".png"]
    if not found:
        hint = "Export the masks as PNG: other formats, such as JPEG, may change class numbers."
        raise DataError(text, where=f"files in it: {examples(names)}", hint=hint)
    return found


class _Folder:
    """One folder of masks while it is read."""

    def __init__(self, folder: Path, data: TaggedImages) -> None:
        self.folder, self.data, self.images = folder, data, Images(data)
        self.kind = label_type(len(data.classes))
        self.found = Reading()
        self._labels = {_plain(name): label for label, name in enumerate(data.classes, start=1)}

    def read(self) -> Reading:
        """All masks of the folder."""
        named, parts, rest = self._sort_names()
        exact = set(named)
        pictures = {part.name: picture for part in parts if (picture := self._look(part.name, part.image))}
        if all(_one_object(picture) for picture in pictures.values()):
            self._take_parts(parts, pictures)
        else:
            rest += self._no_parts(parts)
        for name in rest:
            self._add_forgiving(name, named, exact)
        self._take_masks({index: picture for index, name in named.items() if (picture := self._look(name, index))})
        self.found.problems = list(dict.fromkeys(self.found.problems))  # a file may be looked at twice
        return self.found

    def _sort_names(self) -> tuple[dict[int, str], list[_Part], list[str]]:
        """The masks that have exactly the name of an image, those named after a class too, and the rest."""
        named: dict[int, str] = {}
        others = []
        for name in _png_files(self.folder):
            index = self.images.ids.get(_stem(name))
            if index is None or named.setdefault(index, name) != name:
                others.append(name)
        parts = {name: part for name in others if (part := self._part(name)) and part.image not in named}
        return named, list(parts.values()), [name for name in others if name not in parts]

    def _part(self, name: str) -> _Part | None:
        for image, word in _image_and_class(_stem(name)):
            label = self._labels.get(word)
            if label is not None and (index := self.images.find(image)) is not None:
                return _Part(name, index, label)
        return None

    def _add_forgiving(self, name: str, named: dict[int, str], exact: set[int]) -> None:
        stem = _stem(name)
        index = self.images.find(stem)
        if index is None:
            self.found.unfit[name] = stem
        elif index in exact and stem != self.data.ids[index]:
            self.found.spare[name] = f"the mask of {self.data.files[index]} is {named[index]}"
        elif other := named.get(index) or self.found.paths.get(self.data.ids[index]):
            self._wrong(self.folder / name, f"{other} is a mask of the same image too")
        else:
            named[index] = name

    def _wrong(self, path: Path, text: str) -> None:
        self.found.problems.append(f"{path}: {text}")

    def _look(self, name: str, index: int) -> Picture | None:
        """The picture, if it can be a mask of the image."""
        path, size = self.folder / name, self.images.size(index)
        try:
            found = size_of(path)  # before its pixels are decoded, of which there may be very many
            if size in (None, found):
                return look_at(path)
            self._wrong(path, f"{pixels(found)}, but its image has {pixels(size)}")
        except DataError as error:
            self.found.problems.append(error.line)
        return None

    def _no_parts(self, parts: list[_Part]) -> list[str]:
        """Names of files in class folders that are masks like others; the rest cannot be used."""
        fitting = {part.name for part in parts if self.images.find(_stem(part.name)) is not None}
        for part in parts:
            if part.name not in fitting:
                shown = f"a picture of {self._names([part.label])} alone shows it in one value"
                self._wrong(self.folder / part.name, f"{shown}, but there are others here")
        return [part.name for part in parts if part.name in fitting]

    def _take_parts(self, parts: list[_Part], pictures: dict[str, Picture]) -> None:
        """One picture per class: an image has a mask if each of its tags has its picture."""
        by_image: dict[int, list[_Part]] = {}
        for part in parts:
            by_image.setdefault(part.image, []).append(part)
        for index, mine in by_image.items():
            there = {part.label for part in mine}
            if missing := [label for label in self._tags(index) if label not in there]:
                self.found.skipped[self.data.files[index]] = f"has no picture of its tag {self._names(missing)}"
            elif all(part.name in pictures for part in mine):
                shown = {part.label for part in mine if any(pictures[part.name].values)}
                self._draw(index, [(self.folder / part.name, part.label) for part in mine], shown)
        if by_image:
            text = f"{many(len(parts), 'picture')} of one class each, of {many(len(by_image), 'image')}"
            self.found.notes.append(f"{self.folder} holds {text}")

    def _take_masks(self, pictures: dict[int, Picture]) -> None:
        white = self._white(pictures)
        if white:
            text = f"the masks in {self.folder} hold nothing but 0 and {white}"
            self.found.notes.append(f"{text}: {white} is taken as the class of the image's tag")
        else:
            self._note_undecided(pictures)
        for index, picture in pictures.items():
            shown = {value for value in picture.values if 0 < value <= len(self.data.classes)}
            if white and white in picture.values:
                self._take_black_and_white(index, picture)
            elif problem := value_problem(picture, len(self.data.classes)):
                self.found.problems.append(problem)
            elif picture.plain:
                self._add(index, picture.path, shown)
                if set(picture.values) == {picture.top}:
                    self.found.unknown.add(self.data.ids[index])
            else:
                self._draw(index, [(picture.path, 0)], shown)

    def _note_undecided(self, pictures: dict[int, Picture]) -> None:
        """Masks of tagged images that look black and white among label maps, in which white means undecided."""
        alike = [index for index, one in pictures.items() if one.white and one.values == (0, one.top)]
        if names := [self.data.files[index] for index in alike if self._tags(index)]:
            hold = many(len(names), "mask of a tagged image holds", "masks of tagged images hold")
            text = f"{hold} nothing but 0 and white (255) in {self.folder}"
            self.found.notes.append(f"{text}, which is undecided, as other masks hold class numbers: {examples(names)}")

    def _white(self, pictures: dict[int, Picture]) -> int:
        """The value of objects if all masks are black and white ones, else 0.

        White (255) is undecided in a label map. So it means objects only if no mask has another value, if it looks
        white, and if a mask with a background shows it where a tag says that something is there: label maps like that
        would measure nothing. The value 1 is the first class in a label map. So it means objects only if it is there
        in most masks of images whose one tag is another class.
        """
        lit = {index: picture for index, picture in pictures.items() if any(picture.values)}
        values = {value for picture in lit.values() for value in picture.values} - {0}
        if len(values) == 1 and values == {picture.top for picture in lit.values()}:
            fits = all(picture.white for picture in lit.values())
            return values.pop() if fits and any(0 in lit[index].values and self._tags(index) for index in lit) else 0
        if values != {1}:
            return 0
        alone = {index: self._tags(index)[0] for index in pictures if len(self._tags(index)) == 1}
        others = [index in lit for index, label in alone.items() if label > 1]
        return 1 if 2 * sum(others) > len(others) and SHARE * sum(others) >= len(alone.keys() & lit.keys()) else 0

    def _take_black_and_white(self, index: int, picture: Picture) -> None:
        tags = self._tags(index)
        if not tags and picture.values == (picture.top,):
            self._wrong(picture.path, "white everywhere, but its image has no tag: is black the object?")
            return
        tags = tags if len(self.data.classes) > 1 else [1]
        if len(tags) == 1:
            self._draw(index, [(picture.path, tags[0])], set(tags))
        elif tags:
            example = f"{Path(self.data.ids[index]).name}_{self.data.classes[tags[0] - 1]}.png"
            text = f"black and white, but its image has the tags {self._names(tags)}: give class numbers, or one "
            self._wrong(picture.path, f"{text}picture per class, such as {example}")
        else:
            self.found.skipped[self.data.files[index]] = "has no tag that says what is white in its mask"

    def _add(self, index: int, path: Path, shown: set[int]) -> None:
        self.found.paths[self.data.ids[index]] = path
        self.found.shown[self.data.ids[index]] = frozenset(shown)

    def _draw(self, index: int, parts: list[tuple[Path, int]], shown: set[int]) -> None:
        self._add(index, parts[0][0], shown)
        self.found.drawn[self.data.ids[index]] = Drawn(tuple(parts), self.kind)

    def _tags(self, index: int) -> list[int]:
        """Labels of the tags of an image."""
        return [int(number) + 1 for number in np.flatnonzero(self.data.tags[index])]

    def _names(self, labels: list[int]) -> str:
        return ", ".join(repr(self.data.classes[label - 1]) for label in labels)


def _stem(name: str) -> str:
    return name[: len(name) - len(".png")]


def _plain(name: str) -> str:
    """A class name as it may be written in a file name: any case, spaces as underscores or hyphens."""
    return re.sub(r"[\s_-]+", "_", unicodedata.normalize("NFC", name).casefold()).strip("_")


def _image_and_class(stem: str) -> Iterator[tuple[str, str]]:
    """Every way to take a name as that of an image and of a class: CLASS/ID, ID/CLASS, ID_CLASS, ID-CLASS."""
    folders = stem.split("/")
    for place, folder in enumerate(folders[:-1]):
        yield "/".join(folders[:place] + folders[place + 1 :]), _plain(folder)
    for mark in re.finditer(r"[/_-]", stem):
        if mark.start() > 0:
            yield stem[: mark.start()], _plain(stem[mark.end() :])


def _one_object(picture: Picture) -> bool:
    """Whether nothing but one value, or white, stands out of the background."""
    return len([value for value in picture.values if 0 < value < picture.top]) <= 1
