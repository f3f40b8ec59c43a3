"""Files and folders that other tools write and that are no table of tags: what each is, and how to turn it into one."""

from __future__ import annotations

import re
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from ktse.data.file_kinds import ending, kind_by_start
from ktse.errors import DataError


class Format(NamedTuple):
    """What a file seems to be.

    Attributes:
        name: the format, with its article.
        advice: how to turn it into something that is read.
    """

    name: str
    advice: str


WRITE = (
    "Write a table with the columns image and label, one row per tag or per object: the rows of an image are joined."
)
COCO_OR = "Export it as COCO. Or: "

LABEL_STUDIO = Format(
    "Label Studio's JSON",
    "Export from Label Studio as COCO, CSV or JSON-MIN (--data.tag_column names the column of the labels).",
)
CVAT = Format(
    "CVAT's XML", "Export from CVAT as COCO 1.0 (shapes) or as ImageNet 1.0 (tags as folders): both are read."
)
VOC = Format("an annotation of PASCAL VOC", "Give the folder that holds JPEGImages and Annotations, without --tags.")
LABELME = Format("labelme's JSON", f"Turn it into COCO or VOC with labelme2coco.py or labelme2voc.py. Or: {WRITE}")
YOLO = Format("YOLO's labels", f"Convert the data set to COCO. Or: {WRITE}")
VIA = Format("VIA's JSON (VGG Image Annotator)", COCO_OR + WRITE)
SHEET = Format("a spreadsheet", "Save the sheet as CSV UTF-8.")
PARQUET = Format("a Parquet table", "Write it as CSV: pandas.read_parquet('FILE').to_csv('tags.csv', index=False).")

_BY_ENDING = {
    **dict.fromkeys((".xlsx", ".xls", ".ods", ".numbers"), SHEET),
    **dict.fromkeys((".parquet", ".arrow", ".feather"), PARQUET),
}
_BY_KEYS = (
    ({"images", "categories"}, Format("COCO's JSON without annotations", "Export it with the annotations.")),
    ({"images", "annotations"}, Format("COCO's JSON without categories", "Export it with the categories.")),
    ({"items", "categories"}, Format("Datumaro's JSON", "Export it as COCO.")),
    ({"objects", "size"}, Format("Supervisely's JSON", "Export it as COCO.")),
    ({"data_row"}, Format("Labelbox's JSON", WRITE)),
    ({"image", "annotations"}, Format("CreateML's JSON", COCO_OR + WRITE)),
)
_YOLO_LINE = re.compile(r"\d+( -?[\d.]+(e-?\d+)?){4,}\s*$", re.IGNORECASE)


def refuse(path: Path, seems: Format | None) -> None:
    """Raise a DataError if a file of tags seems to be something else; the error holds what to do."""
    if seems is not None:
        raise DataError(f"the tag file {path} is no table: it seems to be {seems.name}", hint=seems.advice)


def file_format(path: Path) -> Format | None:
    """What a file of tags is, by its ending and its first bytes, if it is no table."""
    with path.open("rb") as file:
        start = file.read(4096)
    end = path.suffix.lower()
    if end in _BY_ENDING:
        return _BY_ENDING[end]
    text = start.decode("utf-8", "replace").removeprefix("\ufeff").lstrip()
    if end in (".yaml", ".yml"):
        yolo = re.search(r"^(names|nc|train)\s*:", text, re.MULTILINE)
        return Format("YOLO's data.yaml", YOLO.advice) if yolo else Format("a YAML file", WRITE)
    if text.startswith("<"):
        other = Format("an XML file" if "<?xml" in text else "a web page", WRITE)
        return CVAT if "<annotations" in text else VOC if "<annotation" in text else other
    lines = text.splitlines()
    if end == ".txt" and lines and all(map(_YOLO_LINE.match, lines[:3])):
        return YOLO
    kind = kind_by_start(start) if start else ""
    if kind == "a Parquet table":
        return PARQUET
    return Format(kind, SHEET.advice if "Excel" in kind else WRITE) if kind else None


def json_format(content: Any) -> Format | None:
    """What the content of a JSON file is, if it is that of a known tool and no table."""
    first = next(iter(content), None) if isinstance(content, list) else content
    if not isinstance(first, dict):
        return None
    keys = first.keys()
    if "data" in keys and keys & {"annotations", "completions", "predictions"}:
        return LABEL_STUDIO
    if "shapes" in keys and keys & {"imagePath", "imageHeight", "version"}:
        return LABELME
    regions = any(isinstance(one, dict) and "regions" in one for one in islice(first.values(), 3))
    if regions or "_via_img_metadata" in keys:
        return VIA
    return next((form for needed, form in _BY_KEYS if keys >= needed), None)


def folder_format(folder: Path) -> Format | None:
    """What the files in a folder that was given in place of a file of tags are."""
    if (folder / "data.yaml").is_file() or (folder / "classes.txt").is_file():
        return YOLO
    try:
        files = [path for path in islice(folder.iterdir(), 50) if path.is_file()]
        found = {ending(path.name): path for path in files}
        if ".txt" in found and file_format(found[".txt"]) == YOLO:
            return YOLO
        if ".xml" in found:
            return file_format(found[".xml"])
        if ".json" in found and b'"shapes"' in found[".json"].read_bytes()[: 1 << 20]:
            return LABELME
    except OSError:
        return None
    return PARQUET if ".parquet" in found else None
