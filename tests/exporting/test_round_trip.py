"""What an export has written is read back equal, whatever the mask."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from drawn_runs import CLASSES, SIZE, drawn_run, undone
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from ktse.data.masks import open_corrections
from ktse.exporting.masks import FORMATS, export_masks

FILES = ("a.jpg", "deep/b c.jpg", "train/images/1.v2.jpg", "train/images/more/2.jpg", "images/images/3.png")


@pytest.mark.parametrize("form", FORMATS)
def test_an_export_comes_back_equal(tmp_path: Path, form: str) -> None:
    run, data, labels = drawn_run(tmp_path, FILES)
    export_masks(run, data, form, tmp_path / "out")
    found = open_corrections(tmp_path / "out", data)
    assert set(found.paths) == set(data.ids)
    for name, label in zip(data.ids, labels, strict=True):
        np.testing.assert_array_equal(found.read(name), label if form == "voc" else undone(label))


@given(arrays.arrays(np.uint8, SIZE, elements=st.integers(0, len(CLASSES))))
@settings(max_examples=25, deadline=None)
def test_any_mask_comes_back_from_every_form(label: np.ndarray) -> None:
    label[0, 0] = 1  # the image is tagged with every class, and must show one
    for form in FORMATS:
        with TemporaryDirectory() as folder:
            run, data, _ = drawn_run(Path(folder), ("a.jpg",), labels=[label])
            export_masks(run, data, form, Path(folder) / "out")
            np.testing.assert_array_equal(open_corrections(Path(folder) / "out", data).read("a"), label)
