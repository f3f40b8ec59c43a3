"""Masks for other tools: what they would read from the files is the mask again."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

import ktse
from ktse.data.dataset import TaggedImages
from ktse.errors import RunError
from ktse.exporting.masked import compressed
from ktse.exporting.masks import export_masks
from ktse.files import write_label_map
from ktse.run_folder import RunFolder

CLASSES = ("cat & dog", 'a "b"', "鳥")
SIZE = (23, 31)


@pytest.fixture
def labels() -> dict[str, np.ndarray]:
    ring = np.zeros(SIZE, np.uint8)
    ring[2:20, 3:25] = 1
    ring[5:15, 6:20] = 0
    ring[8:10, 9:12] = 3
    ring[20:23, 0:5] = 255
    noise = np.random.default_rng(0).choice(np.array([0, 1, 2, 3, 255], np.uint8), SIZE)
    return {"a": ring, "deep/b": noise, "none": np.zeros(SIZE, np.uint8), "full": np.full(SIZE, 2, np.uint8)}


@pytest.fixture
def run(labels: dict[str, np.ndarray], tmp_path: Path) -> tuple[RunFolder, TaggedImages]:
    folder = RunFolder(tmp_path / "run")
    for name, label in labels.items():
        write_label_map(folder.mask_path(name), label)
    names = tuple(labels)
    tags = np.ones((len(names), 3), bool)
    files = tuple(f"{name}.jpg" for name in names)
    return folder, TaggedImages(tmp_path, files, names, CLASSES, tags, np.zeros(len(names), bool))


def undone(label: np.ndarray) -> np.ndarray:
    """What a format without 255 can hold."""
    return np.where(label == 255, 0, label)


def test_coco(run: tuple[RunFolder, TaggedImages], labels: dict[str, np.ndarray], tmp_path: Path) -> None:
    mask_utils = pytest.importorskip("pycocotools.mask", reason="reads COCO: pip install pycocotools")
    content = json.loads(export_masks(*run, "coco", tmp_path / "out").read_text())
    assert [entry["name"] for entry in content["categories"]] == list(CLASSES)
    found = {image["id"]: np.zeros(SIZE, np.uint8) for image in content["images"]}
    for entry in content["annotations"]:
        shape = entry["segmentation"]
        assert entry["iscrowd"] == 0 and isinstance(shape["counts"], str)  # lists of run lengths are for crowds
        mask = mask_utils.decode({**shape, "counts": shape["counts"].encode()}).astype(bool)
        found[entry["image_id"]][mask] = entry["category_id"]
        assert entry["area"] == mask.sum()
        left, top, width, height = entry["bbox"]
        assert mask[top : top + height, left : left + width].sum() == mask.sum()
        assert mask[top].any()
        assert mask[top + height - 1].any()
        assert mask[:, left].any()
        assert mask[:, left + width - 1].any()
    for image in content["images"]:
        assert (image["height"], image["width"]) == SIZE
        np.testing.assert_array_equal(found[image["id"]], undone(labels[image["file_name"].removesuffix(".jpg")]))


def test_coco_has_every_key_that_strict_readers_need(run: tuple[RunFolder, TaggedImages], tmp_path: Path) -> None:
    content = json.loads(export_masks(*run, "coco", tmp_path / "out").read_text())
    assert set(content) == {"info", "licenses", "images", "categories", "annotations"}
    for kind, keys in (
        ("images", {"id": int, "file_name": str, "height": int, "width": int}),
        ("categories", {"id": int, "name": str, "supercategory": str}),
        ("annotations", {"id": int, "image_id": int, "category_id": int, "iscrowd": int, "area": int, "bbox": list}),
    ):
        assert [entry["id"] for entry in content[kind]] == list(range(1, len(content[kind]) + 1))
        assert all(isinstance(entry[key], what) for entry in content[kind] for key, what in keys.items())


@given(st.lists(st.integers(0, 5000), min_size=1, max_size=12))
def test_run_lengths_as_text_are_those_of_the_library(lengths: list[int]) -> None:
    mask_utils = pytest.importorskip("pycocotools.mask", reason="reads COCO: pip install pycocotools")
    shape = {"size": [1, sum(lengths)], "counts": lengths}
    assert compressed(lengths).encode() == mask_utils.frPyObjects(shape, 1, sum(lengths))["counts"]


def test_coco_is_read_by_its_own_library(
    run: tuple[RunFolder, TaggedImages], labels: dict[str, np.ndarray], tmp_path: Path
) -> None:
    coco = pytest.importorskip("pycocotools.coco").COCO(str(export_masks(*run, "coco", tmp_path / "out")))
    for number, label in enumerate(labels.values(), start=1):
        found = np.zeros(SIZE, np.uint8)
        for entry in coco.loadAnns(coco.getAnnIds(imgIds=number)):
            found[coco.annToMask(entry) > 0] = entry["category_id"]
        np.testing.assert_array_equal(found, undone(label))


def test_voc(run: tuple[RunFolder, TaggedImages], labels: dict[str, np.ndarray], tmp_path: Path) -> None:
    listed = export_masks(*run, "voc", tmp_path / "out").read_text().splitlines()
    assert listed == list(labels)
    for name in listed:
        with Image.open(tmp_path / "out" / "SegmentationClass" / f"{name}.png") as image:
            assert image.mode == "P"
            np.testing.assert_array_equal(np.asarray(image), labels[name])
    lines = (tmp_path / "out" / "labelmap.txt").read_text().splitlines()[1:]
    assert [line.split(":")[0] for line in lines] == ["background", *CLASSES, "undecided"]
    colour = tuple(map(int, lines[1].split(":")[1].split(",")))
    void = tuple(map(int, lines[-1].split(":")[1].split(",")))
    with Image.open(tmp_path / "out" / "SegmentationClass" / "a.png") as image:
        assert image.convert("RGB").getpixel((4, 3)) == colour
        assert image.convert("RGB").getpixel((0, 22)) == void == (224, 224, 192)


def drawn(points: np.ndarray) -> np.ndarray:
    """A polygon in pixels filled at four times the size by Pillow, read at the pixels' centres."""
    canvas = Image.new("L", (4 * SIZE[1], 4 * SIZE[0]))
    ImageDraw.Draw(canvas).polygon([tuple(point) for point in np.rint(points * 4)], fill=1)
    return np.asarray(canvas)[2::4, 2::4] > 0


