"""Hugging Face datasets that were saved to disk (save_to_disk), read with the package `datasets`."""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from ktse.data.dataset import TaggedImages
from ktse.data.readers.cells import (
    bit,
    hashable,
    is_code,
    is_empty,
    plain,
    separator_of,
    split_notes,
    tag_problem,
    words,
)
from ktse.data.readers.class_folders import SPLITS, VALIDATION
from ktse.data.readers.columns import TAG_COLUMNS, all_bits, columns_found, wanted_columns
from ktse.data.readers.folder import some
from ktse.data.readers.found import Found, assemble
from ktse.data.text import clean, short
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
    """Open a saved dataset: its images, and class labels or texts, one or many a row, or columns of 0 and 1.

    Texts are split like the cells of a table.

    Raises:
        DataError: the package is missing, or the dataset cannot be used.
    """
    parts, notes = _parts(root)
    import datasets  # _parts has made sure that it is there

    features = next(iter(parts.values())).features
    image = recipe.image_column or _only(
        features, [k for k, v in features.items() if isinstance(v, datasets.Image)], root
    )
    columns, bits = _tag_columns(parts, image, recipe.tag_column, root)
    for name, part in parts.items():
        missing = [wanted for wanted in (image, *columns) if wanted not in part.features]
        if missing:
            raise DataError(
                f"{root} has no column {short(missing[0])} in {name}", where=columns_found(list(part.features)),
                hint="Name columns that are there with --data.image_column and --data.tag_column.",
            )  # fmt: skip
    rows, problems = _rows(parts, columns, bits)
    if problems:
        raise DataError(f"{root} has bad rows", where=some(problems), hint="Fix these rows.")
    tags, more = _tags([cells for _, cells in rows], columns, bits, recipe.separator, root)
    names = (
        columns
        if bits
        else dict.fromkeys(label for part in parts.values() for label in _labels(part.features[columns[0]]))
    )
    files = [file for file, _ in rows]
    validation = np.array([file.split("/")[0] in VALIDATION for file in files], dtype=bool)
    held = validation if validation.any() else None
    data = assemble(
        Found(root, root, files, tags, tuple(dict.fromkeys(map(clean, names))), held, [*notes, *more]), recipe
    )
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


def _parts(root: Path) -> tuple[dict[str, Any], list[str]]:
    """The splits of a saved dataset that are to learn from, by name, and notes about the others."""
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
    return parts, notes


def _only(features: Any, fitting: list[str], root: Path) -> str:
    if len(fitting) == 1:
        return fitting[0]
    raise DataError(
        f"the column of images in {root} cannot be told", where=columns_found(list(features)),
        hint="Name it with --data.image_column.",
    )  # fmt: skip


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
    raise DataError(
        f"the column of tags in {root} cannot be told", where=columns_found(names),
        hint="Name it with --data.tag_column, or several, joined by commas, that hold 0 and 1.",
    )  # fmt: skip


def _rows(parts: dict[str, Any], columns: list[str], bits: bool) -> tuple[list[tuple[str, list[Any]]], list[str]]:
    """Name and cells of each row, class labels as words, and what is wrong with rows."""
    rows, problems = [], []
    for name, part in parts.items():
        labels = [] if bits else _labels(part.features[columns[0]])
        for number, cells in enumerate(zip(*(part[column] for column in columns), strict=True)):
            problem = _bit_problem(columns, cells) if bits else _tag_problem(columns[0], cells[0], labels)
            if problem:
                problems.append(f"{name}: row {number}: {problem}")
            elif bits or not labels:
                rows.append((f"{name}/{number:07d}", list(map(plain, cells))))
            else:
                words = [plain(cell) for cell in (cells[0] if isinstance(cells[0], list) else cells)]
                rows.append((f"{name}/{number:07d}", [[labels[word] for word in words if not is_empty(word)]]))
    return rows, problems


def _tags(
    rows: list[list[Any]], columns: list[str], bits: bool, separator: str, root: Path
) -> tuple[list[tuple[str, ...]], list[str]]:
    """Tags of each row, and what to say about how they were found."""
    if bits:
        return [tuple(name for name, cell in zip(columns, row, strict=True) if bit(cell)) for row in rows], []
    cells = [hashable(row[0]) for row in rows]
    used = separator or separator_of(cells)
    notes = [] if separator else split_notes(cells, used, root)
    return [words(cell, used, found_out=not separator) for cell in cells], notes


def _bit_problem(columns: list[str], cells: tuple[Any, ...]) -> str:
    wrong = [f"{name} is {short(cell)}" for name, cell in zip(columns, cells, strict=True) if bit(plain(cell)) is None]
    return f"{', '.join(wrong[:3])}, but must be 0 or 1" if wrong else ""


def _tag_problem(column: str, cell: Any, labels: list[str]) -> str:
    if not labels:
        return tag_problem(column, plain(cell))
    numbers = [number for number in (cell if isinstance(cell, list) else [cell]) if number is not None]
    # -1 stands for a label that is not known.
    fine = all(isinstance(number, int) and 0 <= number < len(labels) for number in numbers) and not is_code(numbers)
    return "" if fine else f"{column} is {short(cell)}, but must be tags"


def _labels(feature: Any) -> list[str]:
    """Names of class labels, also inside a sequence; empty for texts."""
    inner = getattr(feature, "feature", feature[0] if isinstance(feature, list) else feature)
    return list(getattr(inner, "names", None) or [])
