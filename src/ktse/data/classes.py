"""Tags that say that nothing is there: an image that has only such a tag is an image without tags."""

from __future__ import annotations

from pathlib import Path

from ktse.data.text import clean, short, skeleton
from ktse.errors import DataError

NO_TAG = frozenset((
    "free", "normal", "none", "background", "nodefect", "nodefects", "defectfree", "good", "ok", "okay", "healthy",
    "negative", "nothing", "nofinding", "nofindings", "empty", "clean", "notag", "nolabel", "unlabeled", "unlabelled",
    "nan", "null", "n/a", "na", "nondefective", "intact",
))  # fmt: skip
"""Names, without blanks and in lower case, that usually mean that none of the classes is there."""


def sounds_like_no_tag(name: str) -> bool:
    """Whether a class is called as if it meant that nothing is there."""
    return skeleton(name) in NO_TAG


def means_no_tag(name: str, given: str) -> bool:
    """Whether a tag is one of those that somebody gave, joined by commas, as meaning no tag; case does not count."""
    return skeleton(name) in set(map(skeleton, _names(given)))


def without_no_tag(
    classes: tuple[str, ...], tags: list[tuple[str, ...]], given: str, source: Path
) -> tuple[tuple[str, ...], list[tuple[str, ...]], list[str]]:
    """Take the names that mean no tag out of the tags of images and out of the classes.

    Args:
        classes: class names, or none.
        tags: tags of each image.
        given: the names, joined by commas.
        source: what named the tags, for messages.

    Returns:
        the classes and tags that are left, and notes.

    Raises:
        DataError: no image has such a tag.
    """
    distinct = dict.fromkeys(tags)
    used = dict.fromkeys(tag for row in distinct for tag in row)
    gone = {tag for tag in used if means_no_tag(tag, given)}
    if not gone:
        shown = ", ".join(map(short, sorted(used)[:20]))
        raise DataError(
            f"data.no_tag is {short(given)}, but no image in {source} has such a tag",
            where=f"tags found: {shown or 'none'}", hint="Give names of tags, joined by commas, or leave it out.",
        )  # fmt: skip
    left = {row: tuple(tag for tag in row if tag not in gone) for row in distinct}
    alone = sum(bool(row) and not left[row] for row in tags)
    beside = sum(left[row] != row and bool(left[row]) for row in tags)
    notes = [f"{', '.join(map(short, sorted(gone)))} means no tag: {alone} images have no other"]
    if beside:
        notes.append(f"{beside} images have other tags besides: these count")
    unknown = [name for name in _names(given) if skeleton(name) not in set(map(skeleton, gone))]
    if unknown:
        notes.append(f"no image has the tag {', '.join(map(short, unknown))} of data.no_tag")
    return tuple(name for name in classes if not means_no_tag(name, given)), [left[row] for row in tags], notes


def _names(given: str) -> list[str]:
    return [name for name in map(clean, given.split(",")) if name]