def test_yolo(run: tuple[RunFolder, TaggedImages], labels: dict[str, np.ndarray], tmp_path: Path) -> None:
    content = yaml.safe_load(export_masks(*run, "yolo", tmp_path / "out").read_text())
    assert content["names"] == dict(enumerate(CLASSES))
    for name in ("a", "none", "full"):
        found = np.zeros(SIZE, np.uint8)
        for line in (tmp_path / "out" / "labels" / f"{name}.txt").read_text().splitlines():
            number, *values = line.split()
            points = np.array(values, float).reshape(-1, 2)
            assert points.min() >= 0
            assert points.max() <= 1
            found[drawn(points * SIZE[::-1])] = int(number) + 1
        np.testing.assert_array_equal(found, undone(labels[name]))
    assert (tmp_path / "out" / "labels" / "deep" / "b.txt").is_file()


def test_label_studio(run: tuple[RunFolder, TaggedImages], labels: dict[str, np.ndarray], tmp_path: Path) -> None:
    tasks = json.loads(export_masks(*run, "labelstudio", tmp_path / "out").read_text())
    assert [unquote(task["data"]["image"].rpartition("=")[2]) for task in tasks] == [f"{name}.jpg" for name in labels]
    config = ET.fromstring((tmp_path / "out" / "config.xml").read_text())
    assert [label.get("value") for label in config.iter("Label")] == list(CLASSES)
    found = np.zeros(SIZE, np.uint8)
    for entry in tasks[0]["predictions"][0]["result"]:
        assert (entry["original_height"], entry["original_width"]) == SIZE
        points = np.array(entry["value"]["points"]) / 100 * SIZE[::-1]
        found[drawn(points)] = 1 + CLASSES.index(entry["value"]["polygonlabels"][0])
    np.testing.assert_array_equal(found, undone(labels["a"]))


def test_cvat(run: tuple[RunFolder, TaggedImages], labels: dict[str, np.ndarray], tmp_path: Path) -> None:
    root = ET.fromstring(export_masks(*run, "cvat", tmp_path / "out").read_bytes())
    assert [name.text for name in root.iterfind("meta/task/labels/label/name")] == list(CLASSES)
    for image, label in zip(root.iter("image"), labels.values(), strict=True):
        found = np.zeros(SIZE, np.uint8)
        for mask in image.iter("mask"):
            left, top, width, height = (int(mask.get(key)) for key in ("left", "top", "width", "height"))
            flat = np.repeat(
                np.arange(len(mask.get("rle").split(","))) % 2, [int(n) for n in mask.get("rle").split(",")]
            )
            part = flat.reshape(height, width) > 0
            found[top : top + height, left : left + width][part] = 1 + CLASSES.index(mask.get("label"))
        np.testing.assert_array_equal(found, undone(label))


def test_a_run_without_masks_says_what_to_do(run: tuple[RunFolder, TaggedImages], tmp_path: Path) -> None:
    run[0].mask_path("a").unlink()
    with pytest.raises(RunError, match="ktse refine"):
        export_masks(*run, "coco", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(RunError, match="not a run folder"):
        ktse.export(tmp_path / "nowhere", format="coco")
