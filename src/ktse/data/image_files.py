"""Which images a folder holds, each file once."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from ktse.data.file_kinds import KINDS, ending, endings
from ktse.data.text import examples, is_utf8, words_of
from ktse.errors import DataError
from ktse.runtime.words import many

RUN = frozenset(("recipe.yaml", "manifest.json"))
"""Files by which a run folder is known."""

HIDDEN_LISTS = frozenset((".ds_store", "desktop.ini"))
"""Files, lower-case, that hold no pictures, so that no note names them."""

COPIES = frozenset(
    words_of(
        """.thumbnails .@__thumb @eadir __macosx .ipynb_checkpoints #recycle $recycle.bin .trash .appledouble
    .picasaoriginals thumbs.db ehthumbs.db"""
    )
)
"""Files and folders, lower-case, that other programs put beside photos: copies, thumbnails, lists."""

NAMED = 6
"""Kinds of files, or names, that a note lists."""


@dataclass(frozen=True)
class Listing:
    """What a folder holds.

    Attributes:
        root: the folder.
        files: paths of the images, relative to root, with "/", sorted.
        links: symbolic links to images that are listed already: link to file.
        notes: links that lead nowhere or to folders that are listed already, and images of kinds that cannot be read.
    """

    root: Path
    files: list[str]
    links: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def list_folder(folder: Path) -> Listing:
    """List a folder and its subfolders, through symbolic links too, but each file and each folder once.

    Hidden files and folders (a leading dot) are left out, and so are run folders.

    Raises:
        DataError: the folder does not exist, cannot be read, holds no image, or has file names that are not UTF-8.
    """
    called = f"the image folder {folder}"
    if not folder.is_dir():
        raise DataError(f"{called} {no_folder(folder)}", hint="Check the path of the images.")
    walk = _Walk(folder)
    try:
        walk.run()
    except OSError as error:
        raise DataError(f"{called} cannot be read", where=str(error), hint="Check who may read it.") from error
    if garbled := [name for name in walk.files if not is_utf8(name)]:
        where = [name.encode("utf-8", "backslashreplace").decode() for name in garbled]
        text = f"{many(len(garbled), 'file name is', 'file names are')} not valid UTF-8 in {folder}"
        raise DataError(text, where=where, hint="Rename these files.")
    if not walk.files:
        others = ", ".join(f"{count} {name or 'without an ending'}" for name, count in walk.aside.most_common(8))
        known = "; ".join(f"{name} is {KINDS[name]}" for name, _ in walk.aside.most_common(3) if name in KINDS)
        holds = f"files in it: {others}" if others else "it is empty"
        hint = f"{known or 'Known endings: .jpg, .png, .tif, .webp ...'}. Save the images as JPEG or PNG."
        raise DataError(f"{called} holds no image that can be read", where=holds, hint=hint)
    return Listing(folder, sorted(walk.files), walk.links, walk.all_notes())


def no_folder(path: Path) -> str:
    """What is wrong with the path of a folder that is none, to go on after its name."""
    return "is a file" if path.is_file() else "does not exist"


class _Walk:
    """A walk over folders that knows where it has been."""

    def __init__(self, folder: Path) -> None:
        self.root = os.path.realpath(folder)
        self.files: list[str] = []
        self.links: dict[str, str] = {}
        self.aside: Counter[str] = Counter()  # other files by ending
        self.notes: list[str] = []
        self._copies: list[str] = []
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

    def all_notes(self) -> list[str]:
        """Notes about what is in the folder and is not listed, although somebody may think so."""
        foreign = [f"{count} {name} ({KINDS[name]})" for name, count in sorted(self.aside.items()) if name in KINDS]
        some, copies = examples(foreign, NAMED), examples(self._copies, NAMED)
        notes = list(self.notes)
        if foreign:
            notes.append(f"files that are no images that can be read are left out: {some}; save photos as JPEG or PNG")
        if copies:
            notes.append(f"files and folders that other programs have put there are left out: {copies}")
        return notes

    def _scan(self, prefix: str, path: str, pending: list[tuple[str, str]]) -> None:
        with os.scandir(path) as found:
            entries = list(found)
        if prefix and RUN.issubset(entry.name for entry in entries):
            self.notes.append(f"{prefix.rstrip('/')} is a run folder, whose masks are no photos: left out")
            return
        for entry in entries:
            name, relative = entry.name, prefix + entry.name
            if name.lower() in COPIES:
                self._copies.append(relative)
            elif name.startswith(".") or name.lower() in HIDDEN_LISTS:
                continue
            elif entry.is_symlink():
                (self._folder_links if entry.is_dir() else self._file_links).append(relative)
            elif entry.is_dir(follow_symlinks=False):
                self._known[entry.path] = relative + "/"
                pending.append((relative + "/", entry.path))
            else:
                self._take(relative)

    def _take(self, relative: str) -> None:
        end = ending(relative)
        if end in endings():
            self.files.append(relative)
        else:
            self.aside[end] += 1

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
        if folder is not None and ending(target.name) in endings() and not target.name.startswith("."):
            self.links[link] = f"{folder}{target.name}"
        elif str(target) in self._known:  # an earlier link to the same file outside
            self.links[link] = self._known[str(target)]
        else:
            self._known[str(target)] = link
            self.files.append(link)
