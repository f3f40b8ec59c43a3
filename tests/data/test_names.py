"""Which file a name means: never one of another folder, whatever folders stand before it and however it is typed."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes import touch
from ktse.cli import main
from ktse.data.image_files import Listing, list_folder
from ktse.data.name_matching import Names
from ktse.data.names import clashes, image_ids
from ktse.data.text import clean
from ktse.errors import DataError

FOLDERS = ("beach", "park", "Zoo", "süd", "old photos")
BARE = ("001.jpg", "002.JPG", "é.png", "a b.tif")
paths = st.builds(
    lambda folders, name: "/".join((*folders, name)),
    st.lists(st.sampled_from(FOLDERS), max_size=3),
    st.sampled_from(BARE),
)
listed = st.lists(paths, min_size=1, max_size=8, unique=True)
WRITTEN = (
    lambda name: name,
    lambda name: name.replace("/", "\\"),
    lambda name: f"./{name}",
    lambda name: name.upper(),
    lambda name: unicodedata.normalize("NFD", name),
    lambda name: f" {name}\u00a0",
    lambda name: f"\ufeff{name}",
    lambda name: name.rpartition(".")[0],
)
ABOVE = ("", "/data/old/", "C:\\Users\\Ann\\", "two/", "https://host.example/bucket/", "/data/local-files/?d=x/")


def names_of(files: list[str], root: str = "/somewhere/photos") -> Names:
    return Names(Listing(Path(root), sorted(files)))


@given(files=listed, data=st.data())
def test_the_whole_path_is_found_however_it_is_written_and_whatever_stands_before_it(
    files: list[str], data: st.DataObject
) -> None:
    file = data.draw(st.sampled_from(files))
    above, write = data.draw(st.sampled_from(ABOVE)), data.draw(st.sampled_from(WRITTEN))
    found = names_of(files).find(above + write(file))
    # A longer path can also be the end of another file's, and then nobody can tell: never another file, though.
    others = [other for other in files if other != file and same_end(other, above + write(file))]
    assert found == file or (found is None and others)
    if not above:
        assert names_of(files).find(file) == file


def same_end(file: str, name: str) -> bool:
    """Whether a file and a name have all their common folders and the bare name in common; an oracle of its own."""
    parts = [[clean(part).casefold() for part in path.replace("\\", "/").split("/")] for path in (file, name)]
    pairs = list(zip(*(reversed(one) for one in parts), strict=False))
    return pairs[0][0].startswith(pairs[0][1].rpartition(".")[0]) and all(a == b for a, b in pairs[1:])


@given(files=listed, name=paths)
def test_no_name_means_a_file_of_another_folder(files: list[str], name: str) -> None:
    found = names_of(files).find(name)
    if found is not None:
        short, long = sorted((found.split("/"), name.split("/")), key=len)
        assert [part.casefold() for part in long[-len(short) :]] == [part.casefold() for part in short]
        # A folder that is here holds its own files alone.
        folder = name.rpartition("/")[0]
        assert (
            not folder
            or found == name
            or not any(file.rpartition("/")[0] == folder for file in files)
            or (found.endswith(f"/{name}"))
        )
    if name in files:
        assert found == name


@pytest.mark.parametrize(
    ("files", "name", "why"),
    [
        (["beach/001.jpg"], "park/001.jpg", "is not in the folder (there is beach/001.jpg)"),
        (["beach/001.jpg"], "two/park/001.jpg", "is not in the folder (there is beach/001.jpg)"),
        (["001.jpg", "beach/002.jpg"], "beach/001.jpg", "is not in the folder (there is 001.jpg)"),
        (["beach/001.jpg"], "/somewhere/photos/001.jpg", "is not in the folder (there is beach/001.jpg)"),
        (["a/1.jpg", "b/1.jpg"], "1.jpg", "fits 2 files: a/1.jpg, b/1.jpg"),
        (["007.jpg"], "7", "is not in the folder (there is 007.jpg)"),  # a spreadsheet has taken the zeros away
        (["cat.jpg"], "с\u0430t.jpg", "is not in the folder (there is cat.jpg)"),  # Cyrillic letters
        (["a.jpg"], "a.png", "is not in the folder (there is a.jpg)"),
        (["a.jpg"], "b.jpg", "is not in the folder"),
        (["a.jpg"], "", "is not in the folder"),
    ],
)
def test_a_name_that_means_no_file_is_explained(files: list[str], name: str, why: str) -> None:
    names = names_of(files)
    assert names.find(name) is None
    assert names.why(name) == why


@pytest.mark.parametrize(
    ("files", "name", "file"),
    [
        (["001.jpg", "x/photos/001.jpg"], "photos/002.jpg", None),
        (["001.jpg", "beach/001.jpg"], "photos/001.jpg", "001.jpg"),  # the root is called photos
        (["A.jpg", "a.jpg"], "two/a.jpg", "a.jpg"),
        (["A.jpg", "a.jpg"], "a.JPG", None),
        (["a b.jpg"], "a%20b.jpg", "a b.jpg"),
        (["001.jpg"], "/data/upload/3/1a2b3c4d-001.jpg", "001.jpg"),  # as Label Studio names what was uploaded
        (["a.jpg", "a.jpg.png"], "a.jpg", "a.jpg"),
        (["a/x/1.jpg", "b/1.jpg"], "x/1.jpg", "a/x/1.jpg"),
    ],
)
def test_the_longest_end_counts(files: list[str], name: str, file: str | None) -> None:
    assert names_of(files).find(name) == file


@pytest.mark.parametrize("above", ["two/", "C:\\data\\two\\", "/home/ann/two/"])
def test_tables_with_paths_of_elsewhere_fit_through_the_command_line(
    above: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [f"{folder}/{number}.jpg" for folder in ("beach", "park") for number in range(3)]
    touch(tmp_path / "photos", *files)
    rows = [f"{above}{file}".replace("/", "\\" if "\\" in above else "/") + ",dog" for file in files[:5]]
    table = tmp_path / "t.csv"
    table.write_text("\n".join(["image,tags", *rows, f"{above}{files[5]},cat"]) + "\n")
    assert main(["check", str(tmp_path / "photos"), "--tags", str(table)]) == 0
    table.write_text(table.read_text().replace(f"{above}park/2.jpg", f"{above}beech/2.jpg"))
    assert main(["check", str(tmp_path / "photos"), "--tags", str(table)]) == 1
    assert "(there are beach/2.jpg, park/2.jpg)" in capsys.readouterr().err


def test_a_name_of_something_that_is_no_image_is_named_so(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg")
    for name in ("b.pdf", "c.mp4", "d.heic", "e.dat"):
        (tmp_path / name).write_bytes(b"x")
    names = Names(list_folder(tmp_path))
    assert names.why("b.pdf") == "is a file, but a document, no image that can be read"
    assert names.why("c.mp4") == "is a file, but a video, no image that can be read"
    assert "a HEIC photo" in names.why("d.heic")
    assert "its ending is '.dat'" in names.why("e.dat")


def test_what_is_left_aside_is_said_and_multi_picture_files_are_images(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "b.MPO", ".thumbnails/a.jpg", "x/@eaDir/a.jpg", "__MACOSX/a.jpg", "x/b.jpg")
    for name in ("Thumbs.db", ".DS_Store", "m.mp4", "s.svg", "v.mpg"):
        (tmp_path / name).write_bytes(b"x")
    listing = list_folder(tmp_path)
    assert listing.files == ["a.jpg", "b.MPO", "x/b.jpg"]
    text = "\n".join(listing.notes)
    for part in (".thumbnails", "x/@eaDir", "__MACOSX", "Thumbs.db", "1 .mp4 (a video)", "1 .svg", "1 .mpg (a video)"):
        assert part in text
    assert ".DS_Store" not in text


def test_a_folder_of_other_files_says_what_these_are(tmp_path: Path) -> None:
    for name in ("a.parquet", "b.heic"):
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(DataError, match=r"\.parquet is a Parquet table; \.heic is a HEIC photo"):
        list_folder(tmp_path)


SUFFIXES = (".png", ".jpg", ".npz")
trees = st.lists(
    st.builds(
        lambda folders, stem, suffix: "/".join((*folders, stem + suffix)),
        st.lists(st.sampled_from(("a", "a.png", "b.npz", "a.jpg.png")), max_size=2),
        st.sampled_from(("a", "b", "a.jpg")),
        st.sampled_from((".jpg", ".png", ".tif")),
    ),
    min_size=1, max_size=8, unique=True,
)  # fmt: skip


@given(files=trees)
def test_results_never_have_the_path_of_a_folder_of_other_results(files: list[str]) -> None:
    # What no folder on a disk can hold: a file and a folder of the same name.
    files = [file for file in files if not any(other.startswith(f"{file}/") for other in files)]
    try:
        ids = image_ids(files)
    except DataError as error:
        assert "the results of some images have no place" in str(error)
        return
    assert len(set(ids)) == len(ids)
    results = {f"{name}{suffix}" for name in ids for suffix in SUFFIXES}
    assert not any(result.startswith(f"{name}{suffix}/") for result in results for name in ids for suffix in SUFFIXES)


def test_the_ending_stays_where_a_folder_is_called_like_the_mask() -> None:
    assert image_ids(["007.jpg", "007.png/1.jpg", "008.jpg"]) == ["007.jpg", "007.png/1", "008"]
    with pytest.raises(DataError, match="007"):
        image_ids(["007.jpg", "007.png/1.jpg", "007.jpg.png/1.jpg"])


def test_names_that_one_file_system_takes_for_one_are_warned_of() -> None:
    assert clashes(["a", "b"]) == []
    (note,) = clashes(["A", "a", "b", "e\u0301", "\u00e9"])
    assert "2 groups of names" in note
    assert "A and a" in note
