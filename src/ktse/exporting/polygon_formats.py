"""Formats that hold masks as polygons: YOLO and Label Studio."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

import yaml

from ktse._version import __version__
from ktse.exporting.masked import Masked, Style
from ktse.exporting.unfit_names import yolo_label
from ktse.files import write_text

WHERE_PHOTOS_BELONG = "# The photos belong beside this file: copy their folder, with all that is in it, as images/\n"


LABELS_OPEN = '<PolygonLabels name="label" toName="image">'


def yolo(items: Iterator[Masked], style: Style, out: Path) -> Path:
    """labels/ID.txt: one polygon for each connected part; data.yaml.

    Labels of photos that lie in a folder called images lie beside that folder, as readers look for them there.
    """
    for item in items:
        height, width = item.size
        lines = []
        for number, mask in item.masks(len(style.classes)):
            for polygon in style.simplifier.polygons(mask):
                points = (polygon / (width, height)).ravel()
                lines.append(" ".join([str(number - 1), *(f"{value:.10g}" for value in points)]))
        write_text(out / yolo_label(item.file), "".join(f"{line}\n" for line in lines))
    # Without "path", readers count from the place of this file, wherever they are called.
    content = {"train": "images", "val": "images", "names": dict(enumerate(style.classes))}
    write_text(out / "data.yaml", WHERE_PHOTOS_BELONG + yaml.safe_dump(content, allow_unicode=True, sort_keys=False))
    return out / "data.yaml"


def label_studio(items: Iterator[Masked], style: Style, out: Path) -> Path:
    """tasks.json: polygons as predictions with the mask's confidence; config.xml: the labels."""
    level = "" if style.verdict is None or style.verdict.run == "good" else f"; verdict: {style.verdict.run}"
    tasks = []
    for item in items:
        prediction: dict[str, Any] = {"model_version": f"ktse {__version__}{level}", "result": _results(item, style)}
        if item.confidence is not None:
            prediction["score"] = item.confidence
        tasks.append({"data": {"image": style.prefix + quote(item.file)}, "predictions": [prediction]})
    labels = "".join(f"<Label value={quoteattr(name)}/>" for name in style.classes)
    config = f'<View><Image name="image" value="$image"/>{LABELS_OPEN}{labels}</PolygonLabels></View>\n'
    write_text(out / "config.xml", config)
    write_text(out / "tasks.json", json.dumps(tasks, ensure_ascii=False))
    return out / "tasks.json"


def _results(item: Masked, style: Style) -> list[dict[str, Any]]:
    height, width = item.size
    shared: dict[str, Any] = {"type": "polygonlabels", "from_name": "label", "to_name": "image", "image_rotation": 0}
    shared |= {"original_width": width, "original_height": height}
    found = []
    for number, mask in item.masks(len(style.classes)):
        for polygon in style.simplifier.polygons(mask):
            points = (100 * polygon / (width, height)).round(8).tolist()
            found.append({**shared, "value": {"points": points, "polygonlabels": [style.classes[number - 1]]}})
    return found
