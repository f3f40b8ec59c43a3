"""Images at a URL (s3://, gs://, https:// ...), listed and fetched with fsspec."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ktse.data.dataset import TaggedImages
from ktse.data.file_kinds import ending, endings
from ktse.data.image_files import COPIES, Listing
from ktse.errors import DataError, KtseError
from ktse.runtime.console import in_words
from ktse.runtime.words import many

GIGABYTE = 10**9

TRIES = 3
"""How often an image is asked for, with a longer rest before each time."""

REST = 1.0
"""Seconds before the second time."""

CHANGED = ("ETag", "etag", "md5Hash", "content_md5", "mtime", "LastModified", "last_modified", "updated", "created")
"""What file systems say of a file that is another one as soon as the file has changed."""


class Remote(NamedTuple):
    """What a listing says of a file.

    Attributes:
        size: bytes, 0 if nobody says.
        changed: what is another one when the file has changed; empty if nobody says.
    """

    size: int
    changed: str


def is_url(place: str | Path) -> bool:
    """Whether images are not in a folder of this machine."""
    return "://" in str(place)


def refuse_url(place: str | Path, what: str) -> None:
    """Make sure that something is on this machine.

    Raises:
        DataError: it is at a URL.
    """
    if is_url(place):
        raise DataError(
            f"{what} cannot be read from {place}", hint="Only a run's images may be at a URL: copy it here."
        )


@dataclass(frozen=True, eq=False)
class RemoteImages(TaggedImages):
    """Images at a URL, each fetched when it is read.

    Attributes:
        url: the folder.
        known: what the listing says of each file.
        kept: folder for copies of images; None: none are kept.
        keep: files of which copies are kept.
    """

    url: str = ""
    known: Mapping[str, Remote] = dataclasses.field(default_factory=dict)
    kept: Path | None = None
    keep: frozenset[str] = frozenset()

    def source(self, index: int) -> Path | BytesIO:
        """The bytes of an image, or its copy.

        Raises:
            DataError: it cannot be fetched.
        """
        file = self.files[index]
        if self.kept is None or file not in self.keep:
            return BytesIO(fetch(self.url, file, self.known[file].changed))
        copy = self.kept / hashlib.sha256(self.stamp(index).encode()).hexdigest()[:32]
        if not copy.is_file():
            content = fetch(self.url, file, self.known[file].changed)
            self.kept.mkdir(parents=True, exist_ok=True)
            part = copy.with_name(f".{copy.name[:8]}.{os.getpid()}.part")  # as other files that are being written
            part.write_bytes(content)
            part.replace(copy)
        return copy

    def stamp(self, index: int) -> str:
        """Name, size and time of change, or what else the file system says of it."""
        file = self.files[index]
        return f"{file} {self.known[file].size} {self.known[file].changed}"

    def take(self, indices: np.ndarray) -> RemoteImages:
        """Some of the images, in this order; little is passed on to other processes."""
        some = super().take(indices)
        known = {file: self.known[file] for file in some.files}
        fields = {field.name: getattr(some, field.name) for field in dataclasses.fields(TaggedImages)}
        return RemoteImages(**fields, url=self.url, known=known, kept=self.kept, keep=self.keep & known.keys())

    def fingerprint(self) -> str:
        """Hash of names, tags, split, and what the listing says of each file."""
        return self.hashed("\n".join([*self.classes, *map(self.stamp, range(len(self)))]))


class Copies(NamedTuple):
    """Where copies of images are kept.

    Attributes:
        folder: of the copies.
        most: gigabytes that they may take.
    """

    folder: Path
    most: float


def at_url(data: TaggedImages, listing: RemoteListing, copies: Copies | None) -> RemoteImages:
    """Tagged images whose files are at a URL.

    Args:
        data: what a reader found in the listing.
        listing: what is there.
        copies: where they are kept; None: none are.
    """
    total, keep = 0, []
    most = copies.most if copies is not None else 0.0
    for file in data.files:
        size = listing.known[file].size
        if size and total + size <= most * GIGABYTE:  # of unknown size, none is kept
            total += size
            keep.append(file)
    whole = sum(listing.known[file].size for file in data.files)
    large = in_words(whole) if whole else "nobody says how large"
    text = f"{many(len(data), 'image')} at {listing.url} ({large}) are fetched over the network"
    if len(keep) == len(data):
        text += f"; a run keeps copies of them ({in_words(total)}) in its folder"
    else:
        some = f"copies of {len(keep):,} of them (compute.cache is {most:g} GB)" if whole else "no copies"
        text += f"; a run keeps {some}, and fetches others each time that they are read"
    fields = {field.name: getattr(data, field.name) for field in dataclasses.fields(TaggedImages)}
    fields["notes"] = (*data.notes, text)
    return RemoteImages(
        **fields, url=listing.url, known=listing.known, kept=copies and copies.folder, keep=frozenset(keep)
    )


@dataclass(frozen=True)
class RemoteListing(Listing):
    """What is at a URL.

    Attributes:
        url: the folder.
        known: what the file system says of each file.
    """

    url: str = ""
    known: Mapping[str, Remote] = dataclasses.field(default_factory=dict)


def list_url(url: str, names: Iterable[str]) -> RemoteListing:
    """List a folder at a URL and its subfolders; a web server lists nothing, so that the names of a table count.

    Args:
        url: the folder.
        names: of images, relative to the folder or whole URLs.

    Raises:
        KtseError: fsspec is missing, or does not know the URL.
        DataError: the folder cannot be listed, or holds no image.
    """
    url = url.rstrip("/")
    if url.startswith(("http://", "https://")):
        known = {name.removeprefix(f"{url}/").lstrip("/"): Remote(0, "") for name in names}
        if foreign := [name for name in known if is_url(name)]:
            raise DataError(f"{many(len(foreign), 'image')} not below {url}", where=foreign, hint="Give one folder.")
        return RemoteListing(Path(url), sorted(known), url=url, known=known)
    system, root = _system(url)
    try:
        found = system.find(root, detail=True)
    except Exception as error:  # file systems share no base class of errors
        hint = f"Check the address, and the credentials as the file system of {url.split('://')[0]}:// wants them."
        raise DataError(f"{url} cannot be listed", where=_said(error), hint=hint) from error
    known, aside = {}, Counter[str]()
    for path, info in found.items():
        name = str(path).removeprefix(str(root)).lstrip("/")
        if any(part.startswith(".") or part.lower() in COPIES for part in name.split("/")):
            continue
        if ending(name) not in endings():
            aside[ending(name)] += 1
            continue
        changed = next((str(info[key]) for key in CHANGED if info.get(key)), "")
        known[name] = Remote(int(info.get("size") or 0), changed)
    if not known:
        others = ", ".join(f"{count} {name or 'without an ending'}" for name, count in aside.most_common(8))
        holds = f"files in it: {others}" if others else "it is empty, or does not exist"
        raise DataError(f"{url} holds no image that can be read", where=holds, hint="Check the address of the images.")
    return RemoteListing(Path(url), sorted(known), url=url, known=known)


@lru_cache(maxsize=1)  # an image that is looked at is hashed, decoded and asked for its depth
def fetch(url: str, file: str, changed: str) -> bytes:
    """The content of a file below a URL.

    Args:
        url: the folder.
        file: path of the file in it.
        changed: what is another one when the file has changed.

    Raises:
        DataError: it is not there, may not be read, or does not come.
    """
    for number in range(TRIES):
        time.sleep(REST * number)
        try:
            system, root = _system(url)
            return bytes(system.cat_file(f"{root.rstrip('/')}/{file}"))
        except KtseError:
            raise
        except Exception as error:  # as above
            if isinstance(error, FileNotFoundError | PermissionError) or number == TRIES - 1:
                where = "it is not there" if isinstance(error, FileNotFoundError) else _said(error)
                raise DataError(f"{file} cannot be fetched from {url}", where=where) from error
    raise AssertionError


def _system(url: str) -> tuple[Any, str]:
    """The file system of a URL, made for this very process, and the path in it."""
    try:
        from fsspec.core import url_to_fs
    except ImportError as error:
        text = f"fsspec, which reads images at a URL ({url}), is not installed"
        raise KtseError(text, hint="pip install 'ktse[remote]'") from error
    try:
        system, root = url_to_fs(url)
        return system, str(root)
    except ImportError as error:
        raise KtseError(f"{url} needs another package", where=_said(error), hint="Install it with pip.") from error
    except Exception as error:  # as above
        raise KtseError(f"{url} cannot be opened", where=_said(error), hint="Check the address.") from error


def _said(error: Exception) -> str:
    return next(iter(f"{type(error).__name__}: {error}".splitlines()))
