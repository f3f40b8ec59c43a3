"""Which form masks have: a folder of PNG files, or the file or folder of another tool."""

from __future__ import annotations

from pathlib import Path

from ktse.data.dataset import TaggedImages
from ktse.data.readers.coco import looks_like_coco
from ktse.data.readers.coco_masks import read_coco
from ktse.data.readers.cvat import read_cvat
from ktse.data.readers.found_masks import Reading
from ktse.data.readers.label_studio import read_label_studio
from ktse.data.readers.labelme import read_labelme
from ktse.data.readers.mask_folder import read_folder
from ktse.data.readers.yolo import read_yolo

MAIN = ("annotations/instances_default.json", "annotations.xml", "tasks.json", "data.yaml")
"""Files that stand for the folder that holds them, as exports have them."""

PICTURES = "SegmentationClass"
"""The folder of masks in a folder of VOC."""


def read_masks(path: Path, data: TaggedImages) -> Reading | None:
    """Find the masks of images in a file or folder of any known form.

    Returns:
        what was found; None if there is no such file or folder, or it has no known form.

    Raises:
        DataError: it has the form of masks, but holds none that can be used.
    """
    if path.is_dir():
        for name in MAIN:
            if (path / name).is_file():
                return read_masks(path / name, data)
        if (path / PICTURES).is_dir():
            return read_folder(path / PICTURES, data)
        files = sorted(path.rglob("*.json"))
        return read_labelme(files, path, data) if files and not any(path.rglob("*.png")) else read_folder(path, data)
    if not path.is_file():
        return None
    kind = path.suffix.lower()
    if kind == ".xml":
        return read_cvat(path, data)
    if kind in (".yaml", ".yml"):
        return read_yolo(path, data)
    return _read_json(path, data) if kind == ".json" else None


def _read_json(path: Path, data: TaggedImages) -> Reading:
    if looks_like_coco(path):
        return read_coco(path, data)
    with path.open("rb") as file:
        begin = file.read(1 << 12).lstrip(b"\xef\xbb\xbf \t\r\n")
    if begin.startswith(b"["):
        return read_label_studio(path, data)
    if b'"shapes"' in begin:
        return read_labelme([path], path.parent, data)
    return read_coco(path, data)
