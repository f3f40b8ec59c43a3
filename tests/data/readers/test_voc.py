"""VOC trees: lists, tags from annotations and from masks, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fakes import TAGS, voc
from ktse.data.classes import VOC_CLASSES
from ktse.data.dataset import TaggedImages
from ktse.data.masks import open_truth
from ktse.data.open import open_data
from ktse.data.readers.voc import voc_root
from ktse.errors import DataError
from ktse.recipe import DataRecipe


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return Path(voc(tmp_path)[0]) / "VOC2012"


def tags(data: TaggedImages) -> list[set[str]]:
    return [{data.classes[k] for k in np.flatnonzero(row)} for row in data.tags]


def test_train_aug_is_training_and_val_is_validation(tree: Path) -> None:
    data = open_data(DataRecipe(images=str(tree.parent)))
    assert data.classes == VOC_CLASSES
    assert data.ids == tuple(f"2007_{number:06d}" for number in range(27, 36))
    assert data.validation.tolist() == [False] * 6 + [True] * 3
    # Difficult objects (every cat here) are tags, the heads of persons are not.
    assert tags(data) == [set(row) for row in TAGS[:9]]


def test_without_train_aug_it_is_train_and_lists_can_be_named(tree: Path) -> None:
    (tree / "ImageSets" / "Segmentation" / "train_aug.txt").unlink()
    assert open_data(DataRecipe(images=str(tree))).validation.tolist() == [False] * 4 + [True] * 3
    named = open_data(DataRecipe(images=str(tree), train_list="trainval"))
    assert len(named) == 7
    assert not named.validation.any()


def test_lists_with_paths_of_image_and_mask_are_understood(tree: Path) -> None:
    path = tree / "ImageSets" / "Segmentation" / "train_aug.txt"
    lines = [f"/JPEGImages/{name}.jpg /SegmentationClassAug/{name}.png" for name in path.read_text().split()]
    path.write_text("\r\n".join(lines))
    assert len(open_data(DataRecipe(images=str(tree)))) == 9


def test_an_image_without_annotation_has_the_tags_of_its_mask(tree: Path) -> None:
    for path in (tree / "Annotations").glob("*.xml"):
        path.unlink()
    assert tags(open_data(DataRecipe(images=str(tree)))) == [set(row) for row in TAGS[:9]]


def test_masks_keep_the_numbers_of_voc_and_255(tree: Path) -> None:
    data = open_data(DataRecipe(images=str(tree)))
    truth = open_truth(tree / "SegmentationClass", data)
    assert set(np.unique(truth.read("2007_000029"))) == {0, 8, 12, 255}
    assert len(truth.paths) == 7
    with Image.open(tree / "SegmentationClass" / "2007_000029.png") as mask:
        assert mask.mode == "P"
        assert mask.getpalette()[36:39] == [64, 0, 128]  # a dog, as VOC paints it


def test_all_damage_is_listed_at_once(tree: Path) -> None:
    xml = tree / "Annotations"
    (xml / "2007_000027.xml").write_text("<annotation><object></annotation>")
    (xml / "2007_000028.xml").write_text('<!DOCTYPE a [<!ENTITY b "c">]><annotation>&b;</annotation>')
    (xml / "2007_000029.xml").write_text("<annotation><object><pose>Left</pose></object></annotation>")
    (xml / "2007_000030.xml").write_text("<html/>")
    (xml / "2007_000031.xml").unlink()
    (tree / "SegmentationClassAug" / "2007_000031.png").unlink()
    with (tree / "ImageSets" / "Segmentation" / "val.txt").open("a") as file:
        file.write("2007_999999\n")
    with pytest.raises(DataError) as error:
        open_data(DataRecipe(images=str(tree)))
    for place in (
        "2007_000027.xml is no XML that can be read: mismatched tag: line 1",
            "2007_000028.xml: line 1: a document type is refused",
        "2007_000029.xml: object 1 has no name", "2007_000030.xml: line 1: its root is <html>", "2007_000031.xml",
        "val.txt: line 4: '2007_999999'",
    ):  # fmt: skip
        assert place in str(error.value)


def test_other_objects_are_classes_of_their_own(tree: Path) -> None:
    for path in (tree / "Annotations").glob("*.xml"):
        path.write_text(path.read_text().replace("<name>dog</name>", "<name>wolf</name>"))
    assert open_data(DataRecipe(images=str(tree))).classes == ("cat", "person", "wolf")
    (tree / "classes.txt").write_text("wolf\nperson\ncat\n")
    assert open_data(DataRecipe(images=str(tree))).classes == ("wolf", "person", "cat")
    (tree / "classes.txt").write_text("wolf\nperson\n")
    with pytest.raises(DataError, match="the tag 'cat' is not in"):
        open_data(DataRecipe(images=str(tree)))


def test_the_tree_is_found_from_above_and_missed_from_within(tree: Path) -> None:
    assert voc_root(tree) == voc_root(tree.parent) == voc_root(tree.parent.parent) == tree
    assert voc_root(tree / "ImageSets") is None
    with pytest.raises(DataError, match="Give the folder above"):
        open_data(DataRecipe(images=str(tree / "JPEGImages")))
