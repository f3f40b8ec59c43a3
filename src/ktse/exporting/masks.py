"""The masks of a run in the formats of other tools. Undecided pixels belong to no class; VOC keeps them as 255.

coco          annotations.json: one annotation for each class of an image, run lengths (read by pycocotools)
voc           SegmentationClass/ID.png, ImageSets/Segmentation/default.txt, labelmap.txt
yolo          labels/ID.txt: one polygon for each connected part; data.yaml
cvat          annotations.xml: CVAT for images 1.1, one mask for each class
labelstudio   tasks.json: polygons as predictions; config.xml: the labels
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import numpy as np
import yaml

from ktse import __version__
from ktse.console import say, track
from ktse.data.sample import TaggedImages
from ktse.errors import RunError
from ktse.exporting.outlines import polygons
from ktse.run_folder import RunFolder, atomic, read_label_map, write_json
from ktse.visual import PALETTE


@dataclass(frozen=True)
class Masked:
    """An image with its mask.

    Attributes:
        file: the image, relative to the folder of images.
        name: the image's id.
        path: the mask.
        label: (H, W), 0 background, k class k, the type's largest value undecided.
    """

    file: str
    name: str
    path: Path
    label: np.ndarray

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.label.shape[0], self.label.shape[1]

    def masks(self, classes: int) -> Iterator[tuple[int, np.ndarray]]:
        """Classes that occur, each with its (H, W) bool mask."""
        for number in np.unique(self.label):
            if 1 <= number <= classes:
                yield int(number), self.label == number


def export_masks(run: RunFolder, data: TaggedImages, form: str, out: Path, fused: bool = False) -> Path:
    """Write the masks of a run in another tool's format.

    Args:
        run: a run with masks.
        data: its images.
        fused: take the fused masks.
        form: coco, voc, yolo, cvat or labelstudio.
        out: a folder; files of an earlier call are replaced.

    Returns:
        the main file.

    Raises:
        RunError: images have no mask yet.
    """
    path = run.fused_path if fused else run.mask_path
    missing = [name for name in data.ids if not path(name).is_file()]
    if missing:
        raise RunError(
            f"{len(missing)} of {len(data)} images have no mask", where=missing,
            hint=f"Make them first: ktse {'predict' if fused else 'refine'} {run.root}",
        )  # fmt: skip
    write: Callable[[Iterator[Masked], tuple[str, ...], Path], Path] = {
        "coco": _coco, "voc": _voc, "yolo": _yolo, "cvat": _cvat, "labelstudio": _label_studio,
    }[form]  # fmt: skip
    say(f"export: {'fused masks' if fused else 'masks'} of {len(data)} images")
    return write(_read(path, data), data.classes, out)


def _read(path: Callable[[str], Path], data: TaggedImages) -> Iterator[Masked]:
    for file, name in track(zip(data.files, data.ids, strict=True), "export", total=len(data)):
        yield Masked(file, name, path(name), read_label_map(path(name)))


def box(mask: np.ndarray) -> tuple[int, int, int, int]:
    """Left, top, width and height of what is set in a mask."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(columns[0]), int(rows[0]), int(np.ptp(columns)) + 1, int(np.ptp(rows)) + 1


def run_lengths(values: np.ndarray) -> list[int]:
    """Lengths of the runs of a flat bool array, the first one of False (0 if it begins with True)."""
    changes = np.flatnonzero(np.diff(np.concatenate([[False], values])))
    return [int(length) for length in np.diff(np.concatenate([[0], changes, [len(values)]]))]


def _coco(items: Iterator[Masked], classes: tuple[str, ...], out: Path) -> Path:
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, item in enumerate(items, start=1):
        height, width = item.size
        images.append({"id": number, "file_name": item.file, "height": height, "width": width})
        for category, mask in item.masks(len(classes)):
            counts = run_lengths(mask.ravel(order="F"))
            annotations.append({
                "id": len(annotations) + 1, "image_id": number, "category_id": category, "iscrowd": 0,
                "segmentation": {"size": [height, width], "counts": counts},
                "area": int(mask.sum()), "bbox": list(box(mask)),
            })  # fmt: skip
    categories = [{"id": number, "name": name} for number, name in enumerate(classes, start=1)]
    content = {"info": {"description": f"masks by ktse {__version__}"}, "images": images, "categories": categories}
    write_json(out / "annotations.json", {**content, "annotations": annotations})
    return out / "annotations.json"


