"""A report as a reader sees it."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from ktse.reporting.page import write_report

LARGEST_PAGE = 5 * 2**20
VOID = {"meta", "link", "img", "br"}


class Page(HTMLParser):
    """What a page shows and what it refers to; complains about tags that do not match."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.references: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.ids: list[str] = []
        self.tags: list[str] = []
        self.heard: list[str] = []
        self.order: list[tuple[str, str]] = []
        self.unnamed = 0
        self.stack: list[str] = []
        self.feed(text)
        self.words = "".join(self.heard)
        assert not self.stack

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in VOID:
            self.stack.append(tag)
        named = dict(attrs)
        self.references += [named[key] or "" for key in ("src", "href", "srcset", "action", "data") if key in named]
        self.ids += [named["id"] or ""] if "id" in named else []
        self.order.append((tag, named.get("class") or named.get("id") or ""))
        if tag == "svg":  # either decoration, or with a name for those who cannot see it
            self.unnamed += not (named.get("aria-hidden") or (named.get("role") == "img" and named.get("aria-label")))
        if tag == "img" and named.get("src"):
            self.images.append(named)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop() == tag
        if tag in ("td", "th", "title", "text", "li", "p", "h1", "h2", "h3", "span", "figure"):
            self.heard.append(" ")

    def handle_data(self, data: str) -> None:
        if not {"style", "script"} & set(self.stack):
            self.heard.append(re.sub(r"\s+", " ", data))


def read(path: Path) -> Page:
    return Page(path.read_text(encoding="utf-8"))


def words(fake: Any, *, truth: bool = True) -> str:
    return read(write_report(fake.run, fake.data, fake.truth if truth else None)).words
