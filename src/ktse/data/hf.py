"""Hugging Face datasets that were saved to disk (save_to_disk), read with the package `datasets`."""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from ktse.data.cells import is_code
from ktse.data.columns import TAG_COLUMNS
from ktse.data.folder import SPLITS, VALIDATION, some
from ktse.data.found import Found, assemble
from ktse.data.sample import TaggedImages
from ktse.errors import DataError
from ktse.recipe import DataRecipe


@dataclass(frozen=True, eq=False)
class SavedImages(TaggedImages):
    """Images whose files lie inside Arrow tables.

    Attributes:
        parts: dataset by the first folder of a file's name; the second is the row number.
        column: column of the images.
    """

    parts: dict[str, Any] = dataclasses.field(default_factory=dict)
    column: str = ""

    def source(self, index: int) -> Path | BytesIO:
        """The bytes of an image, or its file where the dataset only points to it.

        Raises:
            DataError: the row has none.
        """
        part, row = self.files[index].split("/")
        cell = self.parts[part][int(row)][self.column] or {"bytes": None, "path": None}
        if cell["bytes"] is None and cell["path"] is None:
            raise DataError(f"{self.files[index]} has no image in the column {self.column!r}")
        return BytesIO(cell["bytes"]) if cell["bytes"] is not None else Path(cell["path"])

    def fingerprint(self) -> str:
        """Hash of names, tags, split, and the datasets' own fingerprints."""
        words = [*self.classes, *self.files, *(part._fingerprint for part in self.parts.values())]
        digest = hashlib.sha256("\n".join(words).encode())
        digest.update(np.packbits(self.tags).tobytes() + np.packbits(self.validation).tobytes())
        return digest.hexdigest()


def open_saved(root: Path, recipe: DataRecipe) -> TaggedImages:
    """Open a saved dataset: its image column, and a column of class labels or of texts, one or many a row.

    Raises:
        DataError: the package is missing, or the dataset cannot be used.
    """
    try:
        import datasets
    except ImportError as error:
        raise DataError(
            f"{root} is a Hugging Face dataset, which needs the package datasets", hint="pip install 'ktse[datasets]'"
        ) from error
    try:
        content = datasets.load_from_disk(str(root))
    except Exception as error:  # Arrow, JSON and file errors share no base class
        raise DataError(
            f"{root} cannot be read as a saved dataset", where=f"{type(error).__name__}: {error}"
        ) from error
    parts = dict(content) if isinstance(content, dict) else {"train": content}
    notes = [f"{len(part)} images of the split {name} are left out" for name, part in parts.items() if name == "test"]
    parts = {name: part for name, part in parts.items() if name != "test"}
    strange = sorted(name for name in parts if name not in SPLITS)
    if strange or not parts:
        raise DataError(f"{root} has no split to learn from", where=strange, hint="Known splits: train, validation.")
    features = next(iter(parts.values())).features
    image = recipe.image_column or _only(
        features, [k for k, v in features.items() if isinstance(v, datasets.Image)], "images", root
    )
    column = recipe.tag_column or _only(features, [k for k in features if k.lower() in TAG_COLUMNS], "tags", root)
    for name, part in parts.items():
        missing = [wanted for wanted in (image, column) if wanted not in part.features]
        if missing:
            raise DataError(
                f"{root} has no column {missing[0]!r} in {name}", where=f"columns found: {', '.join(part.features)}"
            )
    files, tags, held, problems = [], [], [], []
    classes: dict[str, None] = {}
    for name, part in parts.items():
        labels = _labels(part.features[column])
        classes |= dict.fromkeys(labels)
        for row, cell in enumerate(part[column]):
            words = cell if isinstance(cell, list) else [cell]
            if is_code(words) or not all(_is_tag(word, labels) for word in words):
                problems.append(f"{name}: row {row}: {column} is {cell!r}, but must be tags")
                continue
            texts = (labels[word] if labels else str(word).strip() for word in words)
            files.append(f"{name}/{row:07d}")
            tags.append(tuple(dict.fromkeys(text for text in texts if text)))
            held.append(name in VALIDATION)
    if problems:
        raise DataError(f"{root} has bad rows", where=some(problems), hint="Mend these rows.")
    validation = np.array(held, dtype=bool)
    found = Found(root, root, files, tags, tuple(classes), validation if validation.any() else None, notes)
    data = assemble(found, recipe)
    try:
        stored = {
            name: part.select_columns([image]).cast_column(image, datasets.Image(decode=False))
            for name, part in parts.items()
        }
    except Exception as error:  # Arrow's errors, as above
        raise DataError(
            f"the column {image!r} of {root} holds no images", where=f"{type(error).__name__}: {error}",
            hint="Name the column that does with --data.image_column.",
        ) from error  # fmt: skip
    fields = {field.name: getattr(data, field.name) for field in dataclasses.fields(data)}
    return SavedImages(**fields, parts=stored, column=image)


def _only(features: Any, fitting: list[str], what: str, root: Path) -> str:
    if len(fitting) == 1:
        return fitting[0]
    key = "image_column" if what == "images" else "tag_column"
    raise DataError(
        f"the column of {what} in {root} cannot be told", where=f"columns found: {', '.join(features)}",
        hint=f"Name it with --data.{key}.",
    )  # fmt: skip


def _is_tag(word: object, labels: list[str]) -> bool:
    if labels:  # -1 stands for a label that is not known
        return isinstance(word, int) and 0 <= word < len(labels)
    return isinstance(word, str | int)


def _labels(feature: Any) -> list[str]:
    """Names of class labels, also inside a sequence; empty for texts."""
    inner = getattr(feature, "feature", feature[0] if isinstance(feature, list) else feature)
    return list(getattr(inner, "names", None) or [])
