"""MXNet's .params files, read without MXNet: little-endian arrays, then their names.

Source: NDArray::Save and NDArray::Load in MXNet's src/ndarray/ndarray.cc.
"""

from __future__ import annotations

import math
import struct
from pathlib import Path

import numpy as np

from ktse.runtime.reading import reading

LIST_MAGIC = 0x112
V1, V2, V3 = 0xF993FAC8, 0xF993FAC9, 0xF993FACA
"""First word of an array: 64-bit shape; storage type before it; shapes in the manner of NumPy. Else: a 32-bit shape."""

TYPES = ("<f4", "<f8", "<f2", "u1", "<i4", "i1", "<i8", "?", "<i2", "<u2", "<u4", "<u8")
"""NumPy's name of each of MXNet's type numbers; bfloat16 (12) has none and does not occur in published weights."""


class _Reader:
    def __init__(self, content: bytes) -> None:
        self.content, self.place = content, 0

    def take(self, size: int) -> bytes:
        if not 0 <= size <= len(self.content) - self.place:
            left = len(self.content) - self.place
            raise ValueError(f"it ends {size - left} bytes too early (at byte {len(self.content)})")
        self.place += size
        return self.content[self.place - size : self.place]

    def number(self, form: str) -> int:
        return int(struct.unpack(f"<{form}", self.take(struct.calcsize(form)))[0])

    def numbers(self, form: str, count: int) -> tuple[int, ...]:
        return struct.unpack(f"<{count}{form}", self.take(count * struct.calcsize(form)))


def read_params(path: Path) -> dict[str, np.ndarray]:
    """Read the arrays of an MXNet .params file by name, without the prefixes arg: and aux:.

    Raises:
        DataError: the file is missing, truncated, or something else, or holds sparse arrays.
    """
    wrong, hint = "is not a whole MXNet .params file", "Download the file again."
    with reading(path, wrong, hint=hint):
        reader = _Reader(path.read_bytes())
        if reader.number("Q") != LIST_MAGIC or reader.number("Q") != 0:
            raise ValueError("it does not begin like one (0x112 in eight bytes)")
        arrays = [_array(reader) for _ in range(reader.number("Q"))]
        names = [reader.take(reader.number("Q")).decode() for _ in range(reader.number("Q"))]
        if len(names) != len(arrays):
            raise ValueError(f"it holds {len(arrays)} arrays, but {len(names)} names")
    return {name.removeprefix("arg:").removeprefix("aux:"): array for name, array in zip(names, arrays, strict=True)}


def _array(reader: _Reader) -> np.ndarray:
    magic = reader.number("I")
    if magic in (V2, V3) and (storage := reader.number("i")) != 0:
        raise ValueError(f"an array is sparse (storage type {storage}), which weights are not")
    if magic in (V1, V2, V3):
        dimensions = reader.number("i")
        shape = reader.numbers("q", _sane(dimensions)) if dimensions >= 0 else None
    else:  # before version 1 the first word was the number of dimensions
        shape = reader.numbers("I", _sane(magic))
    # An array of unknown shape has nothing behind it; no dimensions mean that before version 3, a scalar since.
    if shape is None or (not shape and magic != V3):
        return np.empty(0, dtype=np.float32)
    reader.numbers("i", 2)  # the device that it was on
    number = reader.number("i")
    if not 0 <= number < len(TYPES):
        raise ValueError(f"an array has the unknown type {number}")
    kind = np.dtype(TYPES[number])
    if min(shape, default=0) < 0:
        raise ValueError(f"an array has the shape {shape}")
    return np.frombuffer(reader.take(math.prod(shape) * kind.itemsize), dtype=kind).reshape(shape)


def _sane(dimensions: int) -> int:
    if dimensions > 32:
        raise ValueError(f"an array claims {dimensions} dimensions")
    return dimensions
