"""Whatever a decoder raises is an error of ktse with the name of the file."""

from __future__ import annotations

import json
import struct
import zipfile
import zlib
from pathlib import Path

import pytest

from ktse.errors import DataError, RunError
from ktse.runtime.reading import reading


class PanicException(BaseException):
    """What libraries in Rust raise."""


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (zipfile.BadZipFile("no zip"), "x.bin is damaged\n  - no zip"),
        (zlib.error("Error -3 while decompressing"), "is damaged\n  - Error -3"),
        (struct.error("unpack requires 4 bytes"), "is damaged"),
        (json.JSONDecodeError("Expecting value", "", 0), "is damaged\n  - Expecting value: line 1"),
        (KeyError("cam"), "is damaged\n  - KeyError: 'cam'"),
        (AssertionError(), "is damaged\n  - AssertionError"),
        (RecursionError("maximum recursion depth exceeded"), "too many brackets"),
        (MemoryError(), "too large for the memory"),
        (FileNotFoundError(2, "No such file"), "x.bin does not exist"),
        (PermissionError(13, "Permission denied"), "x.bin cannot be read\n  - Permission denied"),
        (OSError("image file is truncated"), "is damaged\n  - image file is truncated"),
        (PanicException("index out of range"), "is damaged\n  - index out of range"),
    ],
)
def test_what_is_raised_names_the_file(error: BaseException, message: str) -> None:
    for kind in (DataError, RunError):
        with pytest.raises(kind) as caught, reading("x.bin", kind=kind):
            raise error
        assert message in str(caught.value)


@pytest.mark.parametrize("error", [RunError("ours"), KeyboardInterrupt(), SystemExit(1)])
def test_other_things_pass(error: BaseException) -> None:
    with pytest.raises(type(error)) as caught, reading("x.bin"):
        raise error
    assert caught.value is error


def test_a_file_that_is_too_large_or_none_is_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "large.json"
    with path.open("wb") as file:
        file.truncate(3 << 20)
    for place, message in ((path, "has 3.0 MB, but may have 1.0 MB at most"), (tmp_path, "is a folder")):
        with pytest.raises(DataError, match=message), reading(place, most=1 << 20):
            raise AssertionError("it was read")
