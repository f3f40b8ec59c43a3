"""Which images a folder holds, each file once, and which of them a name in a table means."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from urllib.parse import unquote

from PIL import Image

from ktse.data.file_kinds import KINDS, kind_by_name
from ktse.data.path_ends import PathEnds, ending, exact, path_parts
from ktse.errors import DataError

UPLOADED = re.compile(r"/upload/\d+/[0-9a-f]{8}-")
"""What Label Studio puts before the names of files that were uploaded to it."""

NAMED = 6
"""Kinds of files, or names, that a note lists."""


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


RUN = frozenset(("recipe.yaml", "manifest.json"))
"""Files by which a run folder is known."""

MACHINE_MADE = frozenset((
    ".thumbnails", ".@__thumb", "@eadir", "__macosx", ".ipynb_checkpoints", "#recycle", "$recycle.bin", ".trash",
    ".appledouble", ".picasaoriginals", "thumbs.db", "ehthumbs.db", "desktop.ini", ".ds_store",
))  # fmt: skip
"""Files and folders, lower-case, that other programs put beside photos: copies, thumbnails, lists."""

HIDDEN_LISTS = frozenset((".ds_store", "desktop.ini"))
"""Those among them that hold no pictures, so that nothing need be said about them."""

ALSO_READ = frozenset((".mpo",))
"""Endings of formats that an opener of another name reads: a .mpo file is a JPEG with more frames."""

NO_PHOTOS = frozenset((".mpg", ".mpeg", ".h5", ".hdf", ".bufr", ".grib", ".emf", ".wmf", ".ps", ".iim"))
"""Endings that Pillow knows, although it cannot decode such files, or only with other programs."""


@cache
def endings() -> frozenset[str]:
    """The endings, lower-case, of the files that Pillow reads."""
    known = Image.registered_extensions()
    return frozenset(name for name, kind in known.items() if kind in Image.OPEN and name not in NO_PHOTOS) | ALSO_READ


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
            hint=_advice(walk.aside),
        )
    return Listing(folder, sorted(walk.files), walk.links, dict(walk.aside), [*walk.notes, *_left_aside(walk)])


def _advice(aside: Counter[str]) -> str:
    """What to do where a folder holds other files only."""
    known = [f"{name} is {KINDS[name]}" for name, _ in aside.most_common(3) if name in KINDS]
    return f"{'; '.join(known) or 'Known endings: .jpg, .png, .tif, .webp ...'}. Save the images as JPEG or PNG."


def _left_aside(walk: _Walk) -> list[str]:
    """Notes about what is in a folder and is not listed, although somebody may think it is."""
    foreign = [f"{count} {name} ({KINDS[name]})" for name, count in sorted(walk.aside.items()) if name in KINDS]
    notes = []
    if foreign:
        some = ", ".join(foreign[:NAMED]) + (" ..." if len(foreign) > NAMED else "")
        notes.append(f"files that are no images that can be read are left out: {some}; save photos as JPEG or PNG")
    if walk.machine_made:
        some = ", ".join(walk.machine_made[:NAMED]) + (" ..." if len(walk.machine_made) > NAMED else "")
        notes.append(f"files and folders that other programs have put there are left out: {some}")
    return notes


class _Walk:
    """A walk over folders that knows where it has been."""

    def __init__(self, folder: Path) -> None:
        self.root = os.path.realpath(folder)
        self.files: list[str] = []
        self.links: dict[str, str] = {}
        self.aside: Counter[str] = Counter()
        self.notes: list[str] = []
        self.machine_made: list[str] = []
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
            if name.lower() in MACHINE_MADE:
                if name.lower() not in HIDDEN_LISTS:
                    self.machine_made.append(prefix + name)
                continue
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
    """Finds the listed image that a name means.

    A name means a file if one path is the end of the other: it may have fewer folders than the file has below the
    root, or more (paths of another machine, or of a folder above), but none that contradicts the file's own folders.
    The longest common end counts. Case, slashes, a missing ending, and how Unicode is written are forgiven where one
    file alone fits.

    Args:
        listing: the folder.
    """

    def __init__(self, listing: Listing) -> None:
        self.listing = listing
        self._files = set(listing.files)
        self._root = path_parts(str(listing.root.absolute()))
        self._index: PathEnds | None = None

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
            return f"fits {len(fitting)} files: {', '.join(fitting[:3])}{' ...' if len(fitting) > 3 else ''}"
        path = self.listing.root / name.strip()
        if _exists(path):
            return f"is a file, but {_why_not_listed(path)}"
        near = self._indexed().near(path_parts(name))
        are = "is" if len(near) == 1 else "are"
        return f"is not in the folder (there {are} {', '.join(near)})" if near else "is not in the folder"

    def _fitting(self, name: str) -> list[str]:
        if name in self.listing.links:
            return [self.listing.links[name]]
        name = UPLOADED.sub("/", name)
        found = self._meant(name)
        return found if found or "%" not in name else self._meant(unquote(name))

    def _meant(self, name: str) -> list[str]:
        parts = path_parts(name)
        if not parts:
            return []
        index, depth = self._indexed(), len(self._root)
        if parts[:depth] == self._root:  # it says the whole path, so that no other folder can be meant
            return exact(index.whole("/".join(parts[depth:])), name)
        found = index.whole("/".join(parts))
        if not found:
            found = index.ending_with("/".join(parts)) + self._below_the_root_s_name(parts)
        return exact(found or index.longest_end(parts), name)

    def _below_the_root_s_name(self, parts: list[str]) -> list[str]:
        """Files whose names are relative to a folder above the root: "photos/001.jpg" where the root is "photos"."""
        if not self._root or self._root[-1] not in parts[:-1]:
            return []
        most = min(len(parts) - 1, len(self._root))
        tails = [count for count in range(1, most + 1) if self._root[-count:] == parts[:count]]
        return [file for count in tails for file in self._indexed().whole("/".join(parts[count:]))]

    def _indexed(self) -> PathEnds:
        if self._index is None:
            files = self.listing.files
            self._index = PathEnds([*zip(files, files, strict=True), *self.listing.links.items()])
        return self._index


def left_out(listing: Listing, used: Iterable[str], by: str) -> list[str]:
    """A note about the images of a folder that are not used, if there are any."""
    rest = len(listing.files) - len(set(used))
    return [f"{rest} images in {listing.root} are not named by {by}: left out"] if rest > 0 else []


def _printable(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _why_not_listed(path: Path) -> str:
    kind = kind_by_name(path.name)
    if kind:
        return f"{kind}, no image that can be read"
    return f"no image that can be read (its ending is {ending(path.name)!r}) or a hidden one"


def _exists(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name too long, or with a null character
        return False
