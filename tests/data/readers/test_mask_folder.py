"""Folders of masks: which file is whose, and what black and white means. All through the command line's own opener."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from drawn import ALONE, SEVERAL, label_map, masks, open_folder, save, tagged, white
from ktse.data.masks import Corrections, Truth, open_calibration, open_corrections, open_truth
from ktse.errors import DataError
from ktse.files import write_label_map

OPENERS = (open_truth, open_calibration, open_corrections)


def same(found: Truth | Corrections, tags: tuple[tuple[str, ...], ...], missing: tuple[int, ...] = ()) -> None:
    """The masks are the label maps that everything was drawn from."""
    assert set(found.paths) == {str(number) for number in range(len(tags)) if number not in missing}
    for name in found.paths:
        np.testing.assert_array_equal(found.read(name), label_map(tags[int(name)], int(name)))


@pytest.mark.parametrize("opener", OPENERS)
@pytest.mark.parametrize("mode", ["L", "1", "RGB"])
def test_black_and_white_masks_show_the_class_of_the_one_tag(tmp_path: Path, opener, mode: str) -> None:
    data = tagged(tmp_path, ALONE)
    for number, row in enumerate(ALONE):
        (tmp_path / "masks").mkdir(exist_ok=True)
        Image.fromarray(white(label_map(row, number))).convert(mode).save(tmp_path / "masks" / f"{number}.png")
    found = opener(tmp_path / "masks", data)
    same(found, ALONE)
    value = 1 if mode == "1" else 255
    assert f"hold nothing but 0 and {value}: {value} is taken as the class of the image's tag" in "\n".join(found.notes)


@pytest.mark.parametrize("opener", OPENERS)
def test_black_and_white_masks_of_images_with_several_tags_are_refused_with_what_to_do(tmp_path: Path, opener) -> None:
    data = tagged(tmp_path, SEVERAL)
    with pytest.raises(DataError, match=r"2\.png: black and white, but its image has the tags 'dog', 'person'.*2_dog"):
        opener(masks(tmp_path / "masks", SEVERAL, white), data)


def test_one_mask_with_a_class_number_makes_all_of_them_label_maps(tmp_path: Path) -> None:
    data = tagged(tmp_path, ALONE)
    folder = masks(tmp_path / "masks", ALONE, white)
    save(folder / "2.png", label_map(ALONE[2], 2))
    found = open_truth(folder, data)
    assert set(np.unique(found.read("0"))) == {0, 255} and set(np.unique(found.read("2"))) == {0, 1}
    notes = "\n".join(found.notes)
    assert "2 masks of tagged images hold" in notes and "undecided, as other masks hold class numbers: 0.jpg" in notes
    assert "2 of 3 tagged images show none of the image's tags" in notes
    assert "'dog' (value 2, tagged in 1), 'person' (value 3, tagged in 1)" in notes


def test_undecided_objects_in_the_colours_of_label_maps_are_no_black_and_white(tmp_path: Path) -> None:
    data = tagged(tmp_path, ALONE)
    for number, row in enumerate(ALONE):
        write_label_map(tmp_path / "masks" / f"{number}.png", white(label_map(row, number)))
    with pytest.raises(DataError, match="no class occurs in the masks"):
        open_truth(tmp_path / "masks", data)
    with pytest.raises(DataError, match=r"shows none of its tags: 0 \(dog\)"):
        open_corrections(tmp_path / "masks", data)


def test_undecided_pixels_of_untagged_images_stay_undecided(tmp_path: Path) -> None:
    data = tagged(tmp_path, ALONE)
    save(tmp_path / "fixed" / "1.png", white(label_map(("dog",), 1)))
    save(tmp_path / "fixed" / "3.png", np.zeros((60, 72), np.uint8))
    found = open_corrections(tmp_path / "fixed", data)
    assert set(np.unique(found.read("1"))) == {0, 255} and not found.notes


def test_a_mask_that_is_undecided_everywhere_says_nothing_wrong(tmp_path: Path) -> None:
    data = tagged(tmp_path, ALONE)
    save(tmp_path / "fixed" / "0.png", np.full((60, 72), 255, np.uint8))
    assert (open_corrections(tmp_path / "fixed", data).read("0") == 255).all()
    with pytest.raises(DataError, match="no class occurs"):
        open_truth(tmp_path / "fixed", data)


def test_white_without_a_tag_has_no_class_and_is_not_measured(tmp_path: Path) -> None:
    data = tagged(tmp_path, ALONE)
    folder = masks(tmp_path / "masks", ALONE, white)
    save(folder / "1.png", white(label_map(("dog",), 1)))
    found = open_truth(folder, data)
    same(found, ALONE, missing=(1,))
    assert "not measured, 1 image: 1.jpg has no tag that says what is white in its mask" in "\n".join(found.notes)
    with pytest.raises(DataError, match=r"1\.jpg has no tag that says what is white"):
        open_corrections(folder, data)


@pytest.mark.parametrize("opener", OPENERS)
def test_white_backgrounds_are_noticed_where_an_image_has_no_tag(tmp_path: Path, opener) -> None:
    data = tagged(tmp_path, ALONE)
    folder = masks(tmp_path / "masks", ALONE, lambda label: 255 - white(label))
    with pytest.raises(DataError, match=r"1\.png: white everywhere, but its image has no tag: is black the object"):
        opener(folder, data)


def test_with_one_class_white_is_this_class_and_1_is_a_class_number(tmp_path: Path) -> None:
    tags = (("dog",), (), ("dog",))
    for number, change in enumerate((white, lambda label: (label > 0).astype(np.uint8))):
        root = tmp_path / str(number)
        tagged(root, tags)
        (root / "classes.txt").write_text("dog\n")
        data = open_folder(root / "photos", root / "tags.csv")
        folder = masks(root / "masks", tags, change)
        save(folder / "1.png", change(label_map(("cat",), 1)))  # an object that the tags lack
        found = open_truth(folder, data)
        for name in "012":
            np.testing.assert_array_equal(found.read(name) == 1, label_map(("cat",), int(name)) > 0)
        assert bool(found.notes) == (change is white)


def test_0_and_1_stay_the_first_class_where_tags_do_not_say_otherwise(tmp_path: Path) -> None:
    tags = (("cat",), ("cat",), ("cat", "dog"), ("dog",), ("person",), ("cat",), ("dog",))
    data = tagged(tmp_path, tags)
    folder = masks(tmp_path / "masks", tags, lambda label: (label == 1).astype(np.uint8))
    save(folder / "3.png", (label_map(("dog",), 3) > 0).astype(np.uint8))  # one wrong tag, or one wrong mask
    found = open_truth(folder, data)
    for number in range(len(tags)):
        assert set(np.unique(found.read(str(number)))) <= {0, 1}
    assert "nothing but 0 and 1" not in "\n".join(found.notes)
    assert "no mask shows these classes" in "\n".join(found.notes)


@pytest.mark.parametrize("opener", OPENERS)
@pytest.mark.parametrize("pattern", ["{id}_{name}.png", "{id}-{name}.PNG", "{name}/{id}.png", "{id}/{name}.png"])
def test_one_picture_per_class_is_read_as_one_mask(tmp_path: Path, opener, pattern: str) -> None:
    data = tagged(tmp_path, SEVERAL)
    for number, row in enumerate(SEVERAL):
        label = label_map(row, number)
        for place, name in enumerate(("cat", "dog", "person"), start=1):
            path = tmp_path / "masks" / pattern.format(id=number, name=name.upper() if number else name)
            save(path, white((label == place).astype(np.uint8)), format="PNG")
    found = opener(tmp_path / "masks", data)
    same(found, SEVERAL)
    assert "15 pictures of one class each, of 5 images" in "\n".join(found.notes)


def test_an_image_that_lacks_the_picture_of_a_tag_is_not_measured(tmp_path: Path) -> None:
    data = tagged(tmp_path, SEVERAL)
    for number, row in enumerate(SEVERAL):
        for name in row:
            label = label_map(row, number) == ("cat", "dog", "person").index(name) + 1
            if (number, name) != (2, "person"):
                save(tmp_path / "masks" / f"{number}_{name}.png", white(label.astype(np.uint8)))
    found = open_truth(tmp_path / "masks", data)
    same(found, SEVERAL, missing=(2, 3))
    assert "not measured, 1 image: 2.jpg has no picture of its tag 'person'" in "\n".join(found.notes)
    with pytest.raises(DataError, match="no picture of its tag 'person'"):
        open_corrections(tmp_path / "masks", data)


def test_label_maps_in_folders_called_like_classes_are_label_maps(tmp_path: Path) -> None:
    data = tagged(tmp_path, SEVERAL)
    for number, row in enumerate(SEVERAL):
        save(tmp_path / "masks" / (row[0] if row else "cat") / f"{number}.png", label_map(row, number))
    found = open_truth(tmp_path / "masks", data)
    same(found, SEVERAL)
    assert not found.notes


def test_pictures_of_one_class_with_many_values_are_refused(tmp_path: Path) -> None:
    data = tagged(tmp_path, SEVERAL)
    save(tmp_path / "masks" / "0.png", label_map(SEVERAL[0], 0))
    save(tmp_path / "masks" / "1_cat.png", np.arange(60 * 72, dtype=np.uint32).reshape(60, 72).astype(np.uint8))
    with pytest.raises(DataError, match=r"1_cat\.png: a picture of 'cat' alone shows it in one value"):
        open_truth(tmp_path / "masks", data)


def test_names_are_found_as_they_are_for_tags(tmp_path: Path) -> None:
    names = ("A1.jpg", "deep/b.png", "c.jpg", "c.png")
    data = tagged(tmp_path, (("cat",), ("dog",), ("cat",), ("dog",)), names)
    assert data.ids == ("A1", "deep/b", "c.jpg", "c.png")
    for name in ("a1.PNG", "b.png", "c.jpg.png", "c.png.png"):
        save(tmp_path / "masks" / name, np.full((60, 72), 2, np.uint8), format="PNG")
    assert set(open_truth(tmp_path / "masks", data).paths) == set(data.ids)
    save(tmp_path / "masks" / "c.png", np.full((60, 72), 2, np.uint8))
    found = open_truth(tmp_path / "masks", data)
    assert found.found.endswith("1 name in " + str(tmp_path / "masks") + " fits no image: c.png")


def test_other_pictures_beside_the_masks_are_left_aside_and_two_masks_of_one_image_are_not(tmp_path: Path) -> None:
    data = tagged(tmp_path, SEVERAL)
    folder = masks(tmp_path / "masks", SEVERAL)
    save(folder / "seen" / "2.png", np.zeros((9, 9, 3), np.uint8))  # how somebody looked at it
    found = open_truth(folder, data)
    same(found, SEVERAL)
    assert found.notes == ("left aside, 1 more mask of the same images: seen/2.png",)
    with pytest.raises(DataError, match=r"seen/2\.png: the mask of 2\.jpg is 2\.png"):
        open_corrections(folder, data)
    (folder / "one").mkdir()
    (folder / "3.png").rename(folder / "one" / "3.png")
    save(folder / "two" / "3.png", label_map(SEVERAL[3], 3))
    with pytest.raises(DataError, match=r"3\.png: .*3\.png is a mask of the same image too"):
        open_truth(folder, data)


def test_masks_that_fit_no_image_are_refused_with_names_of_both_sides(tmp_path: Path) -> None:
    data = tagged(tmp_path, SEVERAL)
    for number in range(5):
        save(tmp_path / "masks" / f"frame{number}_gt.png", label_map(SEVERAL[number], number))
    for opener in OPENERS:
        with pytest.raises(DataError) as caught:
            opener(tmp_path / "masks", data)
        assert "masks are called: frame0_gt.png, frame1_gt.png, frame2_gt.png ..." in caught.value.where
        assert "images are called: 0.jpg, 1.jpg, 2.jpg ..." in caught.value.where


def test_everything_wrong_is_said_at_once(tmp_path: Path) -> None:
    data = tagged(tmp_path, SEVERAL)
    folder = masks(tmp_path / "masks", SEVERAL)
    save(folder / "0.png", np.zeros((72, 60), np.uint8))
    save(folder / "1.png", np.full((60, 72), 9, np.uint8))
    save(folder / "2.png", np.zeros((60, 72, 3), np.uint8) + np.array([1, 2, 3], np.uint8))
    (folder / "3.png").write_bytes(b"no image")
    for opener in OPENERS:
        with pytest.raises(DataError) as caught:
            opener(folder, data)
        text = str(caught.value)
        for part in (
            "0.png: 60x72 pixels, but its image has 72x60",
            "values [9], but the data have 3 classes",
            "colour",
        ):
            assert part in text
        assert "3.png cannot" in text


def test_a_folder_without_png_files_says_what_is_in_it(tmp_path: Path) -> None:
    data = tagged(tmp_path, SEVERAL)
    save(tmp_path / "masks" / "0.jpg", label_map(SEVERAL[0], 0))
    for opener in OPENERS:
        with pytest.raises(DataError, match=r"holds no PNG file(.|\n)*0\.jpg(.|\n)*may change class numbers"):
            opener(tmp_path / "masks", data)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no PNG file"):
        open_truth(tmp_path / "empty", data)
    with pytest.raises(DataError, match=r"nowhere does not exist(.|\n)*--corrections"):
        open_corrections(tmp_path / "nowhere", data)
