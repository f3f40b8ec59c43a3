"""Corrected masks: found by name, refused together, known by their content."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ktse.data.corrections import find_corrections
from ktse.data.folder import open_folder
from ktse.data.sample import TaggedImages
from ktse.errors import DataError
from ktse.run_folder import write_label_map


@pytest.fixture
def data(tmp_path: Path) -> TaggedImages:
    for name in ("a", "deep/b", "c"):
        path = tmp_path / "images" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20, 10)).save(path)
    (tmp_path / "tags.csv").write_text("image,tags\na.png,cat\ndeep/b.png,dog\nc.png,\n")
    return open_folder(tmp_path / "images", tmp_path / "tags.csv")


def put(folder: Path, name: str, label: np.ndarray) -> None:
    write_label_map(folder / f"{name}.png", label)


def test_corrections_are_found_by_the_names_of_the_images(tmp_path: Path, data: TaggedImages) -> None:
    label = np.full((10, 20), 2, np.uint8)
    label[0] = 255
    put(tmp_path / "fixed", "deep/b", label)
    write_label_map(tmp_path / "fixed" / "a.png", np.full((10, 20), 65535, np.uint16))
    found = find_corrections(str(tmp_path / "fixed"))
    found.check(data)
    assert len(found) == 2 and "deep/b" in found and "c" not in found
    np.testing.assert_array_equal(found.read("deep/b", np.uint8), label)
    assert found.read("a", np.uint8).dtype == np.uint8 and (found.read("a", np.uint8) == 255).all()
    assert (found.read("deep/b", np.uint16)[0] == 65535).all()


def test_everything_wrong_is_said_at_once(tmp_path: Path, data: TaggedImages) -> None:
    folder = tmp_path / "fixed"
    put(folder, "a", np.zeros((10, 21), np.uint8))
    put(folder, "b", np.zeros((10, 20), np.uint8))
    put(folder, "deep/b", np.full((10, 20), 7, np.uint8))
    (folder / "c.png").write_bytes(b"no image")
    with pytest.raises(DataError) as caught:
        find_corrections(str(folder)).check(data)
    text = str(caught.value)
    for part in ("4 of the 4", "21x10 pixels", "no image 'b'", "values [7], but there are 2 classes", "c.png: cannot"):
        assert part in text


def test_no_folder_is_a_message_and_none_given_is_none(tmp_path: Path) -> None:
    assert len(find_corrections("")) == 0
    with pytest.raises(DataError, match="does not exist"):
        find_corrections(str(tmp_path / "nowhere"))


def test_the_fingerprint_follows_the_content(tmp_path: Path) -> None:
    folder = tmp_path / "fixed"
    folder.mkdir()
    assert find_corrections("").fingerprint() == ""
    with pytest.raises(DataError, match="holds no PNG file"):
        find_corrections(str(folder))
    put(folder, "a", np.zeros((4, 4), np.uint8))
    one = find_corrections(str(folder)).fingerprint()
    moved = folder.rename(tmp_path / "elsewhere")
    assert find_corrections(str(moved)).fingerprint() == one != ""
    put(moved, "b", np.zeros((4, 4), np.uint8))
    two = find_corrections(str(moved)).fingerprint()
    os.utime(moved / "a.png", ns=(1, 1))
    assert find_corrections(str(moved)).fingerprint() == two
    put(moved, "a", np.ones((4, 4), np.uint8))
    assert len({one, two, find_corrections(str(moved)).fingerprint()}) == 3
