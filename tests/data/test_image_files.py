"""Which files a folder holds, and which of them a name means."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fakes import touch
from ktse.data.image_files import Listing, list_folder
from ktse.data.name_matching import Names
from ktse.data.names import image_ids
from ktse.errors import DataError


def test_upper_case_endings_and_nested_unicode_names_count_and_hidden_and_other_files_do_not(tmp_path: Path) -> None:
    touch(tmp_path, "B.JPG", "x/ä b/ü.Png", ".hidden/a.png", "x/.a.png")
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "x" / "new.heic").write_bytes(b"")
    listing = list_folder(tmp_path)
    assert listing.files == ["B.JPG", "x/ä b/ü.Png"]
    assert any("1 .heic" in note for note in listing.notes)


def test_every_file_is_listed_once_whatever_links_lead_to_it(tmp_path: Path) -> None:
    images, other = touch(tmp_path / "images", "a.png", "x/b.png"), touch(tmp_path / "other", "c.png", "d.png")
    (images / "again.png").symlink_to(images / "a.png")
    (images / "x" / "loop").symlink_to(images)
    (images / "up").symlink_to(tmp_path)
    (images / "same").symlink_to(images / "x")
    (images / "far").symlink_to(other)
    (images / "far too").symlink_to(other)
    (images / "c link.png").symlink_to(other / "c.png")
    (images / "gone.png").symlink_to(tmp_path / "nowhere.png")
    listing = list_folder(images)
    assert listing.files == ["a.png", "far/c.png", "far/d.png", "x/b.png"] or listing.files == [
        "a.png", "far too/c.png", "far too/d.png", "x/b.png",
    ]  # fmt: skip
    assert set(listing.links) == {"again.png", "c link.png"}
    assert listing.links["again.png"] == "a.png"
    assert listing.links["c link.png"].endswith("/c.png")
    assert sum("listed already" in note for note in listing.notes) == 4
    assert "the link gone.png leads nowhere: left out" in listing.notes


def test_two_links_to_a_file_elsewhere_are_one_image(tmp_path: Path) -> None:
    images, other = touch(tmp_path / "images", "a.png"), touch(tmp_path / "other", "c.png")
    (images / "one.png").symlink_to(other / "c.png")
    (images / "two.png").symlink_to(other / "c.png")
    listing = list_folder(images)
    assert len(listing.files) == 2
    assert len(listing.links) == 1


def test_a_name_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    touch(tmp_path, "a.png")
    (tmp_path / "a.png").rename(tmp_path / os.fsdecode(b"\xff.png"))
    with pytest.raises(DataError, match=r"not valid UTF-8(.|\n)*udcff\.png"):
        list_folder(tmp_path)


def test_ids_are_unique_even_where_an_ending_is_part_of_another_name() -> None:
    files = ["a.jpg", "a.png", "a.jpg.png", "b.c.jpg", "x/.hidden", "x/no"]
    assert image_ids(files) == ["a.jpg", "a.png", "a.jpg.png", "b.c", "x/.hidden", "x/no"]


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("x/b.JPG", "x/b.JPG"), ("./x/b.JPG", "x/b.JPG"), ("x\\b.jpg", "x/b.JPG"), (" x/b ", "x/b.JPG"),
        ("b", "x/b.JPG"), ("d", None),
        ("/data/x/b.jpg", "x/b.JPG"), ("e\u0301.png", "\u00e9.png"), ("\u00e9", "\u00e9.png"),
        ("c.jpg", None), ("c", None),
        ("link.png", "x/b.JPG"), ("y/c.jpg", "y/c.jpg"), ("", None), ("../b.JPG", "x/b.JPG"),
    ],
)  # fmt: skip
def test_a_name_means_the_one_file_that_it_fits(name: str, file: str | None) -> None:
    listing = Listing(Path("/data"), ["x/b.JPG", "x/c.jpg", "y/c.jpg", "\u00e9.png"], {"link.png": "x/b.JPG"})
    names = Names(listing)
    assert names.find(name) == file
    if file is None:
        assert names.why(name)


def test_a_run_folder_among_the_images_is_left_out(tmp_path: Path) -> None:
    for name in ("a.png", "cat/b.png", "run/masks/a.png", "plain/recipe.yaml", "plain/c.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    for name in ("recipe.yaml", "manifest.json"):
        (tmp_path / "run" / name).touch()
    listing = list_folder(tmp_path)
    assert listing.files == ["a.png", "cat/b.png", "plain/c.png"]
    assert any("run is a run folder" in note for note in listing.notes)
