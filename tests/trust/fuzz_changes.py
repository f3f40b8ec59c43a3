"""Changes that make a valid file hostile: bytes, values of JSON, chunks of a picture, parts of an archive."""

from __future__ import annotations

import io
import json
import math
import random
import struct
import zipfile
import zlib
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import numpy as np

PIECES = [
    *(mark.encode() for mark in ",;\t|\"'\n\r{}[]<>/:\\&*!%@=- 0"),
    b"\0", b"\xff", b"\xef\xbb\xbf", b"\xff\xfe", b"null", b"-1", b"1e999", b"NaN", b"Infinity", b"1e9", b"true",
    b"<!DOCTYPE a [<!ENTITY b 'c'>]>", b"&b;", b"</object>", b"../../x", b"\\ud800", b"9" * 400, b"[" * 3000,
    b"<!--", b"<![CDATA[", b"?xml encoding='utf-7'", b"&a [*a]", b"!!python/object:os.system", b"{" * 50,
    b"x" * 150_000,
    "\u2028\u202e\u0130".encode(), b"=1+1", b"\x1b[2J", b"%00", b"\x80\x04\x95", b"cos\nsystem\n(S'true'\ntR.",
]  # fmt: skip
"""What parsers stumble over."""

NUMBERS = [0, 1, 127, 255, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 1 << 40, (1 << 63) - 1, (1 << 64) - 1]

VALUES: list[Any] = [
    None, True, False, 0, -1, 1, 255, 65536, 1 << 31, 1 << 63, 10**30, 1e308, -1e308, 1e9, 0.5, math.nan, math.inf,
    -math.inf, "", "a", "x" * 10_000, "\0", "\ud800", "../../x", "=1+1", "\x1b[2J", "1e9", [], {}, [[]], [None], [1, 2],
    {"a": 1}, [0] * 2000, ["x"] * 50, [[1.5, math.nan] * 4], [[1e9, -1e9] * 4], {"counts": [1 << 40], "size": [60, 72]},
    {"counts": "PPPP", "size": [60, 72]}, {"counts": "o" * 99, "size": [60, 72]}, {"counts": [], "size": []},
    {"counts": [-5, 4325], "size": [60, 72]}, {"size": [60, 72]}, {"counts": "\u20ac", "size": [60, 72]},
]  # fmt: skip

SHAPES = ["(1000000000, 1000)", "(-1, 2)", "(0,)", "()", "(1,) * 99", "(9" + "9" * 30 + ",)"]
"""What an array may claim."""

Change = Callable[[bytes, random.Random], bytes]


def of_bytes(content: bytes, rng: random.Random) -> bytes:
    """Cut, put in, repeat, or overwrite some bytes at some places."""
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        place, length = rng.randrange(len(content) + 1), rng.choice((0, 1, 1, 4, 8, 40))
        match rng.randrange(6):
            case 0:
                content = content[:place]
            case 1:
                content = content[:place] + rng.choice(PIECES) + content[place + length :]
            case 2:
                content = content[:place] + rng.randbytes(length) + content[place + length :]
            case 3:
                content = content[:place] + content[place : place + length] * rng.choice((2, 50)) + content[place:]
            case 4 if content:
                place = min(place, len(content) - 1)
                content = content[:place] + bytes([content[place] ^ 1 << rng.randrange(8)]) + content[place + 1 :]
            case _:
                number = struct.pack(rng.choice("<>") + "Q", rng.choice(NUMBERS))[:: rng.choice((1, -1))]
                content = content[:place] + number[: rng.choice((2, 4, 8))] + content[place + 8 :]
    return content


def of_json(content: bytes, rng: random.Random) -> bytes:
    """Put hostile values in place of some, take keys away, repeat elements."""
    return json.dumps(of_value(json.loads(content), rng)).encode()


def of_value(value: Any, rng: random.Random) -> Any:
    """The same for plain values."""
    value = json.loads(json.dumps(value))
    for _ in range(rng.choice((1, 1, 1, 3))):
        holder, key = None, None
        inside = value
        while isinstance(inside, dict | list) and inside and (holder is None or rng.random() < 0.8):
            holder, key = inside, rng.choice(list(inside) if isinstance(inside, dict) else range(len(inside)))
            inside = inside[key]
        if holder is None:
            return deepcopy(rng.choice(VALUES))
        match rng.randrange(5):
            case 0:
                del holder[key]
            case 1 if isinstance(holder, list):
                holder.append(deepcopy(holder[key]))
            case 2 if isinstance(holder, dict):
                holder[rng.choice(["", "a", "x" * 3000, "\0", "id", "classes"])] = deepcopy(holder[key])
            case _:
                holder[key] = deepcopy(rng.choice(VALUES))
    return value


