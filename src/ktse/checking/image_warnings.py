"""What check warns of in images: too small, thumbnails, without contrast."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ktse.checking.tones import Tones
from ktse.data.dataset import TaggedImages

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

NAMED = 10
"""Images that a warning names."""


def image_warnings(data: TaggedImages, sizes: np.ndarray, tones: Sequence[Tones | None]) -> list[str]:
    """Warnings about the images.

    Args:
        data: the data set.
        sizes: (N, 2) width and height; 0 for images that cannot be read.
        tones: the values of each image; None for images that cannot be read.
    """
    good = sizes.min(axis=1) > 0
    warnings = []
    small = np.flatnonzero(good & (sizes.min(axis=1) < SMALL))
    if len(small):
        warnings.append(f"{len(small)} images have a side of less than {SMALL} pixels: {_names(data, small)}")
    return [*warnings, *_thumbnails(data, sizes.max(axis=1), good), *_flat(data, tones), *_dark(data, tones)]


def _thumbnails(data: TaggedImages, sides: np.ndarray, good: np.ndarray) -> list[str]:
    if not good.any():
        return []
    if sides[good].max() <= TINY:
        return [f"all images are tiny (at most {sides[good].max()} pixels): are these thumbnails?"]
    folders: dict[str, list[int]] = {}
    for index in np.flatnonzero(good):
        folders.setdefault(data.files[index].rpartition("/")[0], []).append(int(index))
    if len(folders) < 2:
        return []
    tiny = []
    for folder, indices in folders.items():
        rest = np.setdiff1d(np.flatnonzero(good), indices)
        largest = int(sides[indices].max())
        if largest * FRACTION < np.median(sides[rest]):
            where = f"folder {folder}" if folder else "top folder"
            tiny.append(f"all {len(indices)} images in the {where} are tiny (at most {largest} pixels): thumbnails?")
    return tiny if len(tiny) <= NAMED else [f"{len(tiny)} folders hold tiny images only: {tiny[0]} ..."]


def _flat(data: TaggedImages, tones: Sequence[Tones | None]) -> list[str]:
    flat = [index for index, one in enumerate(tones) if one is not None and one.flat]
    if not flat:
        return []
    middle = [one.middle for one in tones if one is not None and one.flat]
    dark, bright = sum(level <= DARK for level in middle), sum(level >= 255 - DARK for level in middle)
    look = f"{dark} black, {bright} white, {len(flat) - dark - bright} grey or coloured"
    deep = any(one is not None and one.flat and one.deep for one in tones)
    advice = "; stretch the values to the whole range, without those that mean no data" if deep else ""
    what = "have (almost) one value only after conversion to 8 bits"
    return [f"{len(flat)} images {what} ({look}){advice}: {_names(data, np.array(flat))}"]


def _dark(data: TaggedImages, tones: Sequence[Tones | None]) -> list[str]:
    """Sets of which no image uses the upper part of the range; a dark image among others is a photo of the night."""
    warnings = []
    for deep, limit in ((True, HALF), (False, DARK)):
        indices = [index for index, one in enumerate(tones) if one is not None and one.deep == deep]
        top = max((one.top for one in tones if one is not None and one.deep == deep), default=255)
        if len(indices) > 1 and top <= limit:
            share = f"the lowest {(top + 1) / 256:.1%} of the range of values, so that they are dark"
            advice = "if their values have fewer than 16 bits, stretch these to the whole range"
            names = _names(data, np.array(indices))
            warnings.append(f"{len(indices)} images use only {share}; {advice if deep else 'stretch them'}: {names}")
    return warnings


def _names(data: TaggedImages, indices: np.ndarray) -> str:
    names = [data.ids[index] for index in indices[:NAMED]]
    return ", ".join(names) + (" ..." if len(indices) > NAMED else "")
