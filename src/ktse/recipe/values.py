"""What settings are made of: numbers with a range, and the words that an error names the range with."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints


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
    most: float = math.inf
    above: bool = False
    below: bool = False

    def holds(self, value: float) -> bool:
        """Whether a number is in the range; NaN never is."""
        over = value > self.least if self.above else value >= self.least
        return over and (value < self.most if self.below else value <= self.most) and math.isfinite(value)

    def __str__(self) -> str:
        """The range in words, such as "0 or more"."""
        if self.most == math.inf:
            return f"above {self.least:g}" if self.above else f"{self.least:g} or more"
        ends = [f"in {self.least:g}..{self.most:g}"]
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
Count = Annotated[int, Range(0)]
AtLeastOne = Annotated[int, Range(1)]
AtLeastTwo = Annotated[int, Range(2)]
Side = Annotated[int, Range(32)]
"""Pixels of an image that a network is trained on."""
FromMinusOne = Annotated[int, Range(-1)]
Sides = tuple[Side, Side]
"""The smallest and the largest side of an image, in pixels."""


def absolute(settings: Any) -> Any:
    """Settings whose paths hold from anywhere, so that a run can be used from another folder later."""
    hints, changes = get_type_hints(type(settings), include_extras=True), {}
    for field in fields(settings):
        value, hint = getattr(settings, field.name), hints[field.name]
        if is_dataclass(value):
            changes[field.name] = absolute(value)
        elif (hint == Place and value and Path(value).exists()) or (hint == File and Path(value).is_file()):
            changes[field.name] = str(Path(value).absolute())
    return replace(settings, **changes)


def problems(settings: Any, path: str) -> Iterator[str]:
    """What is wrong with the settings of a dataclass and of those inside it, each named by its dotted path.

    A dataclass may have a method ``conflicts``, which yields name, rule and whether the settings keep it.
    """
    hints = get_type_hints(type(settings), include_extras=True)
    for field in fields(settings):
        value, name = getattr(settings, field.name), f"{path}.{field.name}".lstrip(".")
        if is_dataclass(value):
            yield from problems(value, name)
        elif rule := _broken(hints[field.name], value):
            yield f"{name} is {value}, but must be {rule}"
        elif (field.name == "long_side" and isinstance(value, tuple)) and value[0] > value[1]:
            yield f"{name} is {value}, but must be an increasing range"
    for name, rule, fine in settings.conflicts() if hasattr(settings, "conflicts") else ():
        if not fine:
            yield f"{path}.{name} is {getattr(settings, name)}, but must be {rule}"


def _broken(hint: Any, value: Any) -> str:
    """The rule of a type hint that a value breaks, in words; empty if it breaks none."""
    if value is None:
        return "a value, not null"
    kind, inside = get_origin(hint), get_args(hint)
    if kind is Annotated:
        ranged = isinstance(inside[1], Range) and not isinstance(value, str)
        return str(inside[1]) if ranged and not inside[1].holds(value) else ""
    if kind in (Union, UnionType):  # a number or a word
        return next((rule for one in inside if (rule := _broken(one, value))), "")
    if kind is tuple:
        hints = inside[:1] * len(value) if inside[-1] is Ellipsis else inside
        return next((rule for one, item in zip(hints, value, strict=True) if (rule := _broken(one, item))), "")
    return ""
