"""COCO: the numbers of its categories, tags against pycocotools, and what is refused."""

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

import drawn
from fakes import coco
from ktse.data.classes import COCO_CLASSES, SAME_AS_VOC, VOC_CLASSES
from ktse.data.masks import open_truth
from ktse.data.open import open_data
from ktse.errors import DataError
from ktse.recipe import DataRecipe

EIGHTY = {number: index for index, number in enumerate(COCO_CLASSES)}
MISSING = {12, 26, 29, 30, 45, 66, 68, 69, 71, 83}
"""Numbers up to 90 that COCO never released; 91 is the eleventh."""


def opened(path: Path) -> COCO:
    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(str(path))


def change(path: Path, **lists: Any) -> None:
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | lists))


def test_the_map_of_91_numbers_has_80_classes_and_knows_every_class_of_voc() -> None:
    assert set(COCO_CLASSES) == set(range(1, 91)) - MISSING
    assert sorted(EIGHTY.values()) == list(range(80))
    assert [EIGHTY[number] for number in (1, 13, 90)] == [0, 11, 79]
    named = {SAME_AS_VOC.get(name, name) for name in COCO_CLASSES.values()}
    assert named >= set(VOC_CLASSES)


def test_tags_equal_pycocotools_answer_and_images_without_objects_are_legal(tmp_path: Path) -> None:
    root = Path(coco(tmp_path)[0])
    data = open_data(DataRecipe(images=str(root)))
    assert data.classes == tuple(COCO_CLASSES.values())
    untagged = 0
    for part in ("train2014", "val2014"):
        api = opened(root / "annotations" / f"instances_{part}.json")
        for image in api.loadImgs(api.getImgIds()):
            row = data.files.index(f"{part}/{image['file_name']}")
            categories = {one["category_id"] for one in api.loadAnns(api.getAnnIds(imgIds=image["id"]))}
            assert set(np.flatnonzero(data.tags[row])) == {EIGHTY[number] for number in categories}
            assert data.validation[row] == (part == "val2014")
            untagged += not categories
    assert untagged == 1


def test_twenty_classes_keep_their_own_names_and_the_others_are_left_out_with_a_note(tmp_path: Path) -> None:
    root = Path(coco(tmp_path)[0])
    path = root / "annotations" / "instances_train2014.json"
    content = json.loads(path.read_text())
    content["annotations"][0]["category_id"] = 63  # couch
    content["annotations"][2]["category_id"] = 90  # toothbrush, no class of VOC
    path.write_text(json.dumps(content))
    data = open_data(DataRecipe(images=str(root / "train2014"), tags=str(path), classes="voc"))
    assert data.classes == VOC_CLASSES
    assert data.tags[0, VOC_CLASSES.index("sofa")]
    assert not data.tags[1].any()
    assert any("toothbrush" in note for note in data.notes)
    truth = open_truth(path, data)
    assert set(np.unique(truth.read(data.ids[0]))) == {0, VOC_CLASSES.index("sofa") + 1, 255}
    assert set(np.unique(truth.read(data.ids[1]))) == {0}


def test_other_categories_are_classes_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    content = {
        "images": [{"id": 1, "file_name": "a.png", "height": 8, "width": 8}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 2, "segmentation": [[0, 0, 4, 0, 4, 8, 0, 8]]}],
        "categories": [{"id": 7, "name": "scratch"}, {"id": 2, "name": "dent"}],
    }
    (tmp_path / "mine.json").write_text(json.dumps(content))
    data = open_data(DataRecipe(images=str(tmp_path), tags=str(tmp_path / "mine.json")))
    assert data.classes == ("dent", "scratch")
    label = open_truth(tmp_path / "mine.json", data).read("a")
    assert label[:, :4].tolist() == [[1] * 4] * 8
    assert not label[:, 4:].any()


