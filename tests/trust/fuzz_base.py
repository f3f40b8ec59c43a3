"""What all parsers under attack share."""

from __future__ import annotations

import io
import sys
from abc import ABC, abstractmethod
from pathlib import Path

from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))

import fuzz_changes as change


class Parser(ABC):
    """One way into ktse.

    Args:
        folder: where it works.

    Attributes:
        valid: contents that are read, before they are changed.
        changes: what makes them hostile.
        heavy: whether it loads torch or onnx.
        sure: whether everything in `valid` must be read.
        file: name of the file that it reads.
    """

    valid: list[bytes]
    changes: list[change.Change] = [change.of_bytes]
    heavy, sure = False, True
    file = "input"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / self.file
        self.prepare()

    def prepare(self) -> None:
        """Make what is there before the first input."""

    @abstractmethod
    def parse(self) -> None:
        """Read `path`."""

    def read(self, content: bytes) -> None:
        """Write a content and read it."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_bytes(content)
        self.parse()


def saved(image: Image.Image, kind: str) -> bytes:
    """A picture as the bytes of a file."""
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()
