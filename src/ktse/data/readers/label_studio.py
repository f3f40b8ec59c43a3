"""Brush strokes and polygons of Label Studio (its own JSON)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ktse.data.dataset import TaggedImages
from ktse.data.readers.found_masks import Reading
from ktse.data.readers.shapes import Area, Collector, Shape, placed, polygon, require_pixels, text_of
from ktse.data.text_files import read_json
from ktse.errors import DataError

LOCAL = "?d="
"""What stands before the path of an image on Label Studio's own machine."""


def read_label_studio(path: Path, data: TaggedImages) -> Reading:
    """Find the masks of images in tasks of Label Studio: what people drew, or if nobody drew anything, predictions.

    Raises:
        DataError: it is no list of tasks with images.
    """
    tasks = read_json(path)
    if not isinstance(tasks, list) or not all(isinstance(task, dict) and _image(task) for task in tasks):
        raise DataError(f"{path} holds no tasks with images", hint="Export the project as JSON, not as JSON-MIN.")
    collector = Collector(data)
    by_people = any(_annotation(task) for task in tasks)
    for task in tasks:
        result = _annotation(task) if by_people else _last(task.get("predictions"))
        if result is None:
            continue
        name, shapes, sizes = _image(task), list[Shape](), set[tuple[int, int]]()
        for region in _objects(result.get("result")):
            with collector.parsing(f"{path}: {name}: a region"):
                if region.get("type") in ("brushlabels", "polygonlabels", "rectanglelabels", "ellipselabels"):
                    sizes.add((int(region["original_width"]), int(region["original_height"])))
                    shapes += list(_shapes(region))
        with collector.parsing(f"{path}: {name}"):
            collector.add(path, name, sizes.pop() if len(sizes) == 1 else None, shapes)
        if sizes:
            collector.wrong(f"{path}: {name}: its regions disagree about its size")
    return collector.reading()


def _image(task: dict[str, Any]) -> str:
    """The name of the image of a task, or nothing."""
    values = task.get("data")
    known = values.get("image") if isinstance(values, dict) else None
    return known.rpartition(LOCAL)[2] if isinstance(known, str) else ""


def _annotation(task: dict[str, Any]) -> dict[str, Any] | None:
    found = task.get("annotations") or task.get("completions") or []
    return _last([one for one in _objects(found) if not one.get("was_cancelled")])


def _last(results: Any) -> dict[str, Any] | None:
    found = _objects(results)
    return found[-1] if found else None


def _objects(values: Any) -> list[dict[str, Any]]:
    return [one for one in values if isinstance(one, dict)] if isinstance(values, list) else []


def _shapes(region: dict[str, Any]) -> Iterator[Shape]:
    size = int(region["original_width"]), int(region["original_height"])
    kind, value = region["type"], region["value"]
    if region.get("image_rotation"):
        raise ValueError("it was drawn on a rotated image")
    area = _brush(value, size) if kind == "brushlabels" else _polygon(kind, value, size)
    for name in value[kind]:
        yield Shape(text_of(name), area)


def _polygon(kind: str, value: dict[str, Any], size: tuple[int, int]) -> Area:
    if kind != "polygonlabels":
        raise ValueError(f"{kind} do not say which pixels belong to an object")
    return polygon(np.array(value["points"], dtype=float) * size / 100)


def _brush(value: dict[str, Any], size: tuple[int, int]) -> Area:
    if value.get("format", "rle") != "rle":
        raise ValueError(f"its format is {value['format']!r}")
    require_pixels(size)
    pixels = _unpacked(bytes(value["rle"]), 4 * size[0] * size[1]).reshape(size[1], size[0], 4)
    return placed(pixels[..., 3] > 0, 0, 0)


def _unpacked(content: bytes, wanted: int) -> np.ndarray:
    """The values of a run-length code of bits (that of the library thi.ng/rle-pack), which Label Studio writes."""
    bits, at = np.unpackbits(np.frombuffer(content, np.uint8)), 0

    def read(count: int) -> int:
        nonlocal at
        word = bits[at : at + count]
        if len(word) < count:
            raise ValueError("its run lengths are cut off")
        at += count
        return int("".join(map(str, word.tolist())), 2)

    total, wide = read(32), read(5) + 1
    if total != wanted:
        raise ValueError("its runs do not fill the image")
    sizes = [read(4) + 1 for _ in range(4)]
    if wide != 8:
        raise ValueError(f"its values have {wide} bits, not 8")
    parts: list[np.ndarray] = []
    done = 0
    while done < total:
        alike = read(1)
        length = read(sizes[read(2)]) + 1
        if alike:
            parts.append(np.full(length, read(8), np.uint8))
        else:
            parts.append(np.packbits(bits[at : at + 8 * length]))
            at += 8 * length
        done += length
    return np.concatenate(parts)[:total]
