"""Hugging Face datasets that were saved to disk (save_to_disk), read with the package `datasets`."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from ktse.data.dataset import TaggedImages
from ktse.data.readers.cells import cells_problem, is_code, is_empty, key_of, plain, tags_of
from ktse.data.readers.class_folders import SPLITS, VALIDATION
from ktse.data.readers.columns import TAG_COLUMNS, all_bits, columns_found, wanted_columns
from ktse.data.readers.found import Found, assemble
from ktse.data.text import listed, short
from ktse.errors import DataError
from ktse.recipe import DataRecipe
from ktse.runtime.words import many


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
        own = [part._fingerprint for part in self.parts.values()]
        return self.hashed("\n".join([*self.classes, *self.files, *own]))


def open_saved(root: Path, recipe: DataRecipe) -> TaggedImages:
    """Open a saved dataset: its images, and class labels or texts, one or many a row, or columns of 0 and 1.

    Texts are split like the cells of a table.

    Raises:
        DataError: the package is missing, or the dataset cannot be used.
    """
    parts, notes = _parts(root)
    import datasets  # _parts has made sure that it is there

    features = next(iter(parts.values())).features
    image = recipe.image_column
    if not image:
        fitting = [name for name, feature in features.items() if isinstance(feature, datasets.Image)]
        if len(fitting) != 1:
            where, hint = columns_found(list(features)), "Name it with --data.image_column."
            raise DataError(f"the column of images in {root} is not clear", where=where, hint=hint)
        image = fitting[0]
    columns, bits = _tag_columns(parts, image, recipe.tag_column, root)
    for name, part in parts.items():
        if missing := [wanted for wanted in (image, *columns) if wanted not in part.features]:
            where = columns_found(list(part.features))
            hint = "Name columns that are there with --data.image_column and --data.tag_column."
            raise DataError(f"{root} has no column {short(missing[0])} in {name}", where=where, hint=hint)
    rows, problems = _rows(parts, columns, bits)
    if problems:
        raise DataError(f"{root} has bad rows", where=listed(problems), hint="Fix these rows.")
    keys = [key_of(cells, bits) for _, cells in rows]
    meaning, more = tags_of(dict.fromkeys(keys), columns, bits, recipe.separator, root)
    labels = [label for part in parts.values() for label in _labels(part.features[columns[0]])]
    files = [file for file, _ in rows]
    validation = np.array([file.split("/")[0] in VALIDATION for file in files], dtype=bool)
    held = validation if validation.any() else None
    found = Found(root, root, files, [meaning[key] for key in keys], tuple(columns if bits else labels), held)
    found.notes = [*notes, *more]
    data = assemble(found, recipe)
    try:
        stored = {
            name: part.select_columns([image]).cast_column(image, datasets.Image(decode=False))
            for name, part in parts.items()
        }
    except Exception as error:  # Arrow's errors, as below
        where, hint = f"{type(error).__name__}: {error}", "Name the column that does with --data.image_column."
        raise DataError(f"the column {image!r} of {root} holds no images", where=where, hint=hint) from error
    fields = {field.name: getattr(data, field.name) for field in dataclasses.fields(data)}
    return SavedImages(**fields, parts=stored, column=image)


def _parts(root: Path) -> tuple[dict[str, Any], list[str]]:
    """The splits of a saved dataset that are to learn from, by name, and notes about the others."""
    try:
        import datasets
    except ImportError as error:
        text = f"{root} is a Hugging Face dataset, which needs the package datasets"
        raise DataError(text, hint="pip install 'ktse[datasets]'") from error
    try:
        content = datasets.load_from_disk(str(root))
    except Exception as error:  # Arrow, JSON and file errors share no base class
        where = f"{type(error).__name__}: {error}"
        raise DataError(f"{root} cannot be read as a saved dataset", where=where) from error
    parts = dict(content) if isinstance(content, dict) else {"train": content}
    test = parts.pop("test", None)
    notes = [] if test is None else [f"left out: {many(len(test), 'image')} of the split test"]
    strange = sorted(name for name in parts if name not in SPLITS)
    if strange or not parts:
        raise DataError(f"{root} has no split to learn from", where=strange, hint="Known splits: train, validation.")
    return parts, notes


def _tag_columns(parts: dict[str, Any], image: str, given: str, root: Path) -> tuple[list[str], bool]:
    """The columns that hold tags, and whether they hold 0 and 1, as in a table."""
    part = next(iter(parts.values()))
    names = list(part.features)
    rest = [name for name in names if name != image]
    first = part.select_columns(rest)[:20] if rest else {}

    def hold_bits(chosen: list[str]) -> bool:
        rows = [list(map(plain, row)) for row in zip(*(first[name] for name in chosen), strict=True)]
        return all_bits(rows, list(range(len(chosen))))

    wanted = wanted_columns(given, names)
    if wanted:
        known = all(name in rest for name in wanted)
        return wanted, len(wanted) > 1 or (known and wanted[0].lower() not in TAG_COLUMNS and hold_bits(wanted))
    named = [name for name in rest if name.lower() in TAG_COLUMNS]
    if len(named) == 1:
        return named, False
    if not named and rest and hold_bits(rest):
        return rest, True
    hint = "Name it with --data.tag_column, or several, joined by commas, that hold 0 and 1."
    raise DataError(f"the column of tags in {root} is not clear", where=columns_found(names), hint=hint)


def _rows(parts: dict[str, Any], columns: list[str], bits: bool) -> tuple[list[tuple[str, list[Any]]], list[str]]:
    """Name and cells of each row, class labels as words, and what is wrong with rows."""
    rows, problems = [], []
    for name, part in parts.items():
        labels = [] if bits else _labels(part.features[columns[0]])
        for number, given in enumerate(zip(*(part[column] for column in columns), strict=True)):
            cells = list(map(plain, given))
            problem = _label_problem(columns[0], given[0], labels) if labels else cells_problem(columns, cells, bits)
            if problem:
                problems.append(f"{name}: row {number}: {problem}")
                continue
            if labels:
                numbers = cells[0] if isinstance(cells[0], list) else cells
                cells = [[labels[number] for number in numbers if not is_empty(number)]]
            rows.append((f"{name}/{number:07d}", cells))
    return rows, problems


def _label_problem(column: str, cell: Any, labels: list[str]) -> str:
    numbers = [number for number in (cell if isinstance(cell, list) else [cell]) if number is not None]
    # -1 stands for a label that is not known.
    fine = all(isinstance(number, int) and 0 <= number < len(labels) for number in numbers) and not is_code(numbers)
    return "" if fine else f"{column} is {short(cell)}, but must be tags"


def _labels(feature: Any) -> list[str]:
    """Names of class labels, also inside a sequence; empty for texts."""
    inner = getattr(feature, "feature", feature[0] if isinstance(feature, list) else feature)
    return list(getattr(inner, "names", None) or [])
