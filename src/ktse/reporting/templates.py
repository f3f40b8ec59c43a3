"""Templates of page and card, and how they write numbers."""

from __future__ import annotations

from functools import lru_cache

from jinja2 import Environment, PackageLoader, StrictUndefined

from ktse.reporting import judgement, wording
from ktse.runtime.words import many


@lru_cache
def environment(*, html: bool) -> Environment:
    """The templates of this package.

    Args:
        html: escape every value; Markdown escapes its own.
    """
    found = Environment(
        loader=PackageLoader("ktse.reporting", "."),
        autoescape=html,
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
    )
    found.globals.update(is_number=wording.is_number, plural=many, head=judgement.head)
    return found
