"""YAML files, whose aliases cannot make much out of little."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from ktse.errors import KtseError, RecipeError
from ktse.runtime.reading import reading

MOST_BYTES, MOST_VALUES = 100_000, 20_000
"""What a file may have, and what it may hold once its aliases are written out; a recipe has 130 settings."""

BEGIN = "# Every setting of this run, as ktse wrote it. The last line shows that the file is whole."
END = "# whole"


def read_yaml(path: Path, kind: type[KtseError] = RecipeError, hint: str = "") -> Any:
    """The content of a YAML file: plain values, whose mappings have texts as keys.

    Args:
        path: the file.
        kind: of the error.
        hint: what to do about a file that is damaged.

    Raises:
        KtseError: it cannot be read, is not valid or cut short, or is too large with its aliases written out.
    """
    missing = "Give the path of a YAML file."
    with reading(path, "is not valid YAML", kind=kind, hint=hint, missing=missing, most=MOST_BYTES):
        text = path.read_text(encoding="utf-8")
        # What is left of the settings of a run would mean other settings.
        if text.startswith(BEGIN[: len(text)]) and not text.rstrip().endswith(END):
            back = "If it is that of a run: ktse verify RUN --repair puts it back."
            raise kind(f"{path} is empty or cut short", hint=hint or back)
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        if _size(node, {}) > MOST_VALUES:
            raise ValueError(f"it holds more than {MOST_VALUES:,} values")
        return loader.construct_document(node)


def _size(node: yaml.Node, known: dict[int, int]) -> int:
    """How many values a node holds; aliases lead to the same node again."""
    if id(node) not in known:
        known[id(node)] = MOST_VALUES + 1  # until it is known: a node that holds itself has no end
        inside = node.value if isinstance(node, yaml.CollectionNode) else []
        parts = [part for one in inside for part in (one if isinstance(one, tuple) else (one,))]
        known[id(node)] = 1 + sum(_size(part, known) for part in parts)
    return known[id(node)]
