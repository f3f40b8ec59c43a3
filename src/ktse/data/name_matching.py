"""Which listed image a name means, for names with fewer folders or more, or written otherwise."""

from __future__ import annotations

import posixpath
import re
from collections import defaultdict
from collections.abc import Iterable
from functools import cached_property
from urllib.parse import unquote

from ktse.data.file_kinds import KINDS, ending
from ktse.data.image_files import Listing
from ktse.data.text import examples, folded, skeleton

UPLOADED = re.compile(r"/upload/\d+/[0-9a-f]{8}-")
"""What Label Studio puts before the names of files that were uploaded to it."""


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
            return f"fits {len(fitting)} files: {examples(fitting)}"
        path = self.listing.root / name.strip()
        try:
            if path.is_file():
                end = ending(path.name)
                hidden = f"no image that can be read (its ending is {end!r}) or a hidden one"
                return f"is a file, but {KINDS[end] + ', no image that can be read' if end in KINDS else hidden}"
        except (OSError, ValueError):  # a name that is too long, or has a null character
            pass
        near = self._ends.near(path_parts(name))
        are = "is" if len(near) == 1 else "are"
        return f"is not in the folder (there {are} {', '.join(near)})" if near else "is not in the folder"

    def _fitting(self, name: str) -> list[str]:
        if name in self.listing.links:
            return [self.listing.links[name]]
        name = UPLOADED.sub("/", name)
        return self._meant(name) or (self._meant(unquote(name)) if "%" in name else [])

    def _meant(self, name: str) -> list[str]:
        parts, depth = path_parts(name), len(self._root)
        if not parts:
            return []
        if parts[:depth] == self._root:  # the name is a whole path, so that no other folder can be meant
            return exact(self._ends.whole(parts[depth:]), name)
        found = self._ends.whole(parts) or self._ends.ending_with(parts) + self._below_the_root_s_name(parts)
        return exact(found or self._ends.longest_end(parts), name)

    def _below_the_root_s_name(self, parts: list[str]) -> list[str]:
        """Files whose names are relative to a folder above the root: "photos/001.jpg" where the root is "photos"."""
        most = min(len(parts) - 1, len(self._root))
        tails = [count for count in range(1, most + 1) if self._root[-count:] == parts[:count]]
        return [file for count in tails for file in self._ends.whole(parts[count:])]

    @cached_property
    def _ends(self) -> PathEnds:
        return PathEnds([*((file, file) for file in self.listing.files), *self.listing.links.items()])


class PathEnds:
    """Files by the ends of their folded paths, with and without the ending of the file's name.

    The file "beach/001.jpg" is under "/beach/001.jpg", the whole path, "beach/001.jpg" and "001.jpg".

    Args:
        places: path of each file below the root, and what is found under it.
    """

    def __init__(self, places: Iterable[tuple[str, str]]) -> None:
        self._full: dict[str, list[str]] = {}
        self._bare: dict[str, list[str]] = {}
        self._folders: set[str] = set()
        for place, file in places:
            key = "/".join(path_parts(place))
            for table, path in ((self._full, key), (self._bare, key.removesuffix(ending(key)))):
                for end in _ends(f"/{path}"):
                    table.setdefault(end, []).append(file)
            self._folders.update(_ends(key.rpartition("/")[0]))

    def ending_with(self, parts: list[str], root: str = "") -> list[str]:
        """Files whose path below the root ends so; with the ending of the file first, then without."""
        key = root + "/".join(parts)
        return self._full.get(key) or self._bare.get(key, [])

    def whole(self, parts: list[str]) -> list[str]:
        """Files whose path below the root is this one."""
        return self.ending_with(parts, "/")

    def longest_end(self, parts: list[str]) -> list[str]:
        """Files whose path below the root is an end of this one, the longest."""
        for start in range(1, len(parts)):
            if "/".join(parts[start - 1 : -1]) in self._folders:  # this folder is here, without the file
                return []
            if found := self.whole(parts[start:]):
                return found
        return []

    def near(self, parts: list[str]) -> list[str]:
        """Up to two files that may be meant: of the same name elsewhere, or with a name that looks alike."""
        if not parts:
            return []
        last = parts[-1]
        stem = last.removesuffix(ending(last))
        found = self.ending_with([last]) or self._bare.get(stem) or self._alike.get(_alike(stem), [])
        return list(dict.fromkeys(found))[:2]

    @cached_property
    def _alike(self) -> dict[str, list[str]]:
        alike: dict[str, list[str]] = defaultdict(list)
        for key, files in self._bare.items():
            if "/" not in key:
                alike[_alike(key)] += files
        return alike


def path_parts(name: str) -> list[str]:
    """The folders and the file of a path as it may be written anywhere, folded."""
    text = folded(name).replace("\\", "/").rpartition("?d=")[2]  # Label Studio's /data/local-files/?d=a/b.jpg
    parts = [part.strip() for part in posixpath.normpath(text).split("/")] if text else []
    return [part for part in parts if part not in ("", ".", "..")]


def _ends(path: str) -> Iterable[str]:
    while path:
        yield path
        path = path.partition("/")[2]


def exact(found: list[str], name: str) -> list[str]:
    """Of several files, those whose names have the very letters of this one, if there are any."""
    found = list(dict.fromkeys(found))
    if len(found) < 2:
        return found
    *folders, last = name.strip().replace("\\", "/").split("/")

    def same(file: str) -> bool:
        *above, own = file.split("/")
        pairs = zip(reversed(folders), reversed(above), strict=False)
        return last in (own, own.removesuffix(ending(own))) and all(a == b for a, b in pairs)

    fitting = [file for file in found if same(file)]
    return [file for file in fitting if file.rpartition("/")[2] == last] or fitting or found


def _alike(stem: str) -> str:
    """A stem as the eye sees it; numbers without the zeros that spreadsheets take away."""
    return re.sub(r"(?<!\d)0+(?=\d)", "", skeleton(stem))
