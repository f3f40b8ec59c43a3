"""The three kinds of masks that a user gives: what is said of them, and what changes with their files."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from drawn import ALONE, SEVERAL, coco, label_map, masks, save, tagged, white, write_json
from ktse.cli import main
from ktse.data.masks import Calibration, Corrections, Truth, open_calibration, open_corrections, open_truth
from ktse.errors import DataError
from ktse.files import write_label_map

Checked = Callable[..., tuple[int, str]]


@pytest.fixture
def checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Checked:
    """Check through the command line: exit code and text on one line."""

    def check(verb: str = "check", *more: object) -> tuple[int, str]:
        code = main(
            [verb, str(tmp_path / "photos"), "--tags", str(tmp_path / "tags.csv"), *(str(part) for part in more)]
        )
        return code, " ".join("".join(capsys.readouterr()).split())

    return check


def test_check_says_how_many_images_have_a_mask_and_names_what_fits_none(tmp_path: Path, checked: Checked) -> None:
    tagged(tmp_path, SEVERAL)
    folder = masks(tmp_path / "masks", SEVERAL)
    assert "true masks: 5 of 5 images" in checked("check", "--masks", folder)[1]
    for number in (1, 2):
        (folder / f"{number}.png").rename(folder / f"frame{number}.png")
    code, text = checked("check", "--masks", folder)
    assert code == 0
    assert f"true masks: 3 of 5 images; 2 names in {folder} fit no image: frame1.png, frame2.png" in text


def test_the_count_and_the_notes_are_in_the_json_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tagged(tmp_path, ALONE)
    folder = masks(tmp_path / "masks", ALONE, white)
    arguments = ["check", str(tmp_path / "photos"), "--tags", str(tmp_path / "tags.csv"), "--masks", str(folder)]
    assert main([*arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["true_masks"] == "true masks: 8 of 8 images"
    assert any("255 is taken as the class of the image's tag" in text for text in found["warnings"])
    assert found["disagree"] == []


def nothing(label: np.ndarray) -> np.ndarray:
    return np.zeros_like(label)


def shifted(label: np.ndarray) -> np.ndarray:
    """Classes in another order: 1, 2, 3 become 2, 3, 1."""
    return np.where(label > 0, label % 3 + 1, 0).astype(np.uint8)


def mixed(label: np.ndarray) -> np.ndarray:
    """Objects are 255, but one corner is 1."""
    label = white(label)
    label[-1, -1] = 1
    return label


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        (nothing, 1, "no class occurs in the masks"),
        (shifted, 0, "the masks of 3 of 3 tagged images show none of the image's tags: 0, 2, 4"),
        (lambda label: shifted(label) * 9, 1, "values [18], but the data have 3 classes"),
        (mixed, 0, "the masks of 2 of 3 tagged images show none of the image's tags: 0, 4"),
        (mixed, 0, "no mask shows these classes, although images with a mask have the tag: 'dog' (value 2, tagged in"),
    ],
)
@pytest.mark.parametrize("verb", ["check", "run"])
def test_masks_in_which_no_class_of_the_tags_counts_are_refused_or_warned_of(
    tmp_path: Path, checked: Checked, change: Callable, code: int, message: str, verb: str
) -> None:
    """Though most images have no tag; and by run before anything is trained: a missing weights file ends it."""
    tagged(tmp_path, ALONE)
    folder = masks(tmp_path / "masks", ALONE, change)
    more = ("--out", tmp_path / "run", "--weights", tmp_path / "none.safetensors") if verb == "run" else ()
    found, text = checked(verb, "--masks", folder, *more)
    assert message in text and "Traceback" not in text
    assert found == (1 if verb == "run" else code)
    assert (tmp_path / "run").exists() == (verb == "run" and code == 0)


def test_masks_that_agree_with_the_tags_are_not_doubted(tmp_path: Path) -> None:
    data = tagged(tmp_path, SEVERAL)
    folder = masks(tmp_path / "masks", SEVERAL)
    assert open_truth(folder, data).notes == () == open_calibration(folder, data).notes


@pytest.mark.parametrize("change", [nothing, shifted, mixed])
def test_a_correction_that_shows_none_of_the_tags_is_refused(tmp_path: Path, change: Callable) -> None:
    data = tagged(tmp_path, ALONE)
    folder = masks(tmp_path / "fixed", ALONE, change)
    with pytest.raises(DataError) as caught:
        open_corrections(folder, data)
    assert "0.png: a corrected mask of a tagged image shows none of its tags: 0 (dog)" in str(caught.value)
    assert "1.png" not in str(caught.value)


def test_refused_corrections_leave_a_run_as_it_is(tmp_path: Path, checked: Checked) -> None:
    tagged(tmp_path, SEVERAL)
    folder = masks(tmp_path / "fixed", SEVERAL, nothing)
    code, text = checked("run", "--out", tmp_path / "run", "--corrections", folder)
    assert code == 1 and "4 of the corrected masks in" in text and "correct the tag" in text
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("opener", "kind"), [(open_truth, Truth), (open_calibration, Calibration), (open_corrections, Corrections)]
)
def test_all_kinds_are_read_from_a_folder_and_from_coco_alike(tmp_path: Path, opener: Callable, kind: type) -> None:
    data = tagged(tmp_path, SEVERAL)
    path = write_json(tmp_path / "masks.JSON", coco(SEVERAL))
    for source in (masks(tmp_path / "masks", SEVERAL), path):
        found = opener(source, data)
        assert type(found) is kind and len(found) == 5 and "2" in found and "9" not in found
        for number, row in enumerate(SEVERAL):
            np.testing.assert_array_equal(found.read(str(number)), label_map(row, number))
            assert found.read(str(number), np.uint16).dtype == np.uint16


def test_undecided_keeps_its_meaning_in_another_type(tmp_path: Path) -> None:
    data = tagged(tmp_path, SEVERAL)
    label = label_map(SEVERAL[0], 0)
    label[0] = 255
    save(tmp_path / "fixed" / "0.png", label)
    deep = label_map(SEVERAL[1], 1).astype(np.uint16)
    deep[0] = 65535
    write_label_map(tmp_path / "fixed" / "1.png", deep)
    found = open_corrections(tmp_path / "fixed", data)
    assert (found.read("0", np.uint16)[0] == 65535).all() and (found.read("0", np.uint8)[0] == 255).all()
    assert (found.read("1", np.uint8)[0] == 255).all() and found.read("1", np.uint8).max() == 255


def test_a_name_that_fits_no_image_is_fine_only_among_true_masks(tmp_path: Path) -> None:
    data = tagged(tmp_path, SEVERAL)
    folder = masks(tmp_path / "masks", SEVERAL)
    save(folder / "stranger.png", label_map(SEVERAL[0], 0))
    assert len(open_truth(folder, data)) == 5
    for opener in (open_calibration, open_corrections):
        with pytest.raises(DataError, match=r"stranger\.png: the image 'stranger' is not in the folder"):
            opener(folder, data)


def test_a_part_of_the_masks_reads_the_same(tmp_path: Path) -> None:
    data = tagged(tmp_path, ALONE)
    whole = open_truth(masks(tmp_path / "masks", ALONE, white), data)
    part = whole.take(["2", "nobody"])
    assert set(part.paths) == {"2"}
    np.testing.assert_array_equal(part.read("2"), whole.read("2"))


@pytest.mark.parametrize("opener", [open_calibration, open_corrections])
def test_the_fingerprint_follows_the_content_wherever_and_whenever(tmp_path: Path, opener: Callable) -> None:
    data = tagged(tmp_path, SEVERAL)
    folder = masks(tmp_path / "fixed", SEVERAL[:1])
    one = opener(folder, data).fingerprint()
    moved = folder.rename(tmp_path / "elsewhere")
    assert opener(moved, data).fingerprint() == one != ""
    save(moved / "1.png", label_map(SEVERAL[1], 1))
    two = opener(moved, data).fingerprint()
    os.utime(moved / "0.png", ns=(1, 1))
    assert opener(moved, data).fingerprint() == two
    save(moved / "0.png", label_map(SEVERAL[0], 5))
    assert len({one, two, opener(moved, data).fingerprint()}) == 3
    assert Corrections().fingerprint() == ""


def test_the_fingerprint_follows_how_the_files_are_read(tmp_path: Path) -> None:
    data = tagged(tmp_path, ALONE)
    folder = masks(tmp_path / "masks", ALONE, white)
    black_and_white = open_corrections(folder, data)
    as_they_are = Corrections(black_and_white.paths)
    assert black_and_white.fingerprint() != as_they_are.fingerprint()
    true = open_truth(folder, data).fingerprint()
    assert Truth(black_and_white.paths).fingerprint() != true
    os.utime(folder / "0.png", ns=(1, 1))
    assert open_truth(folder, data).fingerprint() != true