def _voc(items: Iterator[Masked], classes: tuple[str, ...], out: Path) -> Path:
    names = []
    for item in items:
        with atomic(out / "SegmentationClass" / f"{item.name}.png") as part:
            shutil.copyfile(item.path, part)
        names.append(item.name)
    colours = [",".join(map(str, PALETTE[number % 256])) for number in range(len(classes) + 1)]
    lines = [f"{name}:{colour}::" for name, colour in zip(("background", *classes), colours, strict=True)]
    _write(out / "labelmap.txt", "# label:color_rgb:parts:actions\n" + "\n".join(lines) + "\n")
    listed = out / "ImageSets" / "Segmentation" / "default.txt"
    _write(listed, "\n".join(names) + "\n")
    return listed


def _yolo(items: Iterator[Masked], classes: tuple[str, ...], out: Path) -> Path:
    for item in items:
        height, width = item.size
        lines = []
        for number, mask in item.masks(len(classes)):
            for polygon in polygons(mask):
                points = (polygon / (width, height)).ravel()
                lines.append(" ".join([str(number - 1), *(f"{value:.6g}" for value in points)]))
        _write(out / "labels" / f"{item.name}.txt", "".join(f"{line}\n" for line in lines))
    content = {"path": ".", "train": "images", "val": "images", "names": dict(enumerate(classes))}
    text = yaml.safe_dump(content, allow_unicode=True, sort_keys=False)
    _write(out / "data.yaml", "# Put the photos, or a link to their folder, beside this file as images/\n" + text)
    return out / "data.yaml"


def _cvat(items: Iterator[Masked], classes: tuple[str, ...], out: Path) -> Path:
    labels = "".join(f"<label><name>{quoteattr(name)[1:-1]}</name><type>mask</type></label>" for name in classes)
    lines = ['<?xml version="1.0" encoding="utf-8"?>', "<annotations>", "<version>1.1</version>"]
    lines.append(f"<meta><job><labels>{labels}</labels></job></meta>")
    for number, item in enumerate(items):
        height, width = item.size
        lines.append(f'<image id="{number}" name={quoteattr(item.file)} width="{width}" height="{height}">')
        for category, mask in item.masks(len(classes)):
            left, top, across, down = box(mask)
            counts = run_lengths(mask[top : top + down, left : left + across].ravel())
            lines.append(
                f'<mask label={quoteattr(classes[category - 1])} source="auto" occluded="0" z_order="0" '
                f'rle="{", ".join(map(str, counts))}" left="{left}" top="{top}" width="{across}" height="{down}"/>'
            )
        lines.append("</image>")
    _write(out / "annotations.xml", "\n".join([*lines, "</annotations>", ""]))
    return out / "annotations.xml"


def _label_studio(items: Iterator[Masked], classes: tuple[str, ...], out: Path) -> Path:
    tasks = []
    for item in items:
        height, width = item.size
        shared = {
            "type": "polygonlabels", "from_name": "label", "to_name": "image", "original_width": width,
            "original_height": height, "image_rotation": 0,
        }  # fmt: skip
        found = [
            {
                **shared,
                "value": {
                    "points": (100 * polygon / (width, height)).round(5).tolist(),
                    "polygonlabels": [classes[number - 1]],
                },
            }
            for number, mask in item.masks(len(classes))
            for polygon in polygons(mask)
        ]
        image = f"/data/local-files/?d={item.file}"
        tasks.append(
            {"data": {"image": image}, "predictions": [{"model_version": f"ktse {__version__}", "result": found}]}
        )
    labels = "".join(f"<Label value={quoteattr(name)}/>" for name in classes)
    _write(
        out / "config.xml",
        f'<View><Image name="image" value="$image"/><PolygonLabels name="label" toName="image">{labels}'
        "</PolygonLabels></View>\n",
    )
    with atomic(out / "tasks.json") as part:
        part.write_text(json.dumps(tasks, ensure_ascii=False), encoding="utf-8")
    return out / "tasks.json"


def _write(path: Path, text: str) -> None:
    with atomic(path) as part:
        part.write_text(text, encoding="utf-8")
