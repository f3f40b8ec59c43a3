"""Formats that hold masks as pixels or run lengths: COCO, VOC, CVAT; as polygons if these are to be simplified."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import numpy as np

from ktse._version import __version__
from ktse.exporting.masked import Masked, Style, box, compressed, run_lengths
from ktse.exporting.unfit_names import VOID
from ktse.files import atomic, write_json, write_text
from ktse.visual import PALETTE


def coco(items: Iterator[Masked], style: Style, out: Path) -> Path:
    """annotations/instances_default.json, where COCO has its own: one annotation for each class of an image."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, item in enumerate(items, start=1):
        height, width = item.size
        images.append({"id": number, "file_name": item.file, "height": height, "width": width})
        for category, mask in item.masks(len(style.classes)):
            annotation = {"id": len(annotations) + 1, "image_id": number, "category_id": category, "iscrowd": 0}
            annotation |= _coco_shape(mask, style)
            annotations.append(annotation if item.confidence is None else {**annotation, "score": item.confidence})
    info: dict[str, Any] = {"description": f"masks by ktse {__version__}", "version": __version__, "contributor": ""}
    if style.verdict is not None:
        info["description"] += f"; verdict: {style.verdict.sentence}"
        info["verdict"] = style.verdict.to_json()
    named = enumerate(style.classes, start=1)
    categories = [{"id": number, "name": name, "supercategory": ""} for number, name in named]
    content = {"info": info, "licenses": [], "images": images, "categories": categories, "annotations": annotations}
    path = out / "annotations" / "instances_default.json"
    write_json(path, content)
    return path


def _coco_shape(mask: np.ndarray, style: Style) -> dict[str, Any]:
    """Exact run lengths, or simplified polygons with the box and area of the exact mask.

    Lists of run lengths are for crowds: readers expect them of objects as text.
    """
    shape: Any = {"size": list(mask.shape), "counts": compressed(run_lengths(mask.ravel(order="F")))}
    if style.simplifier.tolerance:
        shape = [polygon.ravel().tolist() for polygon in style.simplifier.polygons(mask)]
    return {"segmentation": shape, "area": int(mask.sum()), "bbox": list(box(mask))}


def voc(items: Iterator[Masked], style: Style, out: Path) -> Path:
    """SegmentationClass/ID.png with 255 for undecided pixels, ImageSets/Segmentation/*.txt, labelmap.txt."""
    names: dict[str, list[str]] = {"train": [], "val": []}
    for item in items:
        with atomic(out / "SegmentationClass" / f"{item.name}.png") as part:
            shutil.copyfile(item.path, part)
        names["val" if item.kept_out else "train"].append(item.name)
    numbered = [*enumerate(("background", *style.classes)), (255, VOID)]
    lines = [f"{name}:{','.join(map(str, PALETTE[number]))}::" for number, name in numbered]
    write_text(out / "labelmap.txt", "# label:color_rgb:parts:actions\n" + "\n".join(lines) + "\n")
    lists = out / "ImageSets" / "Segmentation"
    for split, listed in names.items():
        if listed:
            write_text(lists / f"{split}.txt", "\n".join(listed) + "\n")
        else:
            (lists / f"{split}.txt").unlink(missing_ok=True)
    return lists / ("train.txt" if names["train"] else "val.txt")


def cvat(items: Iterator[Masked], style: Style, out: Path) -> Path:
    """annotations.xml: CVAT for images 1.1, one mask for each class, with its confidence and verdict as attributes."""
    body: list[str] = []
    for count, item in enumerate(items):
        height, width = item.size
        body.append(f'<image id="{count}" name={quoteattr(item.file)} width="{width}" height="{height}">')
        for number, mask in item.masks(len(style.classes)):
            attributes = _cvat_attributes(item, style.level(number))
            label = f'label={quoteattr(style.classes[number - 1])} source="auto" occluded="0" z_order="0"'
            body += [f"<{kind} {label} {shape}>{attributes}</{kind}>" for kind, shape in _cvat_shapes(mask, style)]
        body.append("</image>")
    head = ['<?xml version="1.0" encoding="utf-8"?>', "<annotations>", "<version>1.1</version>", _cvat_meta(style)]
    write_text(out / "annotations.xml", "\n".join([*head, *body, "</annotations>", ""]))
    return out / "annotations.xml"


def _cvat_meta(style: Style) -> str:
    """The labels, under a task: readers look for a task or a project."""
    kind = "polygon" if style.simplifier.tolerance else "mask"
    attributes = "".join(
        f"<attribute><name>{name}</name><mutable>False</mutable><input_type>text</input_type><default_value>"
        "</default_value><values></values></attribute>"
        for name in ("confidence", "verdict")
    )
    labels = "".join(
        f"<label><name>{escape(name)}</name><type>{kind}</type><attributes>{attributes}</attributes></label>"
        for name in style.classes
    )
    return f"<meta><task><name>ktse</name><mode>annotation</mode><labels>{labels}</labels></task></meta>"


def _cvat_attributes(item: Masked, level: str) -> str:
    known = {"confidence": "" if item.confidence is None else f"{item.confidence:.4f}", "verdict": level}
    return "".join(f'<attribute name="{name}">{value}</attribute>' for name, value in known.items() if value)


def _cvat_shapes(mask: np.ndarray, style: Style) -> Iterator[tuple[str, str]]:
    """Kind and shape of a mask: one exact mask, or simplified polygons."""
    if style.simplifier.tolerance:
        for polygon in style.simplifier.polygons(mask):
            yield "polygon", 'points="' + ";".join(f"{x},{y}" for x, y in polygon.tolist()) + '"'
        return
    left, top, across, down = box(mask)
    counts = ", ".join(map(str, run_lengths(mask[top : top + down, left : left + across].ravel())))
    yield "mask", f'rle="{counts}" left="{left}" top="{top}" width="{across}" height="{down}"'
