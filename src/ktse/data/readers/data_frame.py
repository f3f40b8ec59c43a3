"""A table of tags that is in memory, such as a pandas DataFrame, as the file that a run needs to go on later."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ktse.data.readers.columns import IMAGE_COLUMNS
from ktse.errors import DataError, KtseError
from ktse.files import atomic, in_cell


def is_frame(tags: object) -> bool:
    """Whether tags are a table in memory, with named columns; known by what it can do, no library is loaded."""
    return hasattr(tags, "columns") and hasattr(tags, "__getitem__")


def frame_text(frame: Any) -> str:
    """A table in memory as CSV.

    Args:
        frame: a column of image names, and either a column of tags (text, or a list of text in each cell) or a column
            of 0 and 1 for each class. The names may also be the index of the table.

    Raises:
        DataError: two columns have the same name.
    """
    columns = [str(name) for name in frame.columns]
    if doubled := sorted({repr(name) for name in columns if columns.count(name) > 1}):
        raise DataError(f"the table of tags has two columns {' and two columns '.join(doubled)}")
    cells = [list(frame[name]) for name in frame.columns]
    index = getattr(frame, "index", None)
    named = not any(name.strip().lower() in IMAGE_COLUMNS for name in columns)
    if index is not None and named and all(isinstance(name, str) for name in index):
        columns, cells = [IMAGE_COLUMNS[0], *columns], [list(index), *cells]
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(map(in_cell, columns))
    table.writerows([in_cell(_cell(value)) for value in row] for row in zip(*cells, strict=True))
    return text.getvalue()


@contextmanager
def tags_as_file(tags: Any, path: Path) -> Iterator[Any]:
    """Within the block, a table in memory is this file; afterwards too, unless the block failed.

    Args:
        tags: a table in memory, which is written; anything else is handed through.
        path: the file; where it holds the same already, it is left alone.
    """
    if not is_frame(tags):
        yield tags
        return
    made = [folder for folder in path.parents if not folder.exists()]
    former = path.read_bytes() if path.is_file() else None
    text = frame_text(tags).encode()
    if text != former:
        _write(path, text)
    try:
        yield path
    except BaseException as error:
        if former is None:
            path.unlink(missing_ok=True)
        elif text != former:
            _write(path, former)
        for folder in made:
            with suppress(OSError):  # others may have put something there
                folder.rmdir()
        if isinstance(error, KtseError):
            # Words for a file that the user has never seen; the longer path first, as the other one may be its end.
            what, *where, hint = (
                one.replace(str(path.absolute()), "made of the table").replace(str(path), "made of the table")
                for one in (error.what, *error.where, error.hint)
            )
            raise type(error)(what, where=where, hint=hint) from error
        raise


def _write(path: Path, text: bytes) -> None:
    with atomic(path) as part:
        part.write_bytes(text)


def _cell(value: Any) -> str:
    if isinstance(value, set | frozenset):
        value = sorted(map(str, value))
    if isinstance(value, list | tuple) or getattr(value, "ndim", None) == 1:
        texts = list(map(str, value))
        if any("\\" in text or {"'", '"'} <= set(text) for text in texts):  # which no list in a cell can say
            return json.dumps({"choices": texts}, ensure_ascii=False)
        return "[" + ", ".join(f'"{text}"' if '"' not in text else f"'{text}'" for text in texts) + "]"
    # Of the missing values of pandas, one is a number, and the others have names.
    return "" if value is None or str(value) in ("nan", "<NA>", "NaT") else str(value)
