"""XML that refuses what a data set never needs and an attack does: document types and entities."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat


def read_xml(path: Path) -> Element:
    """Read an XML file.

    Raises:
        ValueError: it is not well formed, or declares a document type; the text holds the line.
        OSError: it cannot be read.
    """
    builder = TreeBuilder()
    parser = expat.ParserCreate()

    def refuse(*_: Any) -> None:
        raise ValueError(f"line {parser.CurrentLineNumber}: a document type is refused")

    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    try:
        parser.Parse(path.read_bytes(), True)
    except expat.ExpatError as error:
        raise ValueError(str(error)) from error
    except LookupError as error:  # an encoding that does not exist
        raise ValueError(f"line 1: {error}") from error
    return builder.close()
