"""Shapes of labelme: one JSON file for each image."""

from __future__ import annotations

import base64
import math
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from ktse.data.dataset import TaggedImages
from ktse.data.image import opened
from ktse.data.readers.found_masks import Reading
from ktse.data.readers.shapes import Area, Collector, Shape, placed, polygon, text_of
from ktse.data.text_files import read_json


def read_labelme(paths: list[Path], root: Path, data: TaggedImages) -> Reading:
    """Find the masks of images in files of labelme; the name of each is that of its image.

    Args:
        paths: the files.
        root: the folder that stands for the folder of the images.
        data: the images.
    """
    collector = Collector(data)
    for path in paths:
        with collector.parsing(str(path)):
            content = read_json(path)
            shapes = [_shape(one) for one in content["shapes"]]
            size = int(content["imageWidth"]), int(content["imageHeight"])
            collector.add(path, path.relative_to(root).with_suffix("").as_posix(), size, shapes)
    return collector.reading()


def _shape(shape: dict[str, Any]) -> Shape:
    return Shape(text_of(shape["label"]), _area(shape))


def _area(shape: dict[str, Any]) -> Area:
    kind, points = shape.get("shape_type") or "polygon", np.array(shape["points"], dtype=float)
    if kind == "polygon":
        return polygon(points)
    if kind not in ("rectangle", "circle", "mask"):
        raise ValueError(f"a {kind} does not say which pixels belong to an object")
    (x, y), (to_x, to_y) = points
    if kind == "rectangle":
        return polygon(np.array([(x, y), (to_x, y), (to_x, to_y), (x, to_y)]))
    if kind == "circle":
        turn = np.linspace(0, 2 * math.pi, 180, endpoint=False)
        return polygon(points[0] + math.hypot(to_x - x, to_y - y) * np.stack([np.cos(turn), np.sin(turn)], axis=1))
    with opened(BytesIO(base64.b64decode(shape["mask"])), "error") as image:
        return placed(np.asarray(image) > 0, round(min(x, to_x)), round(min(y, to_y)))
