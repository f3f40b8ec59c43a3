"""Hugging Face datasets saved to disk; without the package, a message that names it."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fakes import TAGS, draw
from ktse.checking.check import check_images
from ktse.data.open import open_data
from ktse.errors import DataError
from ktse.recipe import DataRecipe

NAMES = ["cat", "dog", "person"]


@pytest.fixture
def datasets() -> Any:
    return pytest.importorskip("datasets", reason='needs the extra datasets: pip install "ktse[datasets]"')


def test_without_the_package_a_message_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    (tmp_path / "dataset_info.json").write_text("{}")
    with pytest.raises(DataError, match=r"pip install 'ktse\[datasets\]'"):
        open_data(DataRecipe(images=str(tmp_path)))


@pytest.mark.parametrize("kind", ["labels", "texts", "splits"])
def test_a_saved_dataset_is_read(tmp_path: Path, kind: str, datasets: Any) -> None:
    numbers = [[NAMES.index(tag) for tag in tags] for tags in TAGS]
    label = {
        "texts": datasets.Value("string"), "labels": datasets.Sequence(datasets.ClassLabel(names=NAMES)),
        "splits": datasets.Sequence(datasets.ClassLabel(names=NAMES)),
    }[kind]  # fmt: skip
    chosen = [index for index, tags in enumerate(TAGS) if kind != "texts" or len(tags) == 1]
    content = {
        "image": [draw(TAGS[index], index)[0] for index in chosen],
        "label": [TAGS[index][0] if kind == "texts" else numbers[index] for index in chosen],
    }
    features = datasets.Features({"image": datasets.Image(), "label": label})
    saved = datasets.Dataset.from_dict(content, features=features)
    if kind == "splits":
        saved = datasets.DatasetDict({"train": saved, "validation": saved.select([0, 1]), "test": saved.select([2])})
    saved.save_to_disk(str(tmp_path / "saved"))
    data = open_data(DataRecipe(images=str(tmp_path / "saved"), validation=0))
    assert data.classes == ("cat", "dog", "person")
    assert [{data.classes[k] for k in np.flatnonzero(row)} for row in data.tags[: len(chosen)]] == [
        set(TAGS[index]) for index in chosen
    ]
    assert data.validation.sum() == (2 if kind == "splits" else 0)
    assert np.array_equal(np.asarray(data.read(1)), np.asarray(draw(TAGS[chosen[1]], chosen[1])[0]))
    checked = check_images(data)
    assert checked.errors == []
    assert len(checked.duplicates) == (2 if kind == "splits" else 0)
    assert data.fingerprint() == open_data(DataRecipe(images=str(tmp_path / "saved"), validation=0)).fingerprint()


def save(datasets: Any, folder: Path, cells: list[Any], feature: Any, image: Any = None) -> DataRecipe:
    """A dataset of two images and these cells of the column label."""
    images = [draw(("dog",), number)[0] for number in range(len(cells))] if image is None else [image] * len(cells)
    kind = datasets.Image() if image is None else datasets.Value("string")
    features = datasets.Features({"image": kind, "label": feature})
    saved = datasets.Dataset.from_dict({"image": images, "label": cells}, features=features)
    saved.save_to_disk(str(folder / "saved"))
    return DataRecipe(images=str(folder / "saved"), image_column="" if image is None else "image")


@pytest.mark.parametrize(
    ("cells", "row"),
    [
        (lambda d: ([0, -1], d.ClassLabel(names=NAMES)), "row 1: label is -1"),  # not the last class
        (lambda d: ([[0, 1, 1], [1, 0, 0]], d.Sequence(d.Value("int64"))), r"row 0: label is \[0, 1, 1\]"),
        (lambda d: ([0.5, 1.5], d.Value("float32")), "row 0: label is 0.5"),
        (lambda d: ([{"a": "dog"}] * 2, {"a": d.Value("string")}), "row 0: label is "),
        (lambda d: ([[["dog"]]] * 2, d.Sequence(d.Sequence(d.Value("string")))), "row 0: label is "),
    ],
)
def test_what_is_no_tag_is_named_with_its_row(tmp_path: Path, datasets: Any, cells: Any, row: str) -> None:
    recipe = save(datasets, tmp_path, *cells(datasets))
    with pytest.raises(DataError, match=row):
        open_data(recipe)


def test_labels_mean_what_their_own_split_says(tmp_path: Path, datasets: Any) -> None:
    parts = {}
    for name, names in (("train", NAMES), ("validation", ["dog", "bird"])):
        features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=names)})
        content = {"image": [draw(("dog",), 0)[0]] * 2, "label": [0, 1]}
        parts[name] = datasets.Dataset.from_dict(content, features=features)
    datasets.DatasetDict(parts).save_to_disk(str(tmp_path / "saved"))
    data = open_data(DataRecipe(images=str(tmp_path / "saved")))
    assert data.classes == (*NAMES, "bird")
    assert [data.classes[row.argmax()] for row in data.tags] == ["cat", "dog", "dog", "bird"]


def test_rows_without_an_image_are_unreadable_images(tmp_path: Path, datasets: Any) -> None:
    data = open_data(save(datasets, tmp_path, ["dog", " cat "], datasets.Value("string"), image=str(tmp_path / "no")))
    assert data.classes == ("cat", "dog")
    assert check_images(data).unreadable == ["train/0000000", "train/0000001"]
    features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("string")})
    content = {"image": [None, {"bytes": b"no image", "path": None}], "label": ["dog", "cat"]}
    datasets.Dataset.from_dict(content, features=features).save_to_disk(str(tmp_path / "empty"))
    checked = check_images(open_data(DataRecipe(images=str(tmp_path / "empty"))))
    assert checked.errors[0] == "train/0000000 has no image in the column 'image'"
    assert checked.errors[1].startswith("train/0000001 cannot be read as an image: Unidentified")


def test_a_column_without_images_is_a_message(tmp_path: Path, datasets: Any) -> None:
    features = datasets.Features({"image": datasets.Value("int64"), "label": datasets.Value("string")})
    content = {"image": [1, 2], "label": ["dog", "cat"]}
    datasets.Dataset.from_dict(content, features=features).save_to_disk(str(tmp_path / "saved"))
    with pytest.raises(DataError, match=r"the column of images in .* is not clear"):
        open_data(DataRecipe(images=str(tmp_path / "saved")))
    with pytest.raises(DataError, match=r"the column 'image' of .* holds no images"):
        open_data(DataRecipe(images=str(tmp_path / "saved"), image_column="image"))


def save_columns(datasets: Any, folder: Path, columns: dict[str, list[Any]], kinds: dict[str, Any]) -> DataRecipe:
    """A dataset of as many images as these columns are long, with an odd name for their column."""
    count = len(next(iter(columns.values())))
    content = {"photo": [draw(("dog",), number)[0] for number in range(count)], **columns}
    features = datasets.Features({"photo": datasets.Image(), **kinds})
    datasets.Dataset.from_dict(content, features=features).save_to_disk(str(folder / "saved"))
    return DataRecipe(images=str(folder / "saved"), validation=0)


def rows(recipe: DataRecipe, **changes: str) -> list[set[str]]:
    data = open_data(dataclasses.replace(recipe, **changes))  # type: ignore[arg-type]
    return [{data.classes[key] for key in np.flatnonzero(row)} for row in data.tags]


@pytest.mark.parametrize(
    ("cells", "separator"),
    [
        (["hot dog,ball", "ball", "", None], ""), (["hot dog;ball", "ball", None, ""], ""),
        (["hot dog/ball", "ball", "", " "], "/"), (["hot dog\tball", "ball", "", "\t"], "\t"),
        (["hot dog\nball", "ball", "", ""], ""), (["['hot dog', 'ball']", "ball", "[]", None], ""),
    ],
)  # fmt: skip
def test_texts_are_split_like_the_cells_of_a_table(
    tmp_path: Path, datasets: Any, cells: list[Any], separator: str
) -> None:
    recipe = save_columns(datasets, tmp_path, {"tags": cells}, {"tags": datasets.Value("string")})
    assert rows(recipe, separator=separator) == [{"hot dog", "ball"}, {"ball"}, set(), set()]


def test_several_columns_of_zero_and_one_are_classes(tmp_path: Path, datasets: Any) -> None:
    whole, text = datasets.Value("int64"), datasets.Value("string")
    columns = {"dog": [1, 0, None], " cat": [0.0, 1.0, 0.0], "ball": [True, False, False]}
    kinds = {"dog": whole, " cat": datasets.Value("float32"), "ball": datasets.Value("bool")}
    recipe = save_columns(datasets, tmp_path / "alone", columns, kinds)
    assert rows(recipe) == [{"dog", "ball"}, {"cat"}, set()]
    recipe = save_columns(datasets, tmp_path / "more", columns | {"where": ["a", "b", "c"]}, kinds | {"where": text})
    assert rows(recipe, tag_column="dog, ball") == [{"dog", "ball"}, set(), set()]
    with pytest.raises(DataError, match=r"the column of tags(.|\n)*--data\.tag_column, or several, joined by commas"):
        rows(recipe)
    with pytest.raises(DataError, match="row 0: where is 'a', but must be 0 or 1"):
        rows(recipe, tag_column="dog,where")
    with pytest.raises(DataError, match="has no column 'cow'"):
        rows(recipe, tag_column="dog,cow")


def test_labels_may_be_missing(tmp_path: Path, datasets: Any) -> None:
    label = datasets.ClassLabel(names=NAMES)
    recipe = save_columns(datasets, tmp_path / "one", {"label": [0, None, 2]}, {"label": label})
    assert rows(recipe) == [{"cat"}, set(), {"person"}]
    columns = {"label": [[0, None], None, [2, 1]]}
    recipe = save_columns(datasets, tmp_path / "many", columns, {"label": datasets.Sequence(label)})
    assert rows(recipe) == [{"cat"}, set(), {"dog", "person"}]
    assert rows(recipe, no_tag="cat") == [set(), set(), {"dog", "person"}]
