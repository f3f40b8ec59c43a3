"""Class folders that are none by their names: an error that says what to give."""

from __future__ import annotations

from pathlib import Path

import pytest

from fakes import touch
from ktse.cli import main
from ktse.data.open import open_data
from ktse.recipe import DataRecipe


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (["images/a.jpg", "masks/a.png"], ["'images', 'masks'", "{}/images --tags FILE", "--masks {}/masks"]),
        (["JPEGs/a.jpg", "Annotations/a.png"], ["'Annotations'", "--data.form folders"]),
        (["train/images/a.jpg", "valid/images/b.jpg", "data.yaml"], ["'images'", "YOLO"]),
        (["images/cat/a.jpg", "images/dog/b.jpg"], ["Give {}/images, if its subfolders are the classes"]),
        (["train/cat/a.jpg", "extra/cat/b.jpg"], ["'train'"]),
        (["valid/a.jpg", "test/b.jpg", "x/c.jpg"], ["'test', 'valid'"]),
    ],
)
def test_a_folder_above_the_images_is_refused(
    files: list[str], said: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    touch(tmp_path / "set", *(name for name in files if not name.endswith(".yaml")))
    for name in files:
        (tmp_path / "set" / name).touch()
    assert main(["check", str(tmp_path / "set")]) == 1
    text = " ".join(capsys.readouterr().err.split())
    for part in ["has no folder per class", *said]:
        assert " ".join(part.format(tmp_path / "set").split()) in text


def test_a_table_that_lies_there_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    touch(tmp_path / "set", "images/a.jpg", "masks/a.png")
    (tmp_path / "set" / "classes.txt").write_text("dog\n")
    (tmp_path / "set" / "labels.csv").write_text("image,tags\na.jpg,dog\n")
    assert main(["check", str(tmp_path / "set")]) == 1
    assert f"{tmp_path}/set/images --tags {tmp_path}/set/labels.csv" in capsys.readouterr().err
    images = tmp_path / "set" / "images"
    assert main(["check", str(images), "--tags", str(tmp_path / "set" / "labels.csv")]) in (0, 1)


def test_classes_with_such_names_are_taken_if_the_form_is_given(tmp_path: Path) -> None:
    touch(tmp_path, "images/a.jpg", "masks/b.jpg")
    assert open_data(DataRecipe(images=str(tmp_path), form="folders")).classes == ("images", "masks")


def test_a_railway_train_is_a_class_with_a_question(tmp_path: Path) -> None:
    touch(tmp_path, "train/a.jpg", "car/b.jpg")
    data = open_data(DataRecipe(images=str(tmp_path)))
    assert data.classes == ("car", "train")
    assert any("the class 'train' is called like a part of a data set" in note for note in data.notes)
