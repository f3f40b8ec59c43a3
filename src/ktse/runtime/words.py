"""Counts, sizes and durations as people write them."""

from __future__ import annotations

from collections.abc import Sequence

JOINERS = "\u200c\u200d"
"""Characters that cannot be seen, and that some scripts are written with."""


def visible(text: str) -> str:
    """A text for a terminal or a log: line breaks stay; characters that steer a terminal, or are no text, are shown.

    A name of a file may hold what moves the cursor, colours the rest of the screen, or turns the order of letters.
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() or one in "\n" + JOINERS else _escape(one) for one in text)


def _escape(letter: str) -> str:
    return " " if letter == "\t" else repr(letter)[1:-1]


def many(count: int, one: str, several: str = "") -> str:
    """A count with its noun, and its verb if need be: "1 image has", "1,785 images have"; several: one, with an s."""
    return f"{count:,} {one if count == 1 else several or one + 's'}"


def duration(seconds: float) -> str:
    """A time as "4.2 s", "42 s", "3 min 20 s" or "1 h 12 min"."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s" if seconds < 10 else f"{rest} s"


def pixels(size: Sequence[int]) -> str:
    """Width and height of an image or a mask: "640x480 pixels"."""
    return f"{size[0]}x{size[1]} pixels"
