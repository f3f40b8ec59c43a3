"""Masks as CVAT, Label Studio, labelme and YOLO write them, and everything that may be wrong with them."""

from __future__ import annotations

import base64
import json
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from ktse.data.dataset import TaggedImages
from ktse.data.masks import open_corrections
from ktse.data.readers.shapes import placed, polygon
from ktse.errors import DataError

SIZE = (20, 12)
"""Width and height of the images."""


@pytest.fixture
def data(tmp_path: Path) -> TaggedImages:
    """Three images with the tag "dog" and "ball", and one without a tag."""
    files = ("a.jpg", "b.jpg", "c.jpg", "none.jpg")
    (tmp_path / "photos").mkdir()
    for file in files:
        Image.new("RGB", SIZE).save(tmp_path / "photos" / file)
    tags = np.array([[1, 1], [1, 1], [1, 1], [0, 0]], bool)
    ids = tuple(file.partition(".")[0] for file in files)
    return TaggedImages(tmp_path / "photos", files, ids, ("dog", "ball"), tags, np.zeros(4, bool))


def box(left: int, top: int, right: int, bottom: int, label: int = 1) -> np.ndarray:
    """A label map with one rectangle."""
    whole = np.zeros(SIZE[::-1], np.uint8)
    whole[top:bottom, left:right] = label
    return whole


@pytest.mark.parametrize("seed", range(8))
def test_a_polygon_has_the_pixels_whose_centre_is_inside(seed: int) -> None:
    rng = np.random.default_rng(seed)
    turns = np.sort(rng.uniform(0, 2 * np.pi, 9))
    points = (10, 6) + rng.uniform(2, 9, (9, 1)) * np.stack([np.cos(turns), np.sin(turns)], axis=1)
    y, x = np.mgrid[: SIZE[1], : SIZE[0]] + 0.5
    inside = np.zeros(SIZE[::-1], int)
    for (ax, ay), (bx, by) in zip(points, np.roll(points, -1, axis=0), strict=True):  # edges right of each centre
        inside += ((ay > y) != (by > y)) & (x < ax + (y - ay) * (bx - ax) / np.where(by == ay, 1, by - ay))
    np.testing.assert_array_equal(polygon(points)(SIZE), inside % 2 == 1)


def test_a_polygon_beyond_the_image_is_cut_off() -> None:
    assert polygon(np.array([(-50, -50), (70, -50), (70, 70), (-50, 70)]))(SIZE).all()
    assert not polygon(np.array([(30, 0), (70, 0), (70, 70)]))(SIZE).any()
    with pytest.raises(ValueError, match="three points"):
        polygon(np.array([(1, 1), (2, 2)]))(SIZE)


def test_a_part_beyond_the_image_is_cut_off() -> None:
    drawn = placed(np.ones((4, 4), bool), -2, 10)(SIZE)
    assert drawn.sum() == 4
    assert drawn[10:, :2].all()
    assert not placed(np.ones((4, 4), bool), 40, 0)(SIZE).any()


def cvat(*images: str) -> str:
    return f"<annotations><version>1.1</version>{''.join(images)}</annotations>"


def cvat_image(name: str, *shapes: str, width: int = SIZE[0]) -> str:
    return f'<image id="0" name="{name}" width="{width}" height="{SIZE[1]}">{"".join(shapes)}</image>'


