"""Parsers of masks, in the forms of other tools too, and of annotations."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))

import fuzz_changes as change
from fuzz_base import Parser, saved

from drawn import SEVERAL, coco, label_map, tagged
from fakes import draw, voc_xml
from ktse.data.masks import open_corrections, open_truth
from ktse.data.open import open_data
from ktse.errors import KtseError
from ktse.files import read_label_map
from ktse.recipe import DataRecipe


class CocoMasks(Parser):
    """COCO, for masks: all of them are drawn."""

    file = "masks.json"
    changes = [change.of_json, change.of_json, change.of_bytes]

    def prepare(self) -> None:
        data = self.folder / "data"
        self.data = (
            tagged(data, SEVERAL)
            if not data.is_dir()
            else open_data(DataRecipe(images=str(data / "photos"), tags=str(data / "tags.csv")))
        )
        runs = {"counts": [100, 4220], "size": [60, 72]}
        text = {"counts": "T3" + "lS4", "size": [60, 72]}
        self.valid = [json.dumps(coco(SEVERAL)).encode()]
        for shape in (runs, text):
            self.valid.append(json.dumps(coco(SEVERAL, segmentation=shape)).encode())
        self.valid.pop()  # its text does not fill the image: see test_a_text_of_runs

    def parse(self) -> None:
        truth = open_truth(self.path, self.data)
        for name in truth.paths:
            truth.read(name)


class MaskPictures(CocoMasks):
    """Pictures of masks."""

    file = "masks/0.png"
    changes = [change.of_png, change.of_png, change.of_bytes]

    def prepare(self) -> None:
        super().prepare()
        label = label_map(SEVERAL[0], 0)
        palette = Image.fromarray(label)
        palette.putpalette(list(range(256)) * 3)
        pictures = [Image.fromarray(label), palette, Image.fromarray(label.astype(np.uint16))]
        pictures += [Image.fromarray(np.stack([label] * 3, axis=-1)), Image.fromarray(label > 0)]
        self.valid = [saved(picture, "PNG") for picture in pictures]

    def read(self, content: bytes) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_bytes(content)
        problems = []
        for open_masks in (open_corrections, open_truth):
            try:
                found = open_masks(self.path.parent, self.data)
                for name in found.paths:
                    found.read(name)
            except KtseError as error:
                problems.append(error)
        try:
            read_label_map(self.path)
        except KtseError as error:
            problems.append(error)
        if len(problems) == 3:
            raise problems[0]


class OtherTools(CocoMasks):
    """Masks of another tool, as corrections and as true masks; all of them are drawn."""

    content: Any

    def prepare(self) -> None:
        super().prepare()
        self.valid = [self.content.encode() if isinstance(self.content, str) else json.dumps(self.content).encode()]

    def parse(self) -> None:
        problems = []
        for open_masks in (open_corrections, open_truth):
            try:
                found = open_masks(self.path, self.data)
                for name in found.paths:
                    found.read(name)
            except KtseError as error:
                problems.append(error)
        if len(problems) == 2:
            raise problems[0]


class Cvat(OtherTools):
    """CVAT's XML."""

    file = "annotations.xml"
    changes = [change.of_bytes]
    content = (
        '<annotations><image id="0" name="0.jpg" width="72" height="60">'
        '<mask label="dog" source="manual" rle="2, 4, 3" '
        'left="5" top="6" width="3" height="3" z_order="1"/><polygon label="dog" points="1,1;20,1;20.5,30"/></image>'
        '<image id="1" name="1.jpg" width="72" height="60">'
        '<mask label="cat" rle="0, 100" left="-5" top="55" width="10" '
        'height="10"/></image></annotations>'
    )


def _all_of(values: int) -> list[int]:
    """Label Studio's run lengths of so many values of 255: how many, of how many bits, four sizes of runs, one run."""
    bits = f"{values:032b}" + "00111" + "0111" * 3 + "1111" + "1" + "11" + f"{values - 1:016b}" + f"{255:08b}"
    return list(int(bits.ljust(-(-len(bits) // 8) * 8, "0"), 2).to_bytes(-(-len(bits) // 8), "big"))


class LabelStudio(OtherTools):
    """Label Studio's JSON."""

    file = "tasks.json"
    area = {"type": "polygonlabels", "original_width": 72, "original_height": 60}
    drawn = {**area, "value": {"points": [[1, 1], [50, 1], [50, 50.5]], "polygonlabels": ["dog"]}}
    painted = {**area, "type": "brushlabels", "value": {"format": "rle", "brushlabels": ["cat"], "rle": _all_of(17280)}}
    content = [
        {"data": {"image": "/data/local-files/?d=0.jpg"}, "annotations": [{"result": [drawn]}]},
        {"data": {"image": "1.jpg"}, "annotations": [{"was_cancelled": False, "result": [painted]}]},
    ]


class Labelme(OtherTools):
    """labelme's JSON."""

    file = "labelme/0.json"
    mask = "iVBORw0KGgoAAAANSUhEUgAAAAIAAAACCAAAAABX3VL4AAAADklEQVR4nGP4DwQM/wEPBwP9e3ZK5QAAAABJRU5ErkJggg=="
    content = {
        "version": "5", "imagePath": "0.jpg", "imageWidth": 72, "imageHeight": 60,
        "shapes": [
            {"label": "dog", "shape_type": "polygon", "points": [[1, 1], [30, 1], [30.5, 30]]},
            {"label": "dog", "shape_type": "circle", "points": [[30, 30], [35, 35]]},
            {"label": "dog", "shape_type": "rectangle", "points": [[30, 30], [35, 35]]},
        ],
    }  # fmt: skip

    def parse(self) -> None:
        self.path = self.path.parent
        try:
            super().parse()
        finally:
            self.path = self.folder / self.file


class Yolo(OtherTools):
    """YOLO's data.yaml and labels."""

    file = "yolo/data.yaml"
    changes = [change.of_bytes, change.of_json]
    content = {"train": "images", "val": "images", "names": {"0": "cat", "1": "dog", "2": "person"}}

    def prepare(self) -> None:
        super().prepare()
        labels = self.folder / "yolo" / "labels"
        labels.mkdir(parents=True, exist_ok=True)
        (labels / "0.txt").write_text("1 0.1 0.1 0.9 0.1 0.9 0.9\n")


class YoloLabels(Yolo):
    """YOLO's labels."""

    file = "yolo/labels/0.txt"
    content = "1 0.1 0.1 0.9 0.1 0.9 0.9\n1 0.5 0.5 0.6 0.5 0.55 0.6 0.5 0.6\n"
    changes = [change.of_bytes]

    def parse(self) -> None:
        (self.folder / "yolo" / "data.yaml").write_text("names: [cat, dog, person]\n")
        self.path = self.folder / "yolo" / "data.yaml"
        try:
            super().parse()
        finally:
            self.path = self.folder / self.file


class Voc(Parser):
    """Annotations of PASCAL VOC."""

    file = "voc/Annotations/1.xml"
    valid = [voc_xml("1", draw(("dog", "person"), 0)[1], 1).encode()]

    def prepare(self) -> None:
        (self.folder / "voc" / "JPEGImages").mkdir(parents=True, exist_ok=True)
        draw(("dog",), 0)[0].save(self.folder / "voc" / "JPEGImages" / "1.jpg")

    def parse(self) -> None:
        open_data(DataRecipe(images=str(self.folder / "voc")))
