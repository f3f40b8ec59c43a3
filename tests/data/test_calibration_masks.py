"""Masks to calibrate with: what is wrong with them is said all at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ktse.data.calibration import open_calibration
from ktse.data.folder import open_folder
from ktse.data.sample import TaggedImages
from ktse.errors import DataError


@pytest.fixture
def data(tmp_path: Path) -> TaggedImages:
    for name in ("a", "b", "sub/c", "broken"):
        path = tmp_path / "images" / f"{name}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (6, 4)).save(path)
    (tmp_path / "images" / "broken.jpg").write_bytes(b"no image")
    (tmp_path / "tags.csv").write_text("image,tags\na.jpg,x\nb.jpg,y\nsub/c.jpg,x\nbroken.jpg,x\n")
    return open_folder(tmp_path / "images", tmp_path / "tags.csv")


def mask(path: Path, value: int, size: tuple[int, int] = (6, 4)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    label = np.zeros(size[::-1], np.uint8)
    label[0, 0] = value
    Image.fromarray(label).save(path)


def test_every_problem_is_listed(data: TaggedImages, tmp_path: Path) -> None:
    folder = tmp_path / "few"
    mask(folder / "a.png", 1, (5, 4))
    mask(folder / "b.png", 3)
    mask(folder / "c.png", 1)
    mask(folder / "broken.png", 1)
    Image.new("RGB", (6, 4)).save(folder / "sub.png")
    with pytest.raises(DataError) as caught:
        open_calibration(folder, data)
    places = "\n".join(caught.value.where)
    assert len(caught.value.where) == 5
    assert "a.png: 5x4 pixels, but its image has 6x4" in places
    assert "b.png: values [3], but there are 2 classes" in places
    assert "there is no image c" in places  # it is sub/c
    assert "there is no image sub" in places
    assert "broken.jpg cannot be read" in places


@pytest.mark.parametrize("values", [[], [0, 0], [255]])
def test_masks_that_say_nothing_are_refused(data: TaggedImages, tmp_path: Path, values: list[int]) -> None:
    folder = tmp_path / "few"
    folder.mkdir()
    for name, value in zip("ab", values, strict=False):
        mask(folder / f"{name}.png", value)
    with pytest.raises(DataError, match="no PNG file" if not values else "must show a class"):
        open_calibration(folder, data)


def test_a_folder_that_is_not_there(data: TaggedImages, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="--calibrate"):
        open_calibration(tmp_path / "nowhere", data)


def test_names_in_subfolders_and_the_fingerprint_follow_the_content(data: TaggedImages, tmp_path: Path) -> None:
    folder = tmp_path / "few"
    mask(folder / "a.png", 1)
    mask(folder / "sub" / "c.png", 0)
    found = open_calibration(folder, data)
    assert set(found.paths) == {"a", "sub/c"}
    assert found.read("a")[0, 0] == 1
    before = found.fingerprint()
    (tmp_path / "elsewhere").mkdir()
    (folder).rename(tmp_path / "elsewhere" / "few")
    moved = open_calibration(tmp_path / "elsewhere" / "few", data)
    assert moved.fingerprint() == before
    mask(tmp_path / "elsewhere" / "few" / "a.png", 2)
    assert moved.fingerprint() != before
