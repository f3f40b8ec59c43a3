"""Which images a folder holds, each file once, and which of them a name in a table means."""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from PIL import Image

from ktse.errors import DataError


@dataclass(frozen=True)
class Listing:
    """What a folder holds.

    Attributes:
        root: the folder.
        files: paths of the images, relative to root, with "/", sorted.
        links: symbolic links to images that are listed already: link to file.
        aside: number of other files by ending.
        notes: links that lead nowhere or to folders that are listed already, and images of kinds that cannot be read.
    """

    root: Path
    files: list[str]
    links: dict[str, str] = field(default_factory=dict)
    aside: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


FOREIGN = (
    ".heic", ".heif", ".avif", ".jxl", ".raw", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".svg", ".exr",
)  # fmt: skip
"""Endings of images that Pillow may not read: leaving these out must be said."""

RUN = frozenset(("recipe.yaml", "manifest.json"))
"""Files by which a run folder is known."""


@cache
def endings() -> frozenset[str]:
    """The endings, lower-case, of the files that Pillow reads."""
    known = Image.registered_extensions()
    return frozenset(ending for ending, kind in known.items() if kind in Image.OPEN)


def ending(name: str) -> str:
    """The ending of a file name, lower-case, with its dot; empty if there is none."""
    stem, dot, last = name.rpartition("/")[2].rpartition(".")
    return dot + last.lower() if stem and last else ""


def list_images(folder: Path) -> list[str]:
    """Relative paths of all files in a folder and its subfolders whose ending Pillow can read, sorted, each file once.

    Raises:
        DataError: the folder does not exist or holds no image.
    """
    return list_folder(folder).files


def list_folder(folder: Path) -> Listing:
    """List a folder and its subfolders, through symbolic links too, but each file and each folder once.

    Hidden files and folders (a leading dot) are left out, and so are run folders.

    Raises:
        DataError: the folder does not exist, cannot be read, holds no image, or has file names that are not UTF-8.
    """
    if not folder.is_dir():
        wrong = "is a file" if folder.is_file() else "does not exist"
        raise DataError(f"the image folder {folder} {wrong}", hint="Check the path of the images.")
    walk = _Walk(folder)
    try:
        walk.run()
    except OSError as error:
        raise DataError(
            f"the image folder {folder} cannot be read", where=str(error), hint="Check who may read it."
        ) from error
    garbled = [name for name in walk.files if not _printable(name)]
    if garbled:
        raise DataError(
            f"{len(garbled)} file names in {folder} are not valid UTF-8",
            where=[name.encode("utf-8", "backslashreplace").decode() for name in garbled], hint="Rename these files.",
        )  # fmt: skip
    if not walk.files:
        others = [f"{count} {name or 'without an ending'}" for name, count in walk.aside.most_common(8)]
        raise DataError(
            f"the image folder {folder} holds no image that can be read",
            where=f"files in it: {', '.join(others)}" if others else "it is empty",
            hint="Known endings: .jpg, .png, .tif, .webp ...; save other images as JPEG or PNG.",
        )
    foreign = [f"{count} {name}" for name, count in sorted(walk.aside.items()) if name in FOREIGN]
    if foreign:
        walk.notes.append(f"images that cannot be read are left out: {', '.join(foreign)}; save them as JPEG or PNG")
    return Listing(folder, sorted(walk.files), walk.links, dict(walk.aside), walk.notes)


