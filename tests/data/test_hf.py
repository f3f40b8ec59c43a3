"""Hugging Face datasets saved to disk; without the package, a message that names it."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from fakes import TAGS, draw
from ktse.data.check import check_images
from ktse.data.forms import open_data
from ktse.errors import DataError
from ktse.recipe import DataRecipe

INSTALLED = importlib.util.find_spec("datasets") is not None


@pytest.mark.skipif(INSTALLED, reason="datasets is installed")
def test_without_the_package_a_message_names_it(tmp_path: Path) -> None:
    (tmp_path / "dataset_info.json").write_text("{}")
    with pytest.raises(DataError, match="pip install datasets"):
        open_data(DataRecipe(images=str(tmp_path)))


@pytest.mark.skipif(not INSTALLED, reason="needs datasets")
@pytest.mark.parametrize("kind", ["labels", "texts", "splits"])
def test_a_saved_dataset_is_read(tmp_path: Path, kind: str) -> None:
    import datasets

    names = ["cat", "dog", "person"]
    numbers = [[names.index(tag) for tag in tags] for tags in TAGS]
    label = {
        "texts": datasets.Value("string"), "labels": datasets.Sequence(datasets.ClassLabel(names=names)),
        "splits": datasets.Sequence(datasets.ClassLabel(names=names)),
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
    data = open_data(DataRecipe(images=str(tmp_path / "saved")))
    assert data.classes == ("cat", "dog", "person")
    assert [{data.classes[k] for k in np.flatnonzero(row)} for row in data.tags[: len(chosen)]] == [
        set(TAGS[index]) for index in chosen
    ]
    assert data.validation.sum() == (2 if kind == "splits" else 0)
    assert np.array_equal(np.asarray(data.read(1)), np.asarray(draw(TAGS[chosen[1]], chosen[1])[0]))
    checked = check_images(data)
    assert checked.errors == []
    assert len(checked.duplicates) == (2 if kind == "splits" else 0)
    assert data.fingerprint() == open_data(DataRecipe(images=str(tmp_path / "saved"))).fingerprint()
