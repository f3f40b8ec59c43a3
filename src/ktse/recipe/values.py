"""What settings are made of: numbers with a range, and the words that an error names the range with."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from difflib import get_close_matches
from functools import cache
from numbers import Integral, Real
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

T = TypeVar("T")

LARGEST = 1e9
"""The end of ranges that have no other one, so that no setting can ask for more than any machine can do."""

MOST_ITEMS, MOST_CHARACTERS, MOST_BYTES = 64, 4096, 255
"""Length of a list, of a text, and of a name in a path."""


@dataclass(frozen=True)
class Range:
    """The numbers that a setting may have.

    Attributes:
        least: the smallest, itself allowed unless `above`.
        most: the largest, itself allowed unless `below`.
        above: the smallest is excluded.
        below: the largest is excluded.
    """

    least: float
    most: float = LARGEST
    above: bool = False
    below: bool = False

    def holds(self, value: float) -> bool:
        """Whether a number is in the range; NaN never is."""
        over = value > self.least if self.above else value >= self.least
        return over and (value < self.most if self.below else value <= self.most)

    def __str__(self) -> str:
        """The range in words, such as "0 or more, 1e+09 at most"."""
        if self.most == LARGEST:
            start = f"above {self.least:g}" if self.above else f"{self.least:g} or more"
            return f"{start}, {self.most:g} at most"
        ends = [f"in {self.least:g}..{self.most:.10g}"]
        ends += [f"above {self.least:g}"] if self.above else []
        ends += [f"below {self.most:g}"] if self.below else []
        return ", ".join(ends)


File = Annotated[str, "file"]
"""The path of a file, or a word in its place."""
Place = Annotated[str, "place"]
"""The path of a file or a folder."""
Share = Annotated[float, Range(0, 1)]
ShareBelowOne = Annotated[float, Range(0, 1, below=True)]
ShareAboveZero = Annotated[float, Range(0, 1, above=True)]
ShareInside = Annotated[float, Range(0, 1, above=True, below=True)]
Factor = Annotated[float, Range(0)]
Positive = Annotated[float, Range(0, above=True)]
Scale = Annotated[float, Range(0, 16, above=True)]
"""Factor on the size of an image."""
Count = Annotated[int, Range(0)]
AtLeastOne = Annotated[int, Range(1)]
BatchSize = Annotated[int, Range(1, 1 << 16)]
BatchOfTwo = Annotated[int, Range(2, 1 << 16)]
Levels = Annotated[int, Range(1, 32)]
Radius = Annotated[int, Range(2, 1 << 8)]
RandomSeed = Annotated[int, Range(0, (1 << 32) - 1)]
Side = Annotated[int, Range(32, 1 << 14)]
"""Pixels of an image that a network is trained on."""
LongSide = Annotated[int, Range(0, 1 << 16)]
"""Pixels of the longer side of an image; 0: its own."""
Step = Annotated[int, Range(1, 1 << 10)]
"""Pixels of an image per pixel of a map."""
Rounds = Annotated[int, Range(0, 100_000)]
"""How often something is repeated for one image."""
FromMinusOne = Annotated[int, Range(-1, 1 << 10)]
Sides = tuple[Side, Side]
"""The smallest and the largest side of an image, in pixels."""


def short(value: object) -> str:
    """A value as a message shows it."""
    text = repr(value) if not isinstance(value, int) or abs(value) < 1e18 else "a very large number"
    return text if len(text) <= 100 else f"{text[:60]} ... {text[-30:]}"


@cache
def _hints(kind: type) -> dict[str, Any]:
    """Type hints of the settings of a dataclass, by name."""
    hints = get_type_hints(kind, include_extras=True)
    return {field.name: hints[field.name] for field in fields(kind)}


def absolute(settings: Any) -> Any:
    """Settings whose paths hold from anywhere, so that a run can be used from another folder later."""
    hints, changes = _hints(cast(Any, type(settings))), {}
    for field in fields(settings):
        value, hint = getattr(settings, field.name), hints[field.name]
        if is_dataclass(value):
            changes[field.name] = absolute(value)
        elif (hint == Place and value and Path(value).exists()) or (hint == File and Path(value).is_file()):
            changes[field.name] = str(Path(value).absolute())
    return replace(settings, **changes)


def filled(kind: type[T], content: Mapping[str, Any], path: str, problems: list[str]) -> T:
    """A dataclass of settings from plain values; what is not given keeps its default.

    A dataclass may have a method ``conflicts``, which yields name, rule and whether the settings keep it.

    Args:
        kind: the dataclass.
        content: values by name.
        path: the dotted name of the settings, for messages; empty for all of them.
        problems: what is wrong with settings is added here, each named by its dotted path.

    Returns:
        the settings; those that are wrong have their default.
    """
    hints, values = _hints(cast(Any, kind)), dict[str, Any]()
    start, before = f"{path}." if path else "", len(problems)
    for name, value in content.items():
        if name not in hints:
            near = get_close_matches(str(name), hints, 1)
            other = f"; {start}{near[0]} is one" if near else ""
            problems.append(f"there is no setting {start}{short(name)}{other}")
        elif is_dataclass(hints[name]) and isinstance(value, Mapping):
            values[name] = filled(cast(type, hints[name]), value, start + name, problems)
        else:
            try:
                values[name] = fitted(hints[name], value)
            except ValueError as error:
                problems.append(f"{start}{name} is {short(value)}, but must be {error}")
    settings = kind(**values)
    for name, rule, fine in settings.conflicts() if hasattr(settings, "conflicts") else ():
        if not fine and len(problems) == before:
            problems.append(f"{start}{name} is {getattr(settings, name)}, but must be {rule}")
    return settings


def fitted(hint: Any, value: Any) -> Any:
    """A plain value as a setting holds it: a number for its text, a tuple for a list.

    Raises:
        ValueError: it is none of the values that the type hint allows; the text says which these are.
    """
    kind, inside = get_origin(hint), get_args(hint)
    if value is None:
        raise ValueError("a value, not null")
    if kind is Annotated:
        found = fitted(inside[0], value)
        if isinstance(inside[1], Range) and not inside[1].holds(found):
            raise ValueError(str(inside[1]))
        if hint in (File, Place) and any(len(os.fsencode(part)) > MOST_BYTES for part in Path(found).parts):
            raise ValueError(f"a path whose names have at most {MOST_BYTES} bytes")
        return found
    if kind in (Union, UnionType):  # a number or a word
        return _one_of(inside, value)
    if kind is Literal:
        if not isinstance(value, bool | float) and value in inside:
            return value
        raise ValueError(f"one of {', '.join(map(repr, inside))}" if len(inside) > 1 else repr(inside[0]))
    if kind is tuple:
        return _items(inside, value)
    if is_dataclass(hint):
        raise ValueError("a group of settings, such as {SETTING: VALUE}")
    return _PLAIN[hint](value)


def _one_of(hints: tuple[Any, ...], value: Any) -> Any:
    rules = []
    for hint in hints:
        try:
            return fitted(hint, value)
        except ValueError as error:
            rules.append(str(error))
    raise ValueError(", or ".join(rules))


def _items(hints: tuple[Any, ...], value: Any) -> tuple[Any, ...]:
    free = hints[-1] is Ellipsis
    if not isinstance(value, list | tuple) or (len(value) > MOST_ITEMS if free else len(value) != len(hints)):
        raise ValueError(f"a list of at most {MOST_ITEMS} values" if free else f"a list of {len(hints)} values")
    found = tuple(map(fitted, hints[:1] * len(value) if free else hints, value))
    if hints[0] == Side and found[0] > found[-1]:
        raise ValueError("an increasing range")
    return found


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("true or false")
    return value


def _whole(value: Any) -> int:
    # YAML reads some numbers as texts, and so does a shell.
    if isinstance(value, str) and re.fullmatch(r"\s*[+-]?\d{1,18}\s*", value, re.ASCII):
        return int(value)
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise ValueError("a whole number")
    return int(value)


def _number(value: Any) -> float:
    try:
        if isinstance(value, bool) or not isinstance(value, str | Real):
            raise ValueError
        found = float(value)
    except (ValueError, OverflowError) as error:
        raise ValueError("a number") from error
    if not math.isfinite(found):
        raise ValueError("a finite number")
    return found


def _text(value: Any) -> str:
    text = os.fspath(value) if isinstance(value, os.PathLike) else value
    if not isinstance(text, str) or len(text) > MOST_CHARACTERS or "\0" in text or not _is_utf8(text):
        raise ValueError(f"text of at most {MOST_CHARACTERS} characters without a null character")
    return text


def _is_utf8(text: str) -> bool:
    return text.encode(errors="ignore").decode() == text


_PLAIN: dict[Any, Callable[[Any], Any]] = {bool: _truth, int: _whole, float: _number, str: _text}