class _Walk:
    """A walk over folders that knows where it has been."""

    def __init__(self, folder: Path) -> None:
        self.root = os.path.realpath(folder)
        self.files: list[str] = []
        self.links: dict[str, str] = {}
        self.aside: Counter[str] = Counter()
        self.notes: list[str] = []
        self._known = {self.root: ""}  # real path, of folders and of linked files, to relative path
        self._file_links: list[str] = []
        self._folder_links: list[str] = []

    def run(self) -> None:
        pending = [("", self.root)]
        while pending or self._folder_links:
            # Links wait until the real folders are known, so that a file is listed under its own name.
            pending = pending or self._followed(self._folder_links.pop(0))
            while pending:
                self._scan(*pending.pop(), pending)
        for name in self._file_links:
            self._file_link(name)

    def _scan(self, prefix: str, path: str, pending: list[tuple[str, str]]) -> None:
        known = endings()
        with os.scandir(path) as found:
            entries = list(found)
        if prefix and RUN.issubset(entry.name for entry in entries):
            self.notes.append(f"{prefix.rstrip('/')} is a run folder, whose masks are no photos: left out")
            return
        for entry in entries:
            name = entry.name
            if name.startswith("."):
                continue
            relative = prefix + name
            if entry.is_symlink():
                (self._folder_links if entry.is_dir() else self._file_links).append(relative)
            elif entry.is_dir(follow_symlinks=False):
                self._known[os.path.join(path, name)] = relative + "/"  # noqa: PTH118 (a million times)
                pending.append((relative + "/", os.path.join(path, name)))  # noqa: PTH118
            elif ending(name) in known:
                self.files.append(relative)
            else:
                self.aside[ending(name)] += 1

    def _followed(self, link: str) -> list[tuple[str, str]]:
        target = os.path.realpath(Path(self.root, link))
        if target in self._known or Path(self.root).is_relative_to(target):
            self.notes.append(f"the link {link} leads to a folder that is listed already: left out")
            return []
        self._known[target] = link + "/"
        return [(link + "/", target)]

    def _file_link(self, link: str) -> None:
        if ending(link) not in endings():
            self.aside[ending(link)] += 1
            return
        target = Path(os.path.realpath(Path(self.root, link)))
        if not target.is_file():
            self.notes.append(f"the link {link} leads nowhere: left out")
            return
        folder = self._known.get(str(target.parent))
        listed = folder is not None and ending(target.name) in endings() and not target.name.startswith(".")
        if listed:
            self.links[link] = f"{folder}{target.name}"
        elif str(target) in self._known:  # an earlier link to the same file outside
            self.links[link] = self._known[str(target)]
        else:
            self._known[str(target)] = link
            self.files.append(link)


class Names:
    """Finds the listed image that a name in a table means.

    The exact relative path counts first; then, if that fits exactly one file, the same path written otherwise
    (back slashes, absolute, upper and lower case, composed Unicode), without its ending, and the bare file name.

    Args:
        listing: the folder.
    """

    def __init__(self, listing: Listing) -> None:
        self.listing = listing
        self._files = set(listing.files)
        self._loose: list[dict[str, list[str]]] = []

    def find(self, name: str) -> str | None:
        """The relative path of the image, or None if no file or more than one fits."""
        if name in self._files:
            return name
        fitting = self._fitting(name)
        return fitting[0] if len(fitting) == 1 else None

    def why(self, name: str) -> str:
        """Why `find` found nothing, to go on after the name."""
        fitting = self._fitting(name)
        if fitting:
            return f"fits {len(fitting)} files: {', '.join(fitting[:3])}"
        path = self.listing.root / name.strip()
        if _exists(path):
            return f"is a file, but no image that can be read (its ending is {ending(name)!r}) or a hidden one"
        return "is not in the folder"

    def _fitting(self, name: str) -> list[str]:
        if name in self.listing.links:
            return [self.listing.links[name]]
        if not self._loose:
            self._index()
        key = _folded(name.strip())
        roots = (_folded(str(self.listing.root)), _folded(str(self.listing.root.absolute())))
        for root in roots:
            key = key.removeprefix(root.rstrip("/") + "/")
        while key.startswith("./"):
            key = key[2:]
        for table, wanted in zip(self._loose, (key, key, key.rpartition("/")[2]), strict=True):
            if wanted in table:
                return table[wanted]
        return []

    def _index(self) -> None:
        whole: dict[str, list[str]] = {}
        bare: dict[str, list[str]] = {}
        last: dict[str, list[str]] = {}
        for file in self.listing.files:
            key = _folded(file)
            stem = key.removesuffix(ending(file))
            whole.setdefault(key, []).append(file)
            bare.setdefault(stem, []).append(file)
            for text in {key.rpartition("/")[2], stem.rpartition("/")[2]}:
                last.setdefault(text, []).append(file)
        self._loose = [whole, bare, last]


def left_out(listing: Listing, used: Iterable[str], by: str) -> list[str]:
    """A note about the images of a folder that are not used, if there are any."""
    rest = len(listing.files) - len(set(used))
    return [f"{rest} images in {listing.root} are not named by {by}: left out"] if rest > 0 else []


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name.replace("\\", "/")).casefold()


def _printable(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _exists(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name too long, or with a null character
        return False
