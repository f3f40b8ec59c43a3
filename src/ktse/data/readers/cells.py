"""Cells of a table as tags, whatever program wrote them: texts with a separator, lists, JSON, and 0 and 1."""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Iterable
from typing import Any

from ktse.data.text import clean, short

SEPARATORS = (";", "|", ",")
"""Separators that are tried, the first that occurs in any cell counts. A space may be part of a tag."""

LINES = re.compile(r"[\r\n]+")
"""What stands between the lines of a cell; where no separator is given, it separates tags too."""

LIST = re.compile(r"""\s*\[\s*(?:("[^"\\]*"|'[^'\\]*'|\d+)\s*(?:,\s*("[^"\\]*"|'[^'\\]*'|\d+)\s*)*)?\]\s*$""")
"""A list as Python and JSON write it, which is what pandas makes of lists in the cells of a CSV file."""

YES, NO = ("true", "yes"), ("false", "no")


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


def tag_problem(column: str, cell: Any) -> str:
    """Why a cell, as `plain` gives it, cannot be tags; empty if it can."""
    if isinstance(cell, str) and cell[:1] not in ("{", "[", " "):
        return ""
    if isinstance(cell, list) and is_code(cell):
        return f"{column} is {short(cell)}: 0 and 1 for each class need columns with the classes' names"
    content = _json(cell) if isinstance(cell, str) else cell
    if isinstance(content, dict) or (isinstance(content, list) and any(isinstance(one, dict) for one in content)):
        fine = _labelled(content) is not None
    else:
        fine = all(isinstance(one, str | int) for one in (content if isinstance(content, list) else [cell]))
    return "" if fine else f"{column} is {short(cell)}, but must be tags"


def hashable(cell: Any) -> str | tuple[str, ...]:
    """A cell that may be tags, as a key: equal for cells that say the same."""
    if isinstance(cell, dict) or (isinstance(cell, list) and any(isinstance(one, dict) for one in cell)):
        return json.dumps(cell)
    return tuple(map(str, cell)) if isinstance(cell, list) else str(cell)


def separator_of(cells: Iterable[str | tuple[str, ...]]) -> str:
    """The separator that cells use, as far as it can be told."""
    texts = [cell for cell in cells if isinstance(cell, str) and not LIST.match(cell) and _json(cell) is None]
    return next((mark for mark in SEPARATORS if any(mark in text for text in texts)), SEPARATORS[0])


def words(cell: str | tuple[str, ...], separator: str, *, found_out: bool = False) -> tuple[str, ...]:
    """The tags in a cell, each once.

    Args:
        cell: as `hashable` gives it.
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
        parts = map(str, ast.literal_eval(cell.strip()))
    elif separator == " ":
        parts = cell.split()
    else:
        lines = LINES.split(cell) if found_out else [cell]
        parts = [part for line in lines for part in line.split(separator)]
    return tuple(dict.fromkeys(part for part in map(clean, parts) if part))


def split_notes(cells: Iterable[str | tuple[str, ...]], separator: str, source: object) -> list[str]:
    """What to say about a separator that was found out, unless it is the usual one."""
    marks = [] if separator == SEPARATORS[0] else [repr(separator)]
    if any(isinstance(cell, str) and LINES.search(cell.strip()) for cell in cells):
        marks.append("line breaks")
    return [f"tags in {source} are split at {' and '.join(marks)}; set data.separator if that is wrong"] * bool(marks)


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
    found: list[str] = []
    for thing in content if isinstance(content, list) else [content]:
        lists = (
            [value for key, value in thing.items() if key == "choices" or key.endswith("labels")]
            if isinstance(thing, dict)
            else []
        )
        labels = [one for value in lists for one in (value if isinstance(value, list) else [value])]
        if not lists or not all(isinstance(one, str) for one in labels):
            return None
        found += labels
    return found
