"""Numbers and durations as people write them."""

from __future__ import annotations

import math
import re
from typing import Any, TypeGuard

from markupsafe import Markup

from ktse.runtime.words import duration, visible

NOTHING = "–"


def is_number(value: Any) -> TypeGuard[float]:
    """Whether a value from a file is a finite number."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def number(value: Any, digits: int = 1) -> str:
    """A number with this many decimals and thousands separators; a dash for anything else."""
    return f"{value:,.{digits}f}" if is_number(value) else NOTHING


def count(value: Any) -> str:
    """A whole number with thousands separators; a dash for anything else."""
    return number(value, 0)


def percent(value: Any) -> str:
    """A number that is in per cent already."""
    return f"{value:.1f} %" if is_number(value) else NOTHING


def share(value: Any) -> str:
    """A share in 0..1 as per cent."""
    return f"{100 * value:.1f} %" if is_number(value) else NOTHING


def time(seconds: Any) -> str:
    """A duration in words; a dash for anything else."""
    return duration(seconds) if is_number(seconds) else NOTHING


def memory(megabytes: Any) -> str:
    """Megabytes as "640 MB" or "2.1 GB"."""
    if not is_number(megabytes):
        return NOTHING
    return f"{megabytes:.0f} MB" if megabytes < 1000 else f"{megabytes / 1024:.1f} GB"


def listing(names: list[str]) -> str:
    """Names in a row: "a", "a and b", "a, b and c"."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}" if names else ""


def some_of(names: list[str], most: int = 12) -> str:
    """Names in a row, so many at most, and how many more there are."""
    more = len(names) - most
    return listing([*names[:most], *([f"{more} more"] if more > 0 else [])])


def clip(text: str, most: int = 60) -> str:
    """A text on one line, shortened in its middle to so many characters."""
    text = " ".join(text.split())
    return text if len(text) <= most else f"{text[: most - most // 3 - 3]} … {text[-(most // 3) :]}"


def plain(text: object, most: int = 600) -> Markup:
    """A text for Markdown, on one line: what would end a cell of a table or begin a mark-up is escaped."""
    shown = re.sub(r"&(?=#?\w+;)", "&amp;", clip(visible(str(text)), most)).replace("<", "&lt;")
    return Markup(re.sub(r"([\\`*\[\]|])", r"\\\1", shown))


def code(text: object) -> Markup:
    """A text as code in Markdown, where nothing is a mark-up but the end of the code."""
    shown = clip(visible(str(text)), 600)
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", shown)), default=0))
    return Markup(f"{fence}{shown}{fence}" if len(fence) == 1 else f"{fence} {shown} {fence}")
