"""What check warns of in tags: classes that cannot be learned, look alike, are several in one, or mean nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

from ktse.data.classes import sounds_like_no_tag
from ktse.data.text import short, skeleton

RARE = 10
"""Images below which a class is probably too rare to learn."""

NAMED = 10
"""Classes that a warning names."""

MISSING = frozenset(("nan", "none", "null", "n/a", "na", "nofinding", "nofindings", "nothing"))
"""What stands in a cell that is meant to be empty."""


def class_warnings(classes: tuple[str, ...], tags: np.ndarray, counts: Mapping[str, int]) -> list[str]:
    """Warnings about the classes.

    Args:
        classes: C names.
        tags: (N, C) bool.
        counts: images of each class.
    """
    return [
        *_rare(counts, len(tags)),
        *_together(classes, tags, counts),
        *_look_alike(classes),
        *_mean_nothing(classes),
        *_unsplit(classes),
        *_strange(classes),
    ]


def _rare(counts: Mapping[str, int], images: int) -> list[str]:
    absent = [short(name) for name, count in counts.items() if count == 0]
    warnings = [f"{len(absent)} classes have no image and cannot be learned: {_some(absent)}"] if absent else []
    rare = {name: count for name, count in counts.items() if 0 < count < min(RARE, images)}
    if len(rare) <= NAMED:
        warnings += [
            f"the class {short(name)} has only {rare[name]} images: probably too rare to learn" for name in rare
        ]
    else:
        texts = [f"{short(name)} ({rare[name]})" for name in sorted(rare, key=lambda name: rare[name])]
        warnings.append(f"{len(rare)} classes have less than {RARE} images, probably too few to learn: {_some(texts)}")
    warnings += [
        f"every image has the tag {short(name)}: nothing tells what it looks like"
        for name, count in counts.items()
        if count == images and images > 1
    ]
    return warnings


def _together(classes: tuple[str, ...], tags: np.ndarray, counts: Mapping[str, int]) -> list[str]:
    patterns: dict[bytes, list[str]] = {}
    for index, name in enumerate(classes):
        if 0 < counts[name] < len(tags):
            patterns.setdefault(np.packbits(tags[:, index]).tobytes(), []).append(name)
    return [
        f"{_some(list(map(short, names)), ' and ')} are always together: nothing tells them apart"
        for names in patterns.values()
        if len(names) > 1
    ]


def _look_alike(classes: tuple[str, ...]) -> list[str]:
    alike: dict[str, list[str]] = {}
    for name in classes:
        alike.setdefault(skeleton(name), []).append(name)
    warnings = []
    for names in alike.values():
        if len(names) > 1:
            shown = " and ".join(map(short, names[:NAMED]))
            typed = {"".join(one.casefold().split()).replace("_", "").replace("-", "") for one in names}
            other = " (some of their letters are of another alphabet, or invisible)" if len(typed) > 1 else ""
            warnings.append(f"{shown} look like one class{other}")
    return warnings


def _mean_nothing(classes: tuple[str, ...]) -> list[str]:
    names = [name for name in classes if sounds_like_no_tag(name)]
    warnings = []
    if "background" in {name.casefold() for name in names}:
        warnings.append("a class is called 'background': background is what has no tag, and needs none")
    missing = [short(name) for name in names if skeleton(name) in MISSING]
    if missing:
        warnings.append(f"a class is called {_some(missing, ' and ')}: an image without tags has an empty cell")
    if 0 < len(names) < len(classes):
        given = ",".join(names[:NAMED])
        shown = _some(list(map(short, names)), " and ")
        quoted = f"'{given}'" if " " in given else given
        warnings.append(f"{shown} may mean that none of the classes is there; if so: --data.no_tag {quoted}")
    return warnings


def _unsplit(classes: tuple[str, ...]) -> list[str]:
    """Classes that look like several tags whose separator is another one than was taken."""
    known, found = {name.casefold() for name in classes}, []
    for name in classes:
        parts = [part.casefold() for part in re.split(r"[,;|/+&\s]+", name) if part]
        if len(parts) > 1 and (known.issuperset(parts) or re.search(r"[,;|]", name)):
            found.append(name)
    if not found:
        return []
    mark = next(iter(re.findall(r"[,;|/+&]", found[0])), " ")
    some = _some(list(map(short, found)))
    return [f"{some}: several tags in one? If so, give what stands between tags: --data.separator {mark!r}"]


def _strange(classes: tuple[str, ...]) -> list[str]:
    lists = [short(name) for name in classes if name[0] in "[{(" and name[-1] in "]})"]
    warnings = [f"{_some(lists, ' and ')} look like several tags: put data.separator between these"] if lists else []
    if set(classes) <= {"0", "1", "0.0", "1.0"}:
        warnings.append("the tags are 0 and 1: if 1 says that a thing is there, name the column after the thing")
    return warnings


def _some(texts: list[str], joint: str = ", ") -> str:
    return joint.join(texts[:NAMED]) + (" ..." if len(texts) > NAMED else "")
