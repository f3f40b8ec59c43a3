"""Masks and polygons of CVAT for images 1.1 (annotations.xml)."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np

from ktse.data.dataset import TaggedImages
from ktse.data.readers.found_masks import Reading
from ktse.data.readers.shapes import Area, Collector, Shape, placed, polygon, require_pixels
from ktse.data.text_files import read_xml
from ktse.errors import DataError
from ktse.runtime.words import many


def read_cvat(path: Path, data: TaggedImages) -> Reading:
    """Find the masks of images in a CVAT file.

    Raises:
        DataError: it cannot be read, or is not XML of CVAT for images.
    """
    root = read_xml(path)
    if root.tag != "annotations" or root.find("image") is None:
        hint = "Export the task as 'CVAT for images 1.1'."
        raise DataError(f"{path} holds no images of CVAT", hint=hint)
    collector = Collector(data)
    others: Counter[str] = Counter()
    for image in root.iter("image"):
        shapes = []
        for element in image:
            if element.tag not in ("mask", "polygon"):
                others[element.tag] += element.tag != "tag"
                continue
            with collector.parsing(f"{path}: {image.get('name')}: a {element.tag}"):
                shapes.append(_shape(element))
        with collector.parsing(f"{path}: image {image.get('id')}, its name or size,"):
            size = int(image.attrib["width"]), int(image.attrib["height"])
            collector.add(path, image.attrib["name"], size, shapes)
    for tag, count in (+others).items():
        collector.wrong(f"{path}: {many(count, tag)}: only masks and polygons say which pixels belong to an object")
    return collector.reading()


def _shape(element: Element) -> Shape:
    area = _mask(element) if element.tag == "mask" else _polygon(element)
    return Shape(element.attrib["label"], area, int(element.get("z_order") or 0))


def _polygon(element: Element) -> Area:
    pairs = [pair.split(",") for pair in element.attrib["points"].split(";")]
    return polygon(np.array(pairs, dtype=float))


def _mask(element: Element) -> Area:
    left, top, width, height = (int(element.attrib[name]) for name in ("left", "top", "width", "height"))
    require_pixels((width, height))
    lengths = np.array([int(word) for word in element.attrib["rle"].split(",")])
    if (lengths < 0).any() or lengths.sum() != width * height:
        raise ValueError("its runs do not fill its box")
    values = np.repeat(np.arange(len(lengths)) % 2 == 1, lengths)
    return placed(values.reshape(height, width), left, top)
