"""Masks from COCO: against pycocotools, and what is refused or left out because it cannot measure."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from drawn import SEVERAL, label_map, tagged, write_json
from drawn import coco as drawn_coco
from fakes import coco
from ktse.cli import main
from ktse.data.classes import COCO_CLASSES
from ktse.data.dataset import TaggedImages
from ktse.data.masks import open_corrections, open_truth
from ktse.data.open import open_data
from ktse.errors import DataError
from ktse.recipe import DataRecipe

EIGHTY = {number: index for index, number in enumerate(COCO_CLASSES)}


def opened(path: Path) -> COCO:
    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(str(path))


def checked(root: Path, masks: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Exit code and text of a check, on one line."""
    code = main(["check", str(root / "photos"), "--tags", str(root / "tags.csv"), "--masks", str(masks)])
    return code, " ".join("".join(capsys.readouterr()).split())


def change(path: Path, **lists: Any) -> None:
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | lists))


def test_masks_equal_pycocotools_answer(tmp_path: Path) -> None:
    root = Path(coco(tmp_path)[0])
    path = root / "annotations" / "instances_train2014.json"
    data = open_data(DataRecipe(images=str(root / "train2014"), tags=str(path)))
    truth = open_truth(path, data)
    api = opened(path)
    crowds = 0
    for image in api.loadImgs(api.getImgIds()):
        label = truth.read(data.ids[data.files.index(image["file_name"])])
        expected = np.zeros((60, 72), dtype=np.uint8)
        for one in api.loadAnns(api.getAnnIds(imgIds=image["id"])):
            drawn = api.annToMask(one) == 1
            crowds += one["iscrowd"]
            expected[drawn] = 255 if one["iscrowd"] else EIGHTY[one["category_id"]] + 1
        assert np.array_equal(label, expected)
        assert len(np.unique(label)) > 1
    assert crowds == 1


def test_where_shapes_overlap_the_smaller_object_wins_and_a_crowd_loses(tmp_path: Path) -> None:
    root = Path(coco(tmp_path)[0])
    path = root / "annotations" / "instances_train2014.json"
    content = json.loads(path.read_text())
    image = content["images"][0]

    def box(category: int, left: int, right: int) -> dict[str, Any]:
        ring = [left, 0, right, 0, right, 60, left, 60]
        return {"segmentation": [ring], "iscrowd": 0, "image_id": image["id"], "category_id": category, "id": category}

    crowd = {**box(1, 0, 0), "segmentation": {"counts": [0, 60 * 72], "size": [60, 72]}, "iscrowd": 1}
    change(path, images=[image], annotations=[box(17, 0, 20), box(18, 0, 40), crowd])
    data = open_data(DataRecipe(images=str(root / "train2014"), tags=str(path)))
    label = open_truth(path, data).read(data.ids[0])
    assert label[30, [5, 30, 60]].tolist() == [EIGHTY[17] + 1, EIGHTY[18] + 1, 255]


def test_images_of_another_size_or_with_a_doubtful_name_have_no_masks(tmp_path: Path) -> None:
    for name, size in {"a.png": (8, 6), "b.png": (6, 8), "x/c.png": (8, 6), "y/c.png": (8, 6)}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", size).save(tmp_path / name)
    names = ("a.png", "b.png", "c.png")
    images = [{"id": k, "file_name": name, "width": 8, "height": 6} for k, name in enumerate(names)]
    box = [[0, 0, 4, 0, 4, 4, 0, 4]]
    drawn = [{"id": k, "image_id": k, "category_id": 1, "segmentation": box, "iscrowd": 0} for k in range(3)]
    path = tmp_path / "masks.json"
    path.write_text(json.dumps({"images": images, "annotations": drawn, "categories": [{"id": 1, "name": "cat"}]}))
    files = ("a.png", "b.png", "x/c.png", "y/c.png")
    ids = tuple(name.removesuffix(".png") for name in files)
    data = TaggedImages(tmp_path, files, ids, ("cat",), np.ones((4, 1), bool), np.zeros(4, bool))
    truth = open_truth(path, data)
    assert set(truth.paths) == {"a"}
    assert truth.notes == ("not measured, 1 image: b.png has 6x8 pixels, not 8x6 pixels",)
    assert truth.found == f"true masks: 1 of 4 images; 1 name in {path} fits no image: c.png"


