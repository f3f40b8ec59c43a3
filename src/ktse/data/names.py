"""Names of images under which results are stored: unique as names, and as paths of files in one folder."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence

from ktse.data.text import examples
from ktse.errors import DataError
from ktse.runtime.words import many

SUFFIXES = (".png", ".npz", ".jpg", ".txt", ".xml", ".json")
"""Endings of files that are called like an image; no folder of other images may have such a name."""


def image_ids(files: Sequence[str]) -> list[str]:
    """Unique names of images: the path without its ending, or with it where that alone would not do.

    The ending stays where two images would have one name, and where a result of the one would be called like a folder
    of the other: x.jpg beside x.png/1.jpg, since the mask of the first is x.png.

    Raises:
        DataError: the ending does not help either.
    """
    stems = [_stem(name) for name in files]
    counts = Counter(stems)
    # "a.jpg.png" without its ending is the full name that "a.jpg" may need.
    full, folders = set(files), _folders(files)
    ids = [
        stem if counts[stem] == 1 and stem not in full and not _is_folder(stem, folders) else name
        for stem, name in zip(stems, files, strict=True)
    ]
    bad = [f"{name}: folders of images are called like its results" for name in ids if _is_folder(name, folders)]
    if bad:
        raise DataError("the results of some images have no place", where=bad, hint="Rename these images or folders.")
    return ids


def clashes(ids: Sequence[str]) -> list[str]:
    """A note about results that overwrite each other where case and accents of file names do not count, if any do."""
    alike: dict[str, list[str]] = {}
    for name in ids:
        alike.setdefault(unicodedata.normalize("NFC", name).casefold(), []).append(name)
    pairs = [" and ".join(names[:3]) for names in alike.values() if len(names) > 1]
    text = many(len(pairs), "group of names differs", "groups of names differ")
    text += " in case or accents only, so that their results overwrite each other on Windows and macOS"
    return [f"{text}: {examples(pairs)}"] if pairs else []


def _folders(files: Iterable[str]) -> set[str]:
    """All folders that paths go through and that are called like a file."""
    found: set[str] = set()
    for folder in {name.rpartition("/")[0] for name in files}:
        parts = folder.split("/")
        found.update("/".join(parts[: count + 1]) for count, part in enumerate(parts) if part.endswith(SUFFIXES))
    return found


def _is_folder(name: str, folders: set[str]) -> bool:
    return bool(folders) and any(name + suffix in folders for suffix in SUFFIXES)


def _stem(name: str) -> str:
    """A relative path without its ending; pathlib is too slow for a million of them."""
    folder, slash, last = name.rpartition("/")
    stem, _, ending = last.rpartition(".")
    return f"{folder}{slash}{stem if stem and ending else last}"
