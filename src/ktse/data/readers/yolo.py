"""Polygons of YOLO's segmentation format: data.yaml and labels/*.txt."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ktse.data.dataset import TaggedImages
from ktse.data.readers.found_masks import Reading
from ktse.data.readers.shapes import Collector, Shape, polygon
from ktse.errors import DataError
from ktse.recipe.yaml_file import read_yaml
from ktse.runtime.reading import reading


def read_yolo(path: Path, data: TaggedImages) -> Reading:
    """Find the masks of images in text files beside a data.yaml.

    Args:
        path: data.yaml, which names the classes.
        data: the images.

    Raises:
        DataError: it names no classes, or there are no labels.
    """
    names = _names(path)
    files = sorted(file for file in path.parent.rglob("*.txt") if "labels" in file.relative_to(path.parent).parts)
    if not files:
        raise DataError(f"there is no labels/*.txt beside {path}")
    collector = Collector(data)
    for file in files:
        parts = file.relative_to(path.parent).with_suffix("").parts
        last = len(parts) - 1 - parts[::-1].index("labels")
        before, after = parts[:last], parts[last + 1 :]
        name = "/".join((*before[1:], "images", *after) if before else after)
        index = collector.images.find(name)
        size = None if index is None else collector.images.size(index)
        with collector.parsing(str(file)):
            lines = [line.split() for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
            collector.add(file, name, size, [_shape(words, names, size or (1, 1)) for words in lines])
    return collector.reading()


def _names(path: Path) -> dict[int, str]:
    content = read_yaml(path, DataError)
    with reading(path, "names no classes"):
        names = content["names"]
        return {
            int(number): str(name)
            for number, name in (names if isinstance(names, dict) else dict(enumerate(names))).items()
        }


def _shape(words: list[str], names: dict[int, str], size: tuple[int, int]) -> Shape:
    if len(words) == 5:
        raise ValueError("it holds boxes, which do not say which pixels belong to an object")
    if len(words) < 7 or len(words) % 2 == 0:
        raise ValueError(f"a line has {len(words)} words, not a class and the points of a polygon")
    name = names.get(int(words[0]), f"class {words[0]}")
    return Shape(name, polygon(np.array(words[1:], dtype=float).reshape(-1, 2) * size))