def test_annotations_of_categories_that_are_no_classes_are_named(tmp_path: Path) -> None:
    data = tagged(tmp_path, SEVERAL)
    content = drawn_coco(SEVERAL)
    content["categories"] += [{"id": 77, "name": "shoe"}, {"id": 78, "name": "never used"}]
    content["annotations"].append({**content["annotations"][0], "id": 99, "category_id": 77})
    path = write_json(tmp_path / "more.json", content)
    note = f"{path}: 1 annotation is of categories that are no classes and left out: shoe"
    assert note in open_truth(path, data).notes
    assert note in open_corrections(path, data).notes


def test_boxes_are_no_masks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tagged(tmp_path, SEVERAL)
    for empty in ([], None, [[]], [[1, 2, 3, 4]], {}, ""):
        path = write_json(tmp_path / "boxes.json", drawn_coco(SEVERAL, segmentation=empty))
        code, text = checked(tmp_path, path, capsys)
        assert code == 1
        assert "boxes.json holds boxes, but no segmentation: 6 of 6 annotations have none" in text
    content = drawn_coco(SEVERAL)
    for annotation in content["annotations"]:
        del annotation["segmentation"]
    code, text = checked(tmp_path, write_json(tmp_path / "boxes.json", content), capsys)
    assert code == 1 and "6 of 6 annotations have none" in text


def test_images_with_a_box_alone_are_counted_and_not_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tagged(tmp_path, SEVERAL)
    content = drawn_coco(SEVERAL)
    content["annotations"][0]["segmentation"] = []
    content["annotations"][3]["segmentation"] = []
    path = write_json(tmp_path / "some.json", content)
    truth = open_truth(path, data)
    assert set(truth.paths) == {"1", "3", "4"}
    code, text = checked(tmp_path, path, capsys)
    assert code == 0 and "true masks: 3 of 5 images" in text
    assert "not measured, 2 images: 0.jpg has 1 annotation, 1 of them without segmentation, 2.jpg has 2" in text
    with pytest.raises(DataError, match=r"0\.jpg has 1 annotation, 1 of them without segmentation"):
        open_corrections(path, data)


