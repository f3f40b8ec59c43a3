"""Arguments that several verbs take."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

Settings = Mapping[str, Any]
Tags = Any
"""A file of tags as str or Path, or a table in memory with columns, such as a pandas DataFrame; or None."""


def with_setting(name: str, folder: str | Path | None, settings: Settings | None) -> Settings:
    """Settings, and a folder that a verb was given as one more of them."""
    return {**(settings or {}), **({} if folder is None else {name: str(folder)})}
