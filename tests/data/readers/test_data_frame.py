"""Tables of tags in memory become files that say the same, whatever is in their cells."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fakes import TAGS, photos
from ktse.data.open import open_data
from ktse.data.readers.data_frame import frame_text, is_frame, tags_as_file
from ktse.errors import DataError
from ktse.recipe import DataRecipe

pandas = pytest.importorskip("pandas")
NAMES = [f"{number:03d}.jpg" for number in range(len(TAGS))]
CLASSES = sorted({tag for tags in TAGS for tag in tags})


def bits(kind: Any) -> dict[str, list[Any]]:
    return {name: [kind(name in tags) for tags in TAGS] for name in CLASSES}


FRAMES = {
    "text": pandas.DataFrame({"image": NAMES, "tags": [";".join(tags) for tags in TAGS]}),
    "none": pandas.DataFrame({"image": NAMES, "tags": [";".join(tags) or None for tags in TAGS]}),
    "lists": pandas.DataFrame({"file": NAMES, "labels": [list(tags) for tags in TAGS]}),
    "sets": pandas.DataFrame({"file": NAMES, "labels": [set(tags) for tags in TAGS]}),
    "arrays": pandas.DataFrame({"file": NAMES, "labels": [np.array(tags) for tags in TAGS]}),
    "whole": pandas.DataFrame({"image": NAMES, **bits(int)}),
    "bool": pandas.DataFrame({"image": NAMES, **bits(bool)}),
    "float": pandas.DataFrame({"image": NAMES, **bits(float)}),
    "index": pandas.DataFrame(bits(int), index=NAMES),
    "rows of another order": pandas.DataFrame({"image": NAMES, **bits(int)}).sort_values("image", ascending=False),
}


@pytest.mark.parametrize("name", FRAMES)
def test_every_form_of_a_table_says_what_its_images_show(name: str, tmp_path: Path) -> None:
    photos(tmp_path / "images")
    assert is_frame(FRAMES[name])
    with tags_as_file(FRAMES[name], tmp_path / "run" / "tags.csv") as path:
        data = open_data(DataRecipe(images=str(tmp_path / "images"), tags=str(path)))
    assert {i: {data.classes[k] for k in np.flatnonzero(row)} for i, row in zip(data.ids, data.tags, strict=True)} == {
        Path(name).stem: set(tags) for name, tags in zip(NAMES, TAGS, strict=True)
    }
    assert (tmp_path / "run" / "tags.csv").is_file()


def test_tags_in_lists_may_hold_anything(tmp_path: Path) -> None:
    photos(tmp_path / "images", NAMES)
    strange = ["red, big", "it's", 'a "b"', "x;y", "p|q", "größe"]
    frame = pandas.DataFrame({"image": NAMES, "tags": [[strange[n % 6], strange[(n + 1) % 6]] for n in range(10)]})
    with tags_as_file(frame, tmp_path / "tags.csv") as path:
        assert set(open_data(DataRecipe(images=str(tmp_path / "images"), tags=str(path))).classes) == set(strange)


def test_a_table_is_quoted_by_the_rules_of_csv_and_of_spreadsheets(tmp_path: Path) -> None:
    images = ["a,b.jpg", 'a"b.jpg', "=1+1.jpg", "'q.jpg", "'=z.jpg", "-x.jpg", "plain.jpg"]
    tags = ["=cmd()", "a,b", """both "this" and 'that'""", "back\\slash", "+p", "@x", "'=y"]
    photos(tmp_path / "images", images)
    frames = [
        pandas.DataFrame({"image": images, "tags": [[tags[n], tags[(n + 1) % 7]] for n in range(7)]}),
        pandas.DataFrame(
            {"image": images, **{tag: [n in (k, (k - 1) % 7) for n in range(7)] for k, tag in enumerate(tags)}}
        ),
    ]
    for number, frame in enumerate(frames):
        with tags_as_file(frame, tmp_path / f"{number}.csv") as path:
            data = open_data(DataRecipe(images=str(tmp_path / "images"), tags=str(path)))
        said = {
            file: {data.classes[k] for k in np.flatnonzero(row)}
            for file, row in zip(data.files, data.tags, strict=True)
        }
        assert said == {image: {tags[n], tags[(n + 1) % 7]} for n, image in enumerate(images)}
        cells = [cell for row in csv.reader(path.read_text().splitlines()) for cell in row]
        assert not any(cell.startswith(("=", "+", "-", "@")) for cell in cells)


def test_a_file_that_says_the_same_is_left_alone_and_a_failure_undoes_everything(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "run" / "tags.csv"
    with pytest.raises(DataError, match="the table made of the table is wrong"), tags_as_file(FRAMES["text"], path):
        raise DataError(f"the table {path} is wrong")
    assert not list(tmp_path.iterdir())
    with tags_as_file(FRAMES["text"], path):
        pass
    written = path.stat().st_mtime_ns, path.read_bytes()
    with tags_as_file(FRAMES["text"], path):
        pass
    assert (path.stat().st_mtime_ns, path.read_bytes()) == written
    with pytest.raises(ZeroDivisionError), tags_as_file(FRAMES["whole"], path):
        raise ZeroDivisionError
    assert path.read_bytes() == written[1]


def test_a_path_is_handed_through(tmp_path: Path) -> None:
    for given in (None, "tags.csv", Path("tags.csv")):
        with tags_as_file(given, tmp_path / "tags.csv") as path:
            assert path == given
    assert not list(tmp_path.iterdir())


def test_two_columns_of_one_name_are_refused() -> None:
    frame = pandas.DataFrame([["a.jpg", "x", "y"]], columns=["image", "tags", "tags"])
    with pytest.raises(DataError, match="two columns 'tags'"):
        frame_text(frame)