def test_cvat(data: TaggedImages, tmp_path: Path) -> None:
    dog = '<polygon label="dog" points="1,1;9,1;9,9;1,9" z_order="1"/>'
    ball = '<mask label="ball" rle="0, 6, 2, 4" left="2" top="3" width="4" height="3" z_order="0"/>'
    undecided = '<polygon label="undecided" points="0,0;3,0;3,3;0,3" z_order="2"/>'
    text = cvat(cvat_image("photos/a.jpg", dog, ball, undecided), cvat_image("b.jpg"), cvat_image("none.jpg"))
    (tmp_path / "annotations.xml").write_text(text)
    found = open_corrections(tmp_path / "annotations.xml", data)
    assert set(found.paths) == {"a", "none"}  # nobody has drawn in b, which has tags
    assert "tags but no shape: 1 image" in found.notes[0]
    wanted = box(1, 1, 9, 9)
    wanted[:3, :3] = 255
    np.testing.assert_array_equal(found.read("a"), wanted)
    assert not found.read("none").any()
    alone = cvat(cvat_image("a.jpg", ball))
    (tmp_path / "annotations.xml").write_text(alone)
    wanted = np.zeros(SIZE[::-1], np.uint8)
    wanted[3:6, 2:6] = 2 * np.array([[1, 1, 1, 1], [1, 1, 0, 0], [1, 1, 1, 1]])
    np.testing.assert_array_equal(open_corrections(tmp_path / "annotations.xml", data).read("a"), wanted)


def packed(alpha: np.ndarray) -> list[int]:
    """A mask as Label Studio's brush writes it: runs of equal values up to 2 ** 16 long, others one by one."""
    values = np.repeat(alpha.ravel(), 4).astype(int).tolist()
    bits = f"{len(values):032b}{7:05b}{2:04b}{7:04b}{11:04b}{15:04b}"
    at = 0
    while at < len(values):
        end = at
        while end < len(values) and values[end] == values[at]:
            end += 1
        if end - at > 5:
            bits += f"1{3:02b}{end - at - 1:016b}{values[at]:08b}"
        else:
            bits += f"0{1:02b}{end - at - 1:08b}" + "".join(f"{value:08b}" for value in values[at:end])
        at = end
    bits += "0" * (-len(bits) % 8)
    return [int(bits[start : start + 8], 2) for start in range(0, len(bits), 8)]


def region(kind: str, name: str, **value: Any) -> dict[str, Any]:
    sizes = {"original_width": SIZE[0], "original_height": SIZE[1], "image_rotation": 0}
    return {"type": kind, **sizes, "value": {**value, kind: [name]}}


def task(name: str, *regions: dict[str, Any], key: str = "annotations") -> dict[str, Any]:
    return {"data": {"image": f"/data/local-files/?d=photos/{name}"}, key: [{"result": list(regions)}]}


@pytest.mark.parametrize("seed", range(4))
def test_label_studio_s_brush(data: TaggedImages, tmp_path: Path, seed: int) -> None:
    alpha = 255 * (np.random.default_rng(seed).random(SIZE[::-1]) < (0.1, 0.5, 0.9, 1.0)[seed])
    stroke = region("brushlabels", "ball", format="rle", rle=packed(alpha))
    (tmp_path / "tasks.json").write_text(json.dumps([task("a.jpg", stroke)]))
    np.testing.assert_array_equal(open_corrections(tmp_path / "tasks.json", data).read("a") == 2, alpha > 0)


def test_label_studio_takes_what_people_drew_before_predictions(data: TaggedImages, tmp_path: Path) -> None:
    whole = region("polygonlabels", "dog", points=[[0, 0], [50, 0], [50, 100], [0, 100]])
    left = region("polygonlabels", "dog", points=[[0, 0], [10, 0], [10, 100], [0, 100]])
    tasks = [{**task("a.jpg", whole), **task("a.jpg", left, key="predictions")}, task("b.jpg", left, key="predictions")]
    (tmp_path / "tasks.json").write_text(json.dumps(tasks))
    found = open_corrections(tmp_path / "tasks.json", data)
    assert set(found.paths) == {"a"}
    np.testing.assert_array_equal(found.read("a"), box(0, 0, 10, 12))
    (tmp_path / "tasks.json").write_text(json.dumps(tasks[1:]))
    np.testing.assert_array_equal(open_corrections(tmp_path / "tasks.json", data).read("b"), box(0, 0, 2, 12))


def labelme(*shapes: dict[str, Any]) -> str:
    return json.dumps({"version": "5", "shapes": shapes, "imageWidth": SIZE[0], "imageHeight": SIZE[1]})