def of_png(content: bytes, rng: random.Random) -> bytes:
    """Change the head of a PNG, or a chunk, and make its check sum right again."""
    chunks, place = [], 8
    while place + 8 <= len(content):
        (length,) = struct.unpack(">I", content[place : place + 4])
        chunks.append((content[place + 4 : place + 8], content[place + 8 : place + 8 + length]))
        place += 12 + length
    number = rng.randrange(len(chunks)) if rng.random() < 0.5 else 0
    name, body = chunks[number]
    if name == b"IHDR" and rng.random() < 0.8:
        sides = [rng.choice((0, 1, 3, 72, 20_000, 65_535, 100_000, 1 << 31)) for _ in range(2)]
        depth, colour = rng.choice((1, 2, 4, 8, 16, 3)), rng.choice((0, 2, 3, 4, 6, 7))
        body = struct.pack(">IIBB", *sides, depth, colour) + body[10:12] + bytes([rng.choice((0, 1, 7))])
    elif name == b"IDAT" and rng.random() < 0.5:
        body = zlib.compress(b"\0" * rng.choice((0, 10, 100_000, 5_000_000)))
    else:
        body = of_bytes(body, rng)
    chunks[number] = (name, body)
    if rng.random() < 0.3:
        chunks.insert(1, (rng.choice((b"tEXt", b"zTXt", b"iCCP", b"tRNS", b"acTL")), of_bytes(b"a\0\0" + body, rng)))
    made = [
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in chunks
    ]
    return content[:8] + b"".join(made)


def of_zip(content: bytes, rng: random.Random) -> bytes:
    """Change the parts of an archive, whose check sums are right, or what they claim to hold."""
    if not content.startswith(b"PK"):
        return of_bytes(content, rng)
    written, kind = io.BytesIO(), rng.choice((zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED))
    with zipfile.ZipFile(io.BytesIO(content)) as archive, zipfile.ZipFile(written, "w", kind) as changed:
        for name in archive.namelist():
            body = archive.read(name)
            match rng.randrange(5):
                case 0:
                    body = of_bytes(body, rng)
                case 1 if body[:1] == b"\x93":
                    shape = rng.choice(
                        ["(1000000000, 1000)", "(-1, 2)", "(0,)", "()", "(1,) * 99", "(9" + "9" * 30 + ",)"]
                    )
                    dtype = rng.choice(["<f4", "|O", "<U999999999", "|V0", "<M8[s]", "[('a', '<f4')]", "x"])
                    head = f"{{'descr': {dtype!r}, 'fortran_order': False, 'shape': {shape}, }}".encode()
                    body = body[:8] + struct.pack("<H", len(head)) + head + body[-64:]
                case 2 if rng.random() < 0.2:
                    body = body[:128] + b"\0" * 30_000_000
            if rng.random() < 0.9:
                changed.writestr(rng.choice([name, name, name, "../x.npy", "a.npy"]), body)
    return written.getvalue() if rng.random() < 0.8 else of_bytes(written.getvalue(), rng)


def of_arrays(content: bytes, rng: random.Random) -> bytes:
    """Put arrays of other kinds and shapes into an archive."""
    with np.load(io.BytesIO(content)) as file:
        arrays = dict(file)
    for name in list(arrays):
        if rng.random() < 0.5:
            shape = rng.choice([(), (0,), (1,), (3,), (2, 3), (2, 3, 4), (1, 1, 1, 1), (0, 4, 4), (2, 60, 72)])
            kind = rng.choice(["f4", "f2", "u1", "i4", "i8", "U5", "?", "c8", "M8[s]", "S3", "u2"])
            arrays[name] = np.full(shape, rng.choice([0, 1, 200, -1, 1000]), np.int64).astype(kind)
            if arrays[name].dtype.kind == "f" and rng.random() < 0.5:
                arrays[name] = arrays[name] * np.nan
    written = io.BytesIO()
    np.savez_compressed(written, **arrays)
    return written.getvalue()


def of_safetensors(content: bytes, rng: random.Random) -> bytes:
    """Change the header of a safetensors file: its metadata, shapes, types and places."""
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    about = {key: json.loads(value) for key, value in header.get("__metadata__", {}).items()}
    if rng.random() < 0.7:
        about = of_value(about, rng)
        about = about if isinstance(about, dict) else {}
        header["__metadata__"] = {
            key: rng.choice(["{", "[" * 9000, "", "NaN"]) if rng.random() < 0.05 else json.dumps(value)
            for key, value in about.items()
        }
    else:
        header = of_value(header, rng)
    text = json.dumps(header).encode()
    start = struct.pack("<Q", len(text) if rng.random() < 0.95 else rng.choice(NUMBERS))
    return start + text + content[8 + length :]
