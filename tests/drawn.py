"""A handful of images with tags, and masks of them in every form that people bring."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from fakes import draw
from ktse.data.dataset import TaggedImages
from ktse.data.open import open_data
from ktse.data.readers.table import read_table
from ktse.errors import DataError
from ktse.recipe import DataRecipe

CLASSES = ("cat", "dog", "person")
"""In class order: cat is 1, dog 2, person 3."""

SEVERAL = (("dog",), ("cat",), ("dog", "person"), (), ("cat", "dog"))
ALONE = (("dog",), (), ("cat",), (), ("person",), (), (), ())
"""Defects: most images have no tag."""


PLAIN = DataRecipe(image_column="image", tag_column="tags", separator=";")
"""The form that needs no guessing."""


def read_tags(path: Path, columns: DataRecipe = PLAIN) -> dict[str, tuple[str, ...]]:
    """Tags by image name; bad rows are an error."""
    table = read_table(path, columns)
    if table.problems:
        raise DataError(f"{path} has bad {table.word}s", where=table.problems)
    return {name: tags for name, (_, tags) in table.rows.items()}


def open_folder(images: Path, tags: Path, validation: float = 0.0) -> TaggedImages:
    """Open a folder of images with a plain CSV of tags."""
    given = {"images": str(images), "tags": str(tags), "validation": validation}
    return open_data(dataclasses.replace(PLAIN, **given))


def tagged(root: Path, tags: tuple[tuple[str, ...], ...], names: tuple[str, ...] = ()) -> TaggedImages:
    """Photos `0.jpg`, `1.jpg` ... and `tags.csv` in a folder; `classes.txt` fixes the order of the classes."""
    (root / "photos").mkdir(parents=True)
    names = names or tuple(f"{number}.jpg" for number in range(len(tags)))
    for number, name in enumerate(names):
        (root / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        draw(tags[number], number)[0].save(root / "photos" / name)
    rows = [f"{name},{';'.join(row)}" for name, row in zip(names, tags, strict=True)]
    (root / "tags.csv").write_text("\n".join(["image,tags", *rows]) + "\n", encoding="utf-8")
    (root / "classes.txt").write_text("".join(f"{name}\n" for name in CLASSES))
    return open_folder(root / "photos", root / "tags.csv")


def label_map(tags: tuple[str, ...], seed: int) -> np.ndarray:
    """The mask of a photo: (60, 72) uint8, values as in CLASSES."""
    label = np.zeros((60, 72), np.uint8)
    for tag, (left, top, right, bottom) in draw(tags, seed)[1].items():
        label[top:bottom, left:right] = CLASSES.index(tag) + 1
    return label


def save(path: Path, values: np.ndarray, **options: Any) -> Path:
    """Write values as they are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path, **options)
    return path


def masks(folder: Path, tags: tuple[tuple[str, ...], ...], change: Any = lambda label: label) -> Path:
    """A folder of label maps, each changed in a way."""
    for number, row in enumerate(tags):
        save(folder / f"{number}.png", change(label_map(row, number)))
    return folder


def white(label: np.ndarray) -> np.ndarray:
    """Black and white: objects are 255."""
    return np.where(label > 0, np.uint8(255), np.uint8(0))


def coco(tags: tuple[tuple[str, ...], ...], **changes: Any) -> dict[str, Any]:
    """The content of a COCO file; changes are keys of every image or annotation."""
    images = [
        {"id": number + 1, "file_name": f"{number}.jpg", "width": 72, "height": 60} for number in range(len(tags))
    ]
    annotations = []
    for number, row in enumerate(tags):
        for tag, (left, top, right, bottom) in draw(row, number)[1].items():
            ring = [left, top, right, top, right, bottom, left, bottom]
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number + 1,
                    "category_id": CLASSES.index(tag) + 1,
                    "iscrowd": 0,
                    "bbox": [left, top, right - left, bottom - top],
                    "segmentation": [ring],
                }
            )
    for entry in images:
        entry |= {key: value for key, value in changes.items() if key in entry}
    for entry in annotations:
        entry |= {key: value for key, value in changes.items() if key in entry}
    categories = [{"id": number, "name": name} for number, name in enumerate(CLASSES, start=1)]
    return {"images": images, "annotations": annotations, "categories": categories}


def write_json(path: Path, content: Any) -> Path:
    """Write a JSON file."""
    path.write_text(json.dumps(content), encoding="utf-8")
    return path
