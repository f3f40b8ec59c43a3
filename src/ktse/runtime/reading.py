"""Reading what comes from outside: the one place where what a decoder raises becomes an error that names the file."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ktse.errors import DataError, KtseError

MEGABYTE = 1 << 20


@contextmanager
def reading(
    path: str | Path,
    wrong: str = "is damaged",
    *,
    kind: type[KtseError] = DataError,
    called: str = "",
    hint: str = "",
    missing: str = "",
    most: int = 0,
) -> Iterator[None]:
    """Turn whatever the block raises into an error with the name of the file.

    Decoders raise what their parsing stumbles over, and say so nowhere. So the block holds the call of a decoder, and
    no more: a mistake of ktse in it would be blamed on the file. Errors of ktse pass as they are.

    Args:
        path: the file.
        wrong: what is said of a file that can be opened and not decoded.
        kind: of the error.
        called: what messages call the file; empty: its path.
        hint: what to do about a file that cannot be decoded.
        missing: what to do if there is no such file; empty: check the path.
        most: bytes that the file may have, looked at before it is opened; 0: any number.

    Raises:
        KtseError: of the given kind.
    """
    called = called or str(path)
    try:
        if most:
            require_size(path, called, most, kind)
        yield
    except KtseError:
        raise
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":  # Rust's, as in safetensors
            raise
        if isinstance(error, FileNotFoundError):
            raise kind(f"{called} does not exist", hint=missing or "Check the path.") from error
        if isinstance(error, OSError) and error.errno is not None:
            advice = "Check the path, and who may read it."
            raise kind(f"{called} cannot be read", where=os.strerror(error.errno), hint=advice) from error
        if isinstance(error, MemoryError):
            advice = "Make it smaller, or use a machine with more memory."
            raise kind(f"{called} is too large for the memory", hint=advice) from error
        raise kind(f"{called} {wrong}", where=reason(error), hint=hint) from error


def reason(error: BaseException) -> str:
    """What a decoder says about a file, in one line; the name of the exception where it says nothing in words."""
    if isinstance(error, RecursionError):
        return "too many brackets or objects within each other"
    lines = str(error).strip().splitlines()
    if not lines or " " not in lines[0]:  # such as the mere key of a KeyError
        return ": ".join([type(error).__name__, *lines[:1]])
    return lines[0]


def require_size(path: str | Path, called: str, most: int, kind: type[KtseError] = DataError) -> None:
    """Make sure that a file is one, and has no more bytes than it may have; arguments as of `reading`.

    Raises:
        OSError: there is none.
        KtseError: of the given kind.
    """
    found = Path(path).stat()
    if not stat.S_ISREG(found.st_mode):
        raise kind(f"{called} is {'a folder' if stat.S_ISDIR(found.st_mode) else 'no file'}", hint="Give a file.")
    if found.st_size > most:
        megabytes = f"{found.st_size / MEGABYTE:,.1f} MB, but may have {most / MEGABYTE:,.1f} MB at most"
        raise kind(f"{called} has {megabytes}", hint="Is it the right file?")
