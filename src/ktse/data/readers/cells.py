"""Cells of a table as tags, whatever program wrote them: texts with a separator, lists, JSON, and 0 and 1."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

from ktse.data.text import clean, examples, short

SEPARATORS = (";", "|", ",")
"""Separators that are tried, the first that occurs in any cell counts. A space may be part of a tag."""

LINES = re.compile(r"[\r\n]+")
"""What stands between the lines of a cell; where no separator is given, it separates tags too."""

LIST = re.compile(r"""\s*\[\s*(?:("[^"\\]*"|'[^'\\]*'|\d+)\s*(?:,\s*("[^"\\]*"|'[^'\\]*'|\d+)\s*)*)?\]\s*$""")
"""A list as Python and JSON write it, which is what pandas makes of lists in the cells of a CSV file."""

ITEM = re.compile(r"""\"([^"\\]*)\"|'([^'\\]*)'|(\d+)""")
"""One element of such a list."""

YES, NO = ("true", "yes"), ("false", "no")

Key: TypeAlias = "str | tuple[Any, ...]"
"""Cells that may be tags, so that cells that say the same are equal."""


def plain(cell: Any) -> Any:
    """A value of JSON or Arrow as CSV has it: nothing is an empty text, a whole number has no point."""
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):  # null and NaN
        return ""
    if isinstance(cell, float) and cell.is_integer():
        return int(cell)
    return [plain(one) for one in cell] if isinstance(cell, list) else cell


def is_empty(cell: object) -> bool:
    """Whether nothing is in a cell."""
    return cell is None or cell == "" or (isinstance(cell, str) and not clean(cell))


def bit(cell: object) -> bool | None:
    """Whether a cell says 1 or 0, also as 1.0, 1,0, true or yes; an empty one says 0; None: something else."""
    text = clean(str(cell)).lower().replace(",", ".")
    if is_empty(cell) or text in NO:
        return False
    if text in YES:
        return True
    try:
        return {0.0: False, 1.0: True}.get(float(text))
    except ValueError:
        return None


def is_code(words: list[Any]) -> bool:
    """Whether tags look like a 0 or 1 for each class, of which nobody says which class it is."""
    return len(words) > len(set(map(str, words))) and set(map(str, words)) <= {"0", "1", "-1", "0.0", "1.0"}


def cells_problem(names: Sequence[str], cells: Sequence[Any], bits: bool) -> str:
    """What is wrong with the cells of a row that should hold tags, or nothing.

    Args:
        names: names of the columns.
        cells: one cell for each column.
        bits: whether the cells must hold 0 and 1; else there is one cell.
    """
    if not bits:
        return _tag_problem(names[0], cells[0])
    wrong = [f"{name} is {short(cell)}" for name, cell in zip(names, cells, strict=True) if bit(cell) is None]
    text = f"{examples(wrong)}, but must be 0 or 1; data.tag_column names the columns that are classes"
    return text if wrong else ""


def _tag_problem(column: str, cell: Any) -> str:
    if isinstance(cell, list) and is_code(cell):
        return f"{column} is {short(cell)}: 0 and 1 for each class need columns with the classes' names"
    if isinstance(cell, str) and "{" not in cell:  # nearly all cells of nearly all tables
        return ""
    content = _json(cell) if isinstance(cell, str) else cell
    if _has_objects(content):
        fine = _labelled(content) is not None
    else:
        fine = all(isinstance(one, str | int) for one in (content if isinstance(content, list) else [cell]))
    return "" if fine else f"{column} is {short(cell)}, but must be tags"


def key_of(cells: Sequence[Any], bits: bool) -> Key:
    """The cells of a row that hold its tags, as a key."""
    if bits:
        return tuple(cells)
    cell = cells[0]
    if isinstance(cell, str):
        return cell
    if _has_objects(cell):
        return json.dumps(cell)
    return tuple(map(str, cell)) if isinstance(cell, list) else str(cell)


def tags_of(
    keys: Iterable[Key], names: Sequence[str], bits: bool, separator: str, source: object
) -> tuple[dict[Key, tuple[str, ...]], list[str]]:
    """The tags that keys stand for.

    Args:
        keys: as `key_of` gives them, each once.
        names: names of the columns; of columns of 0 and 1, each is a tag.
        bits: whether the columns hold 0 and 1.
        separator: what stands between tags; empty: found out.
        source: where the cells are from, for messages.

    Returns:
        the tags by key, and what to say about a separator that was found out, unless it is the usual one.
    """
    if bits:
        return {key: tuple(name for name, cell in zip(names, key, strict=True) if bit(cell)) for key in keys}, []
    texts = [key for key in keys if isinstance(key, str) and not LIST.match(key) and _json(key) is None]
    used = separator or next((mark for mark in SEPARATORS if any(mark in text for text in texts)), SEPARATORS[0])
    marks = [repr(used)] if used != SEPARATORS[0] else []
    marks += ["line breaks"] if any(isinstance(key, str) and LINES.search(key.strip()) for key in keys) else []
    note = f"tags in {source} are split at {' and '.join(marks)}; set data.separator if that is wrong"
    found = {key: words(key, used, found_out=not separator) for key in keys}
    return found, [note] if marks and not separator else []


def words(cell: Key, separator: str, *, found_out: bool = False) -> tuple[str, ...]:
    """The tags in a cell, each once.

    Args:
        cell: as `key_of` gives it.
        separator: what stands between tags in a text: exactly this, but " " stands for any blanks.
        found_out: nobody gave the separator, so that line breaks separate too.
    """
    parts: Iterable[str]
    content = _json(cell) if isinstance(cell, str) else None
    if content is not None:
        parts = _labelled(content) or ()
    elif isinstance(cell, tuple):
        parts = cell
    elif LIST.match(cell):
        parts = (next(filter(None, found), "") for found in ITEM.findall(cell))
    elif separator == " ":
        parts = cell.split()
    else:
        parts = [part for line in (LINES.split(cell) if found_out else [cell]) for part in line.split(separator)]
    return tuple(dict.fromkeys(filter(None, map(clean, parts))))


def _has_objects(content: Any) -> bool:
    return any(isinstance(one, dict) for one in (content if isinstance(content, list) else [content]))


def _json(cell: str) -> Any:
    """The content of a cell that holds a JSON object, or a list of such; None for everything else."""
    if not re.match(r"\s*(\{|\[\s*\{)", cell):
        return None
    try:
        return json.loads(cell)
    except (ValueError, RecursionError):
        return None


def _labelled(content: Any) -> list[str] | None:
    """The labels in what Label Studio writes into one cell: {"choices": [...]}, or a list of shapes with labels."""
    found: list[Any] = []
    for thing in content if isinstance(content, list) else [content]:
        keys = [key for key in thing if key == "choices" or key.endswith("labels")] if isinstance(thing, dict) else []
        if not keys:
            return None
        for key in keys:
            found += thing[key] if isinstance(thing[key], list) else [thing[key]]
    return found if all(isinstance(one, str) for one in found) else None