def test_crowds_alone_measure_nothing_and_among_objects_they_are_undecided(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tagged(tmp_path, SEVERAL)
    code, text = checked(tmp_path, write_json(tmp_path / "crowds.json", drawn_coco(SEVERAL, iscrowd=1)), capsys)
    assert code == 1
    assert "crowds alone (iscrowd 1; 6 annotations)" in text and "), whose pixels are undecided" in text
    content = drawn_coco(SEVERAL)
    content["annotations"][1]["iscrowd"] = 1
    truth = open_truth(write_json(tmp_path / "one.json", content), data)
    assert len(truth) == 5 and set(np.unique(truth.read("1"))) == {0, 255}


def test_segmentations_in_shares_of_the_size_cover_no_pixel(tmp_path: Path) -> None:
    data = tagged(tmp_path, SEVERAL)
    share = [[0.1, 0.1, 0.4, 0.1, 0.4, 0.4, 0.1, 0.4]]
    path = write_json(tmp_path / "shares.json", drawn_coco(SEVERAL, segmentation=share))
    with pytest.raises(DataError, match="its segmentations cover no pixel"):
        open_truth(path, data)


@pytest.mark.parametrize("pattern", ["images\\{}", "..\\label\\{}", "./{}", "IMAGES/{}", "{}"])
def test_images_are_found_by_their_names_as_for_tags(
    tmp_path: Path, pattern: str, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tagged(tmp_path, SEVERAL)
    content = drawn_coco(SEVERAL)
    for image in content["images"]:
        image["file_name"] = pattern.format(image["file_name"].upper())
    path = write_json(tmp_path / "all.json", content)
    truth = open_truth(path, data)
    for number, row in enumerate(SEVERAL):
        np.testing.assert_array_equal(truth.read(str(number)), label_map(row, number))
    assert main(["check", str(tmp_path / "photos"), "--tags", str(path), "--masks", str(path)]) == 0
    assert "true masks: 5 of 5 images" in "".join(capsys.readouterr())


def test_names_that_fit_no_image_are_named_and_bounded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tagged(tmp_path, SEVERAL)
    content = drawn_coco(SEVERAL)
    for image in content["images"][1:]:
        image["file_name"] = f"other-{image['file_name']}"
    code, text = checked(tmp_path, write_json(tmp_path / "few.json", content), capsys)
    assert code == 0 and "true masks: 1 of 5 images; 4 names in" in text
    assert "fit no image: other-1.jpg, other-2.jpg, other-3.jpg ..." in text
    content["images"][0]["file_name"] = "other.jpg"
    code, text = checked(tmp_path, write_json(tmp_path / "few.json", content), capsys)
    assert code == 1 and "masks are called: other.jpg, other-1.jpg" in text and "images are called: 0.jpg" in text


def test_entries_of_the_same_image_are_joined_as_tags_and_as_masks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tagged(tmp_path, SEVERAL)
    content = drawn_coco(SEVERAL)
    content["images"] += [{**image, "id": image["id"] + 50} for image in content["images"]]
    for place, annotation in enumerate(content["annotations"]):
        annotation["image_id"] += 50 * (place % 2)
    path = write_json(tmp_path / "merged.json", content)
    truth = open_truth(path, data)
    for number, row in enumerate(SEVERAL):
        np.testing.assert_array_equal(truth.read(str(number)), label_map(row, number))
    again = open_data(DataRecipe(images=str(tmp_path / "photos"), tags=str(path)))
    np.testing.assert_array_equal(again.tags, data.tags)
    content["images"][7]["width"] = 71
    path = write_json(tmp_path / "merged.json", content)
    message = "images 3 and 53 are both 2.jpg, but of 72x60 and 71x60 pixels"
    code, text = checked(tmp_path, path, capsys)
    assert code == 1 and message in text
    assert main(["check", str(tmp_path / "photos"), "--tags", str(path)]) == 1
    assert message in " ".join("".join(capsys.readouterr()).split())


def test_sizes_are_whole_numbers_however_they_are_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tagged(tmp_path, SEVERAL)
    path = write_json(tmp_path / "float.json", drawn_coco(SEVERAL, width=72.0, height=60.0))
    np.testing.assert_array_equal(open_truth(path, data).read("2"), label_map(SEVERAL[2], 2))
    for value, message in (
        (72.5, "width is 72.5, not a whole number"), ("72", "width is '72', not a whole number"),
        (True, "width is True, not a whole number"), (0, "width is 0, but must be in 1..65536"),
        (None, "width is missing"),
    ):  # fmt: skip
        code, text = checked(tmp_path, write_json(path, drawn_coco(SEVERAL, width=value)), capsys)
        assert code == 1 and f"image 1: {message}" in text


def test_files_of_other_classes_or_without_annotations_say_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tagged(tmp_path, SEVERAL)
    content = drawn_coco(SEVERAL)
    content["categories"] = [{"id": number, "name": name} for number, name in enumerate(("x", "y", "z"), start=1)]
    code, text = checked(tmp_path, write_json(tmp_path / "other.json", content), capsys)
    assert code == 1 and "categories: x, y, z" in text and "classes: cat, dog, person" in text
    del content["annotations"]
    code, text = checked(tmp_path, write_json(tmp_path / "other.json", content), capsys)
    assert code == 1 and "is no COCO file" in text and "it has no list annotations" in text
    content = {**drawn_coco(SEVERAL), "annotations": []}
    code, text = checked(tmp_path, write_json(tmp_path / "other.json", content), capsys)
    assert code == 1 and "no class occurs in the masks" in text
