"""Masks from another tool become corrections of a run, all or none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import ktse
from ktse.data.edit_layer import EditLayer, Entry
from ktse.data.masks import open_corrections
from ktse.data.open import open_data
from ktse.errors import KtseError
from ktse.files import read_label_map, write_label_map
from ktse.run_folder import RunFolder
from ktse.runtime.lock import locked
from reviewed_run import NAMES, SIZE

DOG, BALL = (np.full(SIZE[::-1], label, np.uint8) for label in (1, 2))


@pytest.fixture
def masks(reviewed: RunFolder, tmp_path: Path) -> Path:
    """The run's own masks of all images, but that of beach/001, which is a ball everywhere."""
    for name in NAMES:
        write_label_map(tmp_path / "masks" / f"{name}.png", reviewed.mask(name))
    write_label_map(tmp_path / "masks" / "beach" / "001.png", BALL)
    return tmp_path / "masks"


def entries(run: RunFolder) -> list[Entry]:
    edits = EditLayer(run.path("corrections"), NAMES)
    return [edits.entry(name) for name in NAMES]


def test_what_was_changed_is_taken(reviewed: RunFolder, masks: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = ktse.import_masks(reviewed.root, masks)
    assert folder == reviewed.path("corrections")
    assert [entry.state for entry in entries(reviewed)] == ["corrected", "open", "open", "open"]
    assert (read_label_map(folder / "beach" / "001.png") == BALL).all()
    said = capsys.readouterr().err
    assert "the same as the masks of the run: 3 masks" in said
    assert "1 mask in" in said
    assert f"--corrections {folder}" in said
    assert set(open_corrections(folder, open_data(reviewed.read_recipe().data)).paths) == {"beach/001"}
    ktse.import_masks(reviewed.root, masks, unchanged=True)
    assert [entry.state for entry in entries(reviewed)] == ["corrected", "accepted", "accepted", "accepted"]


def test_what_is_wrong_is_said_and_nothing_is_written(reviewed: RunFolder, masks: Path) -> None:
    write_label_map(masks / "beach" / "002.png", BALL)  # its tag is dog
    write_label_map(masks / "park" / "003.png", BALL[1:])
    write_label_map(masks / "else.png", BALL)
    with pytest.raises(KtseError) as error:
        ktse.import_masks(reviewed.root, masks)
    for words in ("002.png: a corrected mask of a tagged image shows none", "24x15 pixels", "else.png"):
        assert words in str(error.value)
    assert not reviewed.path("corrections").exists()


def test_a_person_s_work_is_replaced_only_on_demand(reviewed: RunFolder, masks: Path) -> None:
    EditLayer(reviewed.path("corrections"), NAMES).save_draft("beach/001", DOG, 0)
    with pytest.raises(KtseError, match="beach/001: an edit of the page is another one"):
        ktse.import_masks(reviewed.root, masks)
    assert entries(reviewed)[0] == Entry("open", 1, draft=True)
    ktse.import_masks(reviewed.root, masks, replace=True)
    assert entries(reviewed)[0] == Entry("corrected", 2)
    ktse.import_masks(reviewed.root, masks)  # the same again


def test_the_page_must_not_be_open(reviewed: RunFolder, masks: Path) -> None:
    with locked(reviewed.path(".review")), pytest.raises(KtseError, match="is open"):
        ktse.import_masks(reviewed.root, masks)
    assert not reviewed.path("corrections").exists()