def test_labelme(data: TaggedImages, tmp_path: Path) -> None:
    folder = tmp_path / "labelme"
    folder.mkdir()
    buffer = BytesIO()
    Image.fromarray(np.array([[True, False], [True, True]])).save(buffer, "PNG")
    part = {"label": "ball", "shape_type": "mask", "points": [[3, 4], [4, 5]]}
    part["mask"] = base64.b64encode(buffer.getvalue()).decode()
    frame = {"label": "dog", "shape_type": "rectangle", "points": [[8, 2], [2, 8]]}
    (folder / "a.json").write_text(labelme(frame, part))
    (folder / "b.json").write_text(labelme({"label": "dog", "shape_type": "circle", "points": [[10, 6], [14, 6]]}))
    found = open_corrections(folder, data)
    wanted = box(2, 2, 8, 8)
    wanted[4, 3] = wanted[5, 3:5] = 2
    np.testing.assert_array_equal(found.read("a"), wanted)
    disc = Image.new("1", (10 * SIZE[0], 10 * SIZE[1]))
    ImageDraw.Draw(disc).ellipse((60, 20, 140, 100), fill=1)
    assert ((found.read("b") == 1) != np.asarray(disc)[5::10, 5::10]).sum() <= 4


def test_yolo(data: TaggedImages, tmp_path: Path) -> None:
    (tmp_path / "labels").mkdir()
    (tmp_path / "data.yaml").write_text("names: [ball, dog]\n")
    (tmp_path / "labels" / "a.txt").write_text("1 0 0 0.5 0 0.5 1 0 1\n0 0.5 0 1 0 1 0.5 0.5 0.5\n")
    found = open_corrections(tmp_path, data)
    np.testing.assert_array_equal(found.read("a"), box(0, 0, 10, 12) + box(10, 0, 20, 6, 2))


def test_all_that_is_wrong_is_said_at_once(data: TaggedImages, tmp_path: Path) -> None:
    dog, cat, short = (
        f'<polygon label="{name}" points="{points}"/>'
        for name, points in (("dog", "1,1;9,1;9,9"), ("cat", "1,1;9,1;9,9"), ("dog", "1,1;x,1"))
    )
    images = [
        cvat_image("a.jpg", cat, '<box label="dog" xtl="0" ytl="0" xbr="5" ybr="5"/>'),
        cvat_image("b.jpg", dog, width=30),
        cvat_image("c.jpg", short),
        cvat_image("nobody.jpg", dog),
    ]
    (tmp_path / "annotations.xml").write_text(cvat(*images))
    with pytest.raises(DataError) as error:
        open_corrections(tmp_path / "annotations.xml", data)
    text = "\n".join(error.value.where)
    for words in ("1 shape of 'cat'", "1 box: only masks", "has 20x12 pixels, not 30x12", "is damaged", "nobody.jpg"):
        assert words in text


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("annotations.xml", "<annotations><version>1.1</version></annotations>", "no images of CVAT"),
        ("annotations.xml", '<!DOCTYPE a [<!ENTITY b "c">]><annotations/>', "document type is refused"),
        ("tasks.json", "[1, 2]", "no tasks with images"),
        ("tasks.json", json.dumps([task("a.jpg", region("brushlabels", "dog", rle=[0, 0, 9]))]), "cut off"),
        ("tasks.json", json.dumps([task("a.jpg", region("rectanglelabels", "dog", x=1))]), "do not say which pixels"),
        ("a.json", '{"shapes": [{}]}', "damaged, or of no use"),
        ("data.yaml", "names: 3\n", "names no classes"),
        ("masks.zip", "", "of no known form"),
    ],
)
def test_what_cannot_be_read_is_named(data: TaggedImages, tmp_path: Path, name: str, content: str, words: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError) as error:
        open_corrections(tmp_path / name, data)
    assert words in str(error.value)
