"""Folders of images with a CSV of tags: what is read, and what is refused with which message."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from drawn import open_folder, read_tags
from ktse.errors import DataError, KtseError


def make(folder: Path, table: str, files: tuple[str, ...] = ("a.jpg", "b.png")) -> tuple[Path, Path]:
    for name in files:
        path = folder / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 30), "red").save(path)
    (folder / "tags.csv").write_text(table, encoding="utf-8")
    return folder / "images", folder / "tags.csv"


def test_tags_become_a_matrix_in_sorted_class_order(tmp_path: Path) -> None:
    data = open_folder(*make(tmp_path, "image,tags\na.jpg,dog; cat\nb.png,\n"))
    assert data.classes == ("cat", "dog")
    assert data.tags.tolist() == [[True, True], [False, False]]
    assert data.ids == ("a", "b")


def test_classes_txt_decides_the_order_and_may_list_more(tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text("dog\ncow\ncat\n")
    data = open_folder(*make(tmp_path, "image,tags\na.jpg,dog;cat\nb.png,\n"))
    assert data.classes == ("dog", "cow", "cat")


def test_subfolders_unicode_and_equal_stems_have_distinct_ids(tmp_path: Path) -> None:
    files = ("x/ä b.jpg", "y/ä b.jpg", "c.jpg", "c.PNG")
    table = "image,tags\n" + "".join(f"{name},t\n" for name in files)
    data = open_folder(*make(tmp_path, table, files))
    assert data.ids == ("x/ä b", "y/ä b", "c.jpg", "c.PNG")


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("", "no column 'image'"),
        ("image,tags\n", "no rows"),
        ("file,tags\na.jpg,x\n", "columns found: 'file', 'tags'"),
        ("image,tags\na.jpg,x\na.jpg,y\nb.png,z\n", "row 3: 'a.jpg' is there already, in row 2"),
        ("image,tags\na.jpg,x,y\nb.png,z\n", "row 2"),
        ("image,tags\nc.jpg,x\nd.jpg,x\na.jpg,x\nb.png,x\n", "row 3: 'd.jpg' is not in the folder"),
        ("image,tags\na.jpg,x\n", "b.png"),
        ("image,tags\na.jpg,\nb.png,\n", "no image"),
    ],
)
def test_a_bad_table_is_refused_with_its_place(tmp_path: Path, table: str, message: str) -> None:
    images, tags = make(tmp_path, table)
    with pytest.raises(DataError, match=message.replace("(", r"\(")):
        open_folder(images, tags)


def test_all_problems_are_listed_at_once(tmp_path: Path) -> None:
    images, tags = make(tmp_path, "image,tags\nc.jpg,x\nd.jpg,x\n")
    with pytest.raises(DataError) as error:
        open_folder(images, tags)
    assert "'c.jpg'" in str(error.value)
    assert "'d.jpg'" in str(error.value)


def test_the_validation_split_is_the_same_every_time(tmp_path: Path) -> None:
    files = tuple(f"{i}.png" for i in range(20))
    images, tags = make(tmp_path, "image,tags\n" + "".join(f"{name},t\n" for name in files), files)
    first, again = (open_folder(images, tags, 0.25).validation for _ in range(2))
    assert first.sum() == 5
    assert np.array_equal(first, again)


@given(content=st.text(max_size=200))
def test_any_text_is_a_table_or_a_message(tmp_path_factory: pytest.TempPathFactory, content: str) -> None:
    path = tmp_path_factory.mktemp("csv") / "tags.csv"
    path.write_text(content, encoding="utf-8", errors="replace")
    try:
        assert read_tags(path)
    except KtseError as error:
        assert "tags.csv" in str(error)


@given(tags=st.lists(st.lists(st.text("abc ü,\"'", min_size=1, max_size=5), max_size=4), min_size=1, max_size=8))
def test_written_tables_read_back(tmp_path_factory: pytest.TempPathFactory, tags: list[list[str]]) -> None:
    import csv

    path = tmp_path_factory.mktemp("csv") / "tags.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("image", "tags"))
        writer.writerows((f"{i}.jpg", ";".join(row)) for i, row in enumerate(tags))
    expected = [tuple(dict.fromkeys(tag.strip() for tag in row if tag.strip())) for row in tags]
    assert list(read_tags(path).values()) == expected
