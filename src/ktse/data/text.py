"""Text as people and programs type it: what only looks different is made equal, and what is long is cut."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

INVISIBLE = dict.fromkeys((0x00AD, 0x200B, 0x2060, 0xFEFF))
"""Soft hyphen, zero-width space, word joiner and byte order mark. Joiners that some scripts need are not among them."""

BLANK = re.compile(r"[^\S\n\r\t\v\f\x1c-\x1f\x85\u2028\u2029]")
"""One blank of any kind, such as a non-breaking space; what ends a line or a cell is none."""

# Cyrillic and Greek letters that look like Latin ones, lower-case; letters that are alike in upper case are here too.
LIKE_LATIN = str.maketrans("авекмнорстухіјѕԁһӏԛԝαβεηικμνορτυχ", "abekmhopctyxijsdhlqwabehikmvoptyx")

SHORT = 80
"""Characters of a value that a message shows."""


def clean(text: str) -> str:
    """The text as somebody reads it: composed letters, ordinary blanks, nothing invisible, no blanks at its ends."""
    if text.isascii():
        return text.strip()
    return BLANK.sub(" ", unicodedata.normalize("NFC", text).translate(INVISIBLE)).strip()


def folded(text: str) -> str:
    """The clean text in one case, for comparing."""
    return clean(clean(text).casefold())


def skeleton(text: str) -> str:
    """What is left of a text to the eye: equal for texts that look alike."""
    letters = unicodedata.normalize("NFKC", text).casefold().translate(LIKE_LATIN)
    return "".join(one for one in letters if unicodedata.category(one) not in ("Cf", "Zs", "Cc") and one not in "_-")


def is_utf8(text: str) -> bool:
    """Whether a file can hold the text; JSON and file systems can give half a character, which UTF-8 lacks."""
    return text.encode(errors="ignore").decode() == text


def short(value: object, most: int = SHORT) -> str:
    """A value as a message shows it: as Python writes it, cut in the middle if it is long."""
    return cut(repr(value), most)


def cut(text: str, most: int = SHORT) -> str:
    """A text without its middle if it is long."""
    return text if len(text) <= most else f"{text[: most // 2]} ... {text[-most // 4 :]}"


def words_of(text: str, mark: str | None = None) -> tuple[str, ...]:
    """The words of a text, between blanks or another mark: a long table in few lines."""
    return tuple(text.split(mark))


def examples(names: Iterable[str], most: int = 3, joint: str = ", ") -> str:
    """The first of some names, and three dots if there are more."""
    some = list(names)
    return joint.join(some[:most]) + (" ..." if len(some) > most else "")


def listed(problems: list[str], most: int = 8) -> list[str]:
    """The first problems of a kind, and the number of the others, so that a message shows every kind."""
    more = [f"... and {len(problems) - most + 1} more like these"]
    return problems if len(problems) <= most else problems[: most - 1] + more
