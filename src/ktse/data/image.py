"""Images as they come: whatever Pillow reads becomes upright 8-bit RGB; what cannot is refused by name."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, ImageOps, PngImagePlugin

from ktse.data.file_kinds import KINDS, ending, kind_of
from ktse.errors import DataError

NEUTRAL = (124, 116, 104)
"""What shows through transparent pixels: ImageNet's mean colour, which is zero after the normalisation."""

DEEP = ("I", "F", "I;16", "I;16L", "I;16B", "I;16N")
"""Modes with more than 8 bits a pixel, which Pillow would clip."""

SMALLER = "Scale it down, or remove it."

# Photo editors and slide scanners write megabytes of text and colour profiles, which Pillow takes for an attack.
PngImagePlugin.MAX_TEXT_CHUNK = max(PngImagePlugin.MAX_TEXT_CHUNK, 16 << 20)
PngImagePlugin.MAX_TEXT_MEMORY = max(PngImagePlugin.MAX_TEXT_MEMORY, 64 << 20)


@contextmanager
def opened(source: Path | BytesIO, bombs: Literal["error", "ignore"] = "ignore") -> Iterator[Image.Image]:
    """Open an image, whose pixels are not decoded yet. Images with very many pixels are an error or nothing special."""
    with warnings.catch_warnings():
        warnings.simplefilter(bombs, Image.DecompressionBombWarning)
        with Image.open(source) as image:
            yield image


def read_image(source: Path | BytesIO, long_side: int = 0, name: str = "") -> Image.Image:
    """Read an image as RGB: the first frame, turned as its EXIF data says, transparency over a neutral colour.

    Args:
        source: a file, or the bytes of one.
        long_side: pixels that the longer side needs at least; a JPEG far larger than that is decoded at a fraction
            of its size, in a fraction of the time and memory. 0: as it is.
        name: what messages call the image; empty: its path.

    Raises:
        DataError: it cannot be read, is cut off, or has so many pixels that it must be a decompression bomb.
    """
    called = name or str(source)
    try:
        with opened(source, "error") as image:
            if long_side:
                _draft(image, 2 * long_side)
            image.load()
            return to_rgb(_upright(image))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DataError(f"{called} is refused as a decompression bomb", where=str(error), hint=SMALLER) from error
    except MemoryError as error:
        raise DataError(f"{called} is too large for the memory", hint=SMALLER) from error
    except Exception as error:  # on damaged files, Pillow's decoders raise whatever their parsing stumbles over
        raise DataError(f"{called} cannot be read as an image", where=_why(error, source)) from error


def image_size(path: Path | BytesIO) -> tuple[int, int]:
    """Width and height of an image after it is turned upright; its pixels are not decoded.

    Raises:
        DataError: it cannot be read.
    """
    try:
        with opened(path) as image:
            width, height = image.size
            return (height, width) if image.getexif().get(0x0112, 1) in (5, 6, 7, 8) else (width, height)
    except Exception as error:  # as above
        raise DataError(f"{path} cannot be read as an image", where=_why(error, path)) from error


def is_deep(source: Path | BytesIO) -> bool:
    """Whether an image that can be read has more than 8 bits a pixel, so that its values are scaled."""
    with opened(source) as image:
        return image.mode in DEEP


def at_most(size: tuple[int, int], pixels: int) -> tuple[int, int]:
    """(width, height) of an image after it is scaled down to so many pixels, if it has more; 0: as it is."""
    factor = math.sqrt(pixels / (size[0] * size[1])) if pixels else 1.0
    return size if factor >= 1 else (max(1, int(size[0] * factor)), max(1, int(size[1] * factor)))


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert any mode to RGB.

    16 bits are scaled to 8 by their full range, so that images of a set stay comparable. 32 bits have no such range:
    each image is stretched from its smallest to its largest value, unless it fits 0..65535 or, for floats, 0..1.
    """
    if image.mode in DEEP:
        return Image.fromarray(_eight_bits(np.asarray(image))).convert("RGB")
    if image.has_transparency_data:
        ground = Image.new("RGBA", image.size, (*NEUTRAL, 255))
        return Image.alpha_composite(ground, image.convert("RGBA")).convert("RGB")
    return image.convert("RGB")


def _eight_bits(values: np.ndarray) -> np.ndarray:
    whole = np.issubdtype(values.dtype, np.integer)
    values = np.nan_to_num(values.astype(np.float64), posinf=0, neginf=0)
    low, high = float(values.min()), float(values.max())
    if low >= 0 and high <= (65535 if whole else 1):
        low, high = 0.0, 65535.0 if whole else 1.0
    scaled = (values - low) * (255 / max(high - low, 1e-12))
    return np.asarray(scaled.round().clip(0, 255), dtype=np.uint8)


def _draft(image: Image.Image, long_side: int) -> None:
    # Only JPEG can; Pillow takes the smallest fraction (1/2, 1/4, 1/8) that is no smaller than what is asked for.
    share = long_side / max(image.size)
    if share < 1:
        image.draft(None, (max(1, round(image.width * share)), max(1, round(image.height * share))))


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # damaged EXIF data do not make the pixels unreadable
        return image


def _why(error: Exception, source: Path | BytesIO) -> str:
    """Why an image cannot be read: what the file is, if that is known, or what Pillow says, in one line."""
    if "MAX_TEXT" in str(error) or "Decompressed Data Too Large" in str(error):  # Pillow up to 10
        megabytes = PngImagePlugin.MAX_TEXT_CHUNK >> 20
        return f"it has more than {megabytes} MB of text or colour profile in it: save it again without metadata"
    kind = "" if isinstance(error, FileNotFoundError) else kind_of(source)
    if kind.endswith("image"):  # one that Pillow knows, so that it must be damaged
        kind = ""
    elif not kind and isinstance(source, Path):
        kind = KINDS.get(ending(source.name), "")
    if kind:
        return f"it is {kind}"
    return f"{type(error).__name__}: {error}".splitlines()[0].replace(f" {source!r}", "")
