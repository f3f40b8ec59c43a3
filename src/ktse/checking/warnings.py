"""What check warns of: classes that cannot be learned or look wrong, images that show little, copies, other masks."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from ktse.data.classes import sounds_like_no_tag
from ktse.data.dataset import TaggedImages
from ktse.data.text import examples, short, skeleton
from ktse.runtime.words import many

RARE = 10
"""Images below which a class is probably too rare to learn."""

NAMED = 10
"""Classes, or images, that a warning names."""

MISSING = ("nan", "none", "null", "n/a", "na", "nofinding", "nofindings", "nothing")
"""What stands in a cell that is meant to be empty."""

SMALL = 32
"""Pixels below which a side of an image is too short to learn much from."""

TINY = 64
"""Pixels of the longer side up to which a picture is tiny."""

FRACTION = 3
"""A folder whose images are this many times smaller than those of other folders probably holds thumbnails."""

DARK = 63
"""Level, of 255, up to which images are dark: a quarter of the range."""

HALF = 127
"""Level, of 255, that an image of more than 8 bits must pass to use the upper bits of its range."""


def class_warnings(classes: tuple[str, ...], tags: np.ndarray, counts: Mapping[str, int]) -> list[str]:
    """Warnings about the classes.

    Args:
        classes: C names.
        tags: (N, C) bool.
        counts: images of each class.
    """
    of_names = [text for warn in (_look_alike, _mean_nothing, _unsplit, _strange) for text in warn(classes)]
    return _rare(counts, len(tags)) + _together(classes, tags) + of_names


def _some(names: list[str], joint: str = " and ") -> str:
    return examples(map(short, names), NAMED, joint)


def _rare(counts: Mapping[str, int], images: int) -> list[str]:
    absent = [name for name, count in counts.items() if count == 0]
    text = f"{many(len(absent), 'class has', 'classes have')} no image and cannot be learned"
    warnings = [f"{text}: {_some(absent, ', ')}"] if absent else []
    rare = {name: count for name, count in counts.items() if 0 < count < min(RARE, images)}
    if len(rare) <= NAMED:
        for name, count in rare.items():
            warnings.append(f"the class {short(name)} has only {many(count, 'image')}: probably too rare to learn")
    else:
        some = examples((f"{short(name)} ({rare[name]})" for name in sorted(rare, key=lambda name: rare[name])), NAMED)
        text = f"{many(len(rare), 'class has', 'classes have')} less than {RARE} images, probably too few to learn"
        warnings.append(f"{text}: {some}")
    everywhere = [short(name) for name, count in counts.items() if count == images and images > 1]
    return warnings + [f"every image has the tag {name}: nothing tells what it looks like" for name in everywhere]


def _together(classes: tuple[str, ...], tags: np.ndarray) -> list[str]:
    patterns: dict[bytes, list[str]] = {}
    for name, column in zip(classes, tags.T, strict=True):
        if column.any() and not column.all():
            patterns.setdefault(np.packbits(column).tobytes(), []).append(name)
    groups = [names for names in patterns.values() if len(names) > 1]
    return [f"{_some(names)} are always together: nothing tells them apart" for names in groups]


def _look_alike(classes: tuple[str, ...]) -> list[str]:
    alike: dict[str, list[str]] = {}
    for name in classes:
        alike.setdefault(skeleton(name), []).append(name)
    warnings = []
    for names in alike.values():
        if len(names) > 1:
            typed = {re.sub(r"[\s_-]", "", one.casefold()) for one in names}
            other = " (some of their letters are of another alphabet, or invisible)" if len(typed) > 1 else ""
            warnings.append(f"{_some(names)} look like one class{other}")
    return warnings


def _mean_nothing(classes: tuple[str, ...]) -> list[str]:
    names = [name for name in classes if sounds_like_no_tag(name)]
    warnings = []
    if "background" in {name.casefold() for name in names}:
        warnings.append("a class is called 'background': background is what has no tag, and needs none")
    if missing := [name for name in names if skeleton(name) in MISSING]:
        warnings.append(f"a class is called {_some(missing)}: an image without tags has an empty cell")
    if 0 < len(names) < len(classes):
        given = ",".join(names[:NAMED])
        quoted = f"'{given}'" if " " in given else given
        text = f"{_some(names)} may mean that none of the classes is there"
        warnings.append(f"{text}; if so: --data.no_tag {quoted}")
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
    hint = f"If so, give what stands between tags: --data.separator {mark!r}"
    return [f"{_some(found, ', ')}: several tags in one? {hint}"]


def _strange(classes: tuple[str, ...]) -> list[str]:
    lists = [name for name in classes if name[0] in "[{(" and name[-1] in "]})"]
    warnings = [f"{_some(lists)} look like several tags: put data.separator between these"] if lists else []
    if set(classes) <= {"0", "1", "0.0", "1.0"}:
        warnings.append("the tags are 0 and 1: if 1 says that a thing is there, name the column after the thing")
    return warnings


def image_warnings(data: TaggedImages, sizes: np.ndarray, tones: np.ndarray) -> list[str]:
    """Warnings about the images.

    Args:
        data: the data set.
        sizes: (N, 2) width and height; 0 for images that cannot be read.
        tones: (N, 4) the values of `Tones` for each image.
    """
    good = np.flatnonzero(sizes.min(axis=1) > 0)
    data, sizes, (flat, top, middle, deep) = data.take(good), sizes[good], tones[good].T
    small = np.flatnonzero(sizes.min(axis=1) < SMALL)
    has = many(len(small), "image has", "images have")
    text = f"{has} a side of less than {SMALL} pixels: {_names(data, small)}"
    warnings = [text] if len(small) else []
    return warnings + _thumbnails(data, sizes) + _flat(data, flat > 0, middle, deep > 0) + _dark(data, top, deep > 0)


def _names(data: TaggedImages, indices: np.ndarray) -> str:
    return examples((data.ids[index] for index in indices), NAMED)


def _thumbnails(data: TaggedImages, sizes: np.ndarray) -> list[str]:
    sides = sizes.max(axis=1)
    if 0 < sides.max(initial=0) <= TINY:
        return [f"all images are tiny (at most {sides.max()} pixels): are these thumbnails?"]
    folders: dict[str, list[int]] = {}
    for index, file in enumerate(data.files):
        folders.setdefault(file.rpartition("/")[0], []).append(index)
    tiny = []
    for folder, indices in folders.items() if len(folders) > 1 else ():
        largest = int(sides[indices].max())
        if largest * FRACTION < np.median(np.delete(sides, indices)):
            where = f"folder {folder}" if folder else "top folder"
            every = f"every image in the {where} ({len(indices):,})"
            tiny.append(f"{every} is tiny (at most {largest} pixels): thumbnails?")
    return tiny if len(tiny) <= NAMED else [f"{len(tiny)} folders hold tiny images only: {tiny[0]} ..."]


def _flat(data: TaggedImages, flat: np.ndarray, middle: np.ndarray, deep: np.ndarray) -> list[str]:
    if not flat.any():
        return []
    count, levels = int(flat.sum()), middle[flat]
    dark, bright = int((levels <= DARK).sum()), int((levels >= 255 - DARK).sum())
    text = f"{many(count, 'image has', 'images have')} (almost) one value only after conversion to 8 bits"
    text += f" ({dark} black, {bright} white, {count - dark - bright} grey or coloured)"
    if (flat & deep).any():
        text += "; stretch the values to the whole range, without those that mean no data"
    return [f"{text}: {_names(data, np.flatnonzero(flat))}"]


def _dark(data: TaggedImages, top: np.ndarray, deep: np.ndarray) -> list[str]:
    """Sets of which no image uses the upper part of the range; a dark image among others is a photo of the night."""
    warnings = []
    stretch = "if their values have fewer than 16 bits, stretch these to the whole range"
    for chosen, limit, advice in ((deep, HALF, stretch), (~deep, DARK, "stretch them")):
        indices = np.flatnonzero(chosen)
        if len(indices) > 1 and (most := int(top[indices].max())) <= limit:
            share = f"the lowest {(most + 1) / 256:.1%} of the range of values, so that they are dark"
            warnings.append(f"{len(indices)} images use only {share}; {advice}: {_names(data, indices)}")
    return warnings


def duplicate_warnings(data: TaggedImages, groups: list[list[int]]) -> list[str]:
    """Warnings about images with the same content.

    Args:
        data: the data set.
        groups: indices of such images.
    """

    def equal(some: list[list[int]]) -> str:
        return examples((" = ".join(data.ids[index] for index in group[:3]) for group in some), NAMED)

    extra = sum(len(group) - 1 for group in groups)
    other = [group for group in groups if (data.tags[group] != data.tags[group[0]]).any()]
    leaks = [group for group in groups if len(set(data.validation[group].tolist())) == 2]
    texts = (
        (groups, f"{many(extra, 'image repeats', 'images repeat')} the content of others"),
        (other, f"{many(len(other), 'group of equal images has', 'groups of equal images have')} different tags"),
        (leaks, f"{many(len(leaks), 'group', 'groups')} of equal images both in training and in validation"),
    )
    return [f"{text}: {equal(some)}" for some, text in texts if some]


def mask_warnings(disagree: list[dict[str, Any]]) -> list[str]:
    """Warnings about true masks that name other classes than the tags."""
    texts = []
    lacking = {
        "only in tags": ("image has a tag that its mask lacks", "images have a tag that their mask lacks"),
        "only in mask": ("image lacks a tag of its mask", "images lack a tag of their mask"),
    }
    for where, (one, several) in lacking.items():
        if some := [f"{entry['id']} ({', '.join(entry[where])})" for entry in disagree if entry[where]]:
            texts.append(f"{many(len(some), one, several)}: {examples(some, NAMED)}")
    return texts
