"""Files by the ends of their paths, for names that have fewer folders or more, or are written otherwise."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable

from ktse.data.text import folded, skeleton

Ends = dict[str, list[str]]
"""Files by the ends of their paths: "beach/001.jpg" is under "beach/001.jpg" and "001.jpg"."""


def ending(name: str) -> str:
    """The ending of a file name, lower-case, with its dot; empty if there is none."""
    stem, dot, last = name.rpartition("/")[2].rpartition(".")
    return dot + last.lower() if stem and last else ""


class PathEnds:
    """Files by the ends of their folded paths, with and without the ending of the file's name.

    Args:
        places: path of each file below the root, and what is found under it.
    """

    def __init__(self, places: Iterable[tuple[str, str]]) -> None:
        self._full: Ends = {}
        self._bare: Ends = {}
        self._whole_full: Ends = {}
        self._whole_bare: Ends = {}
        self._folders: set[str] = set()
        self._alike: Ends | None = None
        for place, file in places:
            key = "/".join(path_parts(place))
            bare = key.removesuffix(ending(key))
            for whole, table, text in ((self._whole_full, self._full, key), (self._whole_bare, self._bare, bare)):
                whole.setdefault(text, []).append(file)
                for end in _ends(text):
                    table.setdefault(end, []).append(file)
            self._folders.update(_ends(key.rpartition("/")[0]))

    def whole(self, key: str) -> list[str]:
        """Files whose path below the root is this one."""
        return self._whole_full.get(key) or self._whole_bare.get(key, [])

    def ending_with(self, key: str) -> list[str]:
        """Files whose path below the root ends so; with the ending of the file first, then without."""
        return self._full.get(key) or self._bare.get(key, [])

    def longest_end(self, parts: list[str]) -> list[str]:
        """Files whose path below the root is an end of this one, the longest."""
        for start in range(1, len(parts)):
            if "/".join(parts[start - 1 : -1]) in self._folders:  # this folder is here, without the file
                return []
            found = self.whole("/".join(parts[start:]))
            if found:
                return found
        return []

    def near(self, parts: list[str]) -> list[str]:
        """Up to two files that may be meant: of the same name elsewhere, or with a name that looks alike."""
        if not parts:
            return []
        last = parts[-1]
        stem = last.removesuffix(ending(last))
        found = self._full.get(last) or self._bare.get(last) or self._bare.get(stem)
        if not found:
            if self._alike is None:
                self._alike = {}
                for key, files in self._bare.items():
                    if "/" not in key:
                        self._alike.setdefault(_alike(key), []).extend(files)
            found = self._alike.get(_alike(stem), [])
        return list(dict.fromkeys(found))[:2]


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
    wanted = name.strip().replace("\\", "/").split("/")

    def same(file: str) -> bool:
        pairs = list(zip(reversed(wanted), reversed(file.split("/")), strict=False))
        last = pairs[0][1]
        return pairs[0][0] in (last, last.removesuffix(ending(last))) and all(a == b for a, b in pairs[1:])

    full = [file for file in found if file.rpartition("/")[2] == wanted[-1] and same(file)]
    return full or [file for file in found if same(file)] or found


def _alike(stem: str) -> str:
    """A stem as the eye sees it; numbers without the zeros that spreadsheets take away."""
    return re.sub(r"(?<!\d)0+(?=\d)", "", skeleton(stem))
