"""Text files that users give (lists, JSON, XML): read in their encoding, with errors that name the place."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from ktse.data.text import clean
from ktse.errors import DataError
from ktse.runtime.reading import reading, reason, require_size

MOST_BYTES = 2 << 30
"""Bytes that a text file may have; COCO's own files have half a gigabyte."""


def encoding_of(path: Path) -> str:
    """UTF-8, or UTF-16 where a file begins with its mark, as Excel's Unicode text does."""
    with path.open("rb") as file:
        return "utf-16" if file.read(2) in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"


@contextmanager
def named_errors(called: str, path: Path) -> Iterator[None]:
    """Turn what reading a text file raises within the block into a DataError with the file, the line and a hint.

    Args:
        called: what messages call the file.
        path: the file.
    """
    try:
        require_size(path, called, MOST_BYTES)
        yield
    except OSError as error:
        hint = "Check its path, and who may read it."
        raise DataError(f"{called} cannot be read", where=str(error), hint=hint) from error
    except MemoryError as error:
        raise DataError(f"{called} is too large for the memory", hint="Split it.") from error
    except UnicodeError as error:
        hint = "Save it as text in UTF-8; a spreadsheet as CSV UTF-8."
        raise DataError(f"{called} cannot be read as UTF-8 text", where=_bad_line(path, error), hint=hint) from error
    except csv.Error as error:
        hint = "Look for a quotation mark that is opened and not closed."
        raise DataError(f"{called} is not a valid CSV table", where=str(error), hint=hint) from error


def _bad_line(path: Path, error: UnicodeError) -> str:
    """Where a file stops being text: the number of the first bad line, and what is in it."""
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError:
                return f"line {number}: {line.strip()[:80].decode('utf-8', 'backslashreplace')}"
    return str(error)


def read_lines(path: Path, called: str) -> list[tuple[int, str]]:
    """Numbers and texts of the lines of a text file that are not empty.

    Raises:
        DataError: it cannot be read.
    """
    with named_errors(f"{called} {path}", path):
        lines = path.read_text(encoding=encoding_of(path)).split("\n")
    return [(number, clean(line)) for number, line in enumerate(lines, start=1) if clean(line)]


class DoubledKeys(dict[str, Any]):
    """A JSON object that has a key twice: JSON readers drop the first value, this object keeps all pairs."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.pairs = pairs


def parse_json(text: str) -> Any:
    """The content of JSON; objects with a key twice are DoubledKeys.

    Raises:
        ValueError: the text is no JSON.
    """
    try:
        return json.loads(text, object_pairs_hook=_object)
    except RecursionError as error:
        raise ValueError(reason(error)) from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    return content if len(content) == len(pairs) else DoubledKeys(pairs)


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        DataError: it cannot be read, or is no JSON.
    """
    with named_errors(str(path), path):
        text = path.read_text(encoding=encoding_of(path))
    try:
        return parse_json(text)
    except ValueError as error:
        hint = "Write it again; a file with one object a line has the ending .jsonl."
        raise DataError(f"{path} is not valid JSON", where=str(error), hint=hint) from error


def read_xml(path: Path) -> Element:
    """Read an XML file; document types and entities, which data never need and attacks do, are refused.

    Raises:
        DataError: it cannot be read, is not well formed, or declares a document type; the text holds the line.
    """
    builder, parser = TreeBuilder(), expat.ParserCreate()

    def refuse(*_: Any) -> None:
        raise DataError(f"{path}: line {parser.CurrentLineNumber}: a document type is refused")

    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    with reading(path, "is no XML that can be read", most=MOST_BYTES):
        parser.Parse(path.read_bytes(), True)
        return builder.close()
