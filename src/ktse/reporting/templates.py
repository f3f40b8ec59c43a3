"""Templates of page and card, and how they write numbers."""

from __future__ import annotations

from functools import lru_cache

from jinja2 import Environment, PackageLoader, StrictUndefined

from ktse.reporting import judgement, wording
from ktse.runtime.words import many


@lru_cache
def environment() -> Environment:
    """The templates of this package; every value in them is escaped for HTML, which Markdown may hold as well."""
    found = Environment(
        loader=PackageLoader("ktse.reporting", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    found.filters.update(
        number=wording.number,
        whole=wording.count,
        share=wording.share,
        percent=wording.percent,
        duration=wording.time,
        memory=wording.memory,
        clip=wording.clip,
        plain=wording.plain,
        code=wording.code,
    )
    found.globals.update(is_number=wording.is_number, plural=many, head=judgement.head)
    return found