def test_everything_damaged_is_listed_at_once(tmp_path: Path) -> None:
    root = Path(coco(tmp_path)[0])
    path = root / "annotations" / "instances_train2014.json"
    content = json.loads(path.read_text())
    content["annotations"][0]["category_id"] = 12
    content["annotations"][1]["image_id"] = 5
    content["annotations"][2] = None
    del content["images"][3]["file_name"]
    content["images"][4]["id"] = content["images"][5]["id"]
    content["categories"][0]["name"] = 3
    path.write_text(json.dumps(content))
    with pytest.raises(DataError) as error:
        open_data(DataRecipe(images=str(root / "train2014"), tags=str(path)))
    places = (
        "annotations[0]: category_id 12",
        "annotations[1]: image_id 5",
        "annotations[2] is",
        "images[3]: file_name",
    )
    for place in (*places, "images[5]: the id", "categories[0]: name is 3"):
        assert place in str(error.value)


def test_missing_images_and_damaged_segmentations_are_messages(tmp_path: Path) -> None:
    root = Path(coco(tmp_path)[0])
    path = root / "annotations" / "instances_train2014.json"
    content = json.loads(path.read_text())
    damaged = ([[1, "a", 2, 3, 4, 5]], {"counts": [5], "size": [60, 72]}, 7)
    for annotation, damage in zip(content["annotations"], damaged, strict=False):
        annotation["segmentation"] = damage
    path.write_text(json.dumps(content))
    data = open_data(DataRecipe(images=str(root / "train2014"), tags=str(path)))
    truth = open_truth(path, data)
    for image_id in data.ids[:2]:
        with pytest.raises(DataError, match=r"the segmentation of annotation \d+ is damaged"):
            truth.read(image_id)
    (root / "train2014" / data.files[0]).unlink()
    with pytest.raises(DataError, match=r"image 9: .* is not in the folder"):
        open_data(DataRecipe(images=str(root / "train2014"), tags=str(path)))


def test_without_any_annotation_there_is_nothing_to_learn(tmp_path: Path) -> None:
    coco(tmp_path)
    path = tmp_path / "coco" / "annotations" / "instances_train2014.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "annotations": []}))
    with pytest.raises(DataError, match=r"no image in .*instances_train2014\.json has a tag"):
        open_data(DataRecipe(images=str(tmp_path / "coco" / "train2014"), tags=str(path)))


@pytest.mark.parametrize("root", ["dog", "pets", " dog "])
def test_a_category_that_only_groups_others_is_no_class(tmp_path: Path, root: str) -> None:
    drawn.tagged(tmp_path, drawn.SEVERAL)
    content = drawn.coco(drawn.SEVERAL)
    grouped = [{**one, "name": f" {one['name']} ", "supercategory": root} for one in content["categories"]]
    content["categories"] = [{"id": 0, "name": root, "supercategory": "none"}, *grouped]
    path = drawn.write_json(tmp_path / "robo.json", content)
    data = open_data(DataRecipe(images=str(tmp_path / "photos"), tags=str(path)))
    assert data.classes == drawn.CLASSES
    assert f"the category {root.strip()!r} (id 0) is left out" in "\n".join(data.notes)
    truth = open_truth(path, data)
    for number, row in enumerate(drawn.SEVERAL):
        np.testing.assert_array_equal(truth.read(str(number)), drawn.label_map(row, number))


def test_a_grouping_category_with_objects_is_a_class_in_all_files_of_a_tree(tmp_path: Path) -> None:
    tagged = drawn.tagged(tmp_path / "tree", drawn.SEVERAL)
    (tmp_path / "tree" / "annotations").mkdir()
    for name, chosen in (("train", (0, 1, 2)), ("val", (3, 4))):
        content = drawn.coco(drawn.SEVERAL)
        content["categories"][0]["supercategory"] = "person"  # nobody is in the validation images
        content["images"] = [image for image in content["images"] if image["id"] - 1 in chosen]
        content["annotations"] = [one for one in content["annotations"] if one["image_id"] - 1 in chosen]
        drawn.write_json(tmp_path / "tree" / "annotations" / f"instances_{name}.json", content)
    data = open_data(DataRecipe(images=str(tmp_path / "tree")))
    assert data.classes == drawn.CLASSES and data.validation.sum() == 2
    assert {name: row.tolist() for name, row in zip(data.ids, data.tags, strict=True)} == {
        f"photos/{name}": row.tolist() for name, row in zip(tagged.ids, tagged.tags, strict=True)
    }
