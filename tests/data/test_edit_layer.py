"""The edit layer: what is there after whatever happened."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ktse.data.edit_layer import EditLayer, Entry, OutdatedError
from ktse.errors import RunError
from ktse.files import write_label_map

ONE, TWO = (np.full((4, 6), value, dtype=np.uint8) for value in (1, 2))
IDS = ("a", "b/c", "d")


def test_an_edit_is_there_after_a_restart(tmp_path: Path) -> None:
    edits = EditLayer(tmp_path, IDS)
    assert edits.entry("a") == Entry()
    assert edits.label("a") is None
    assert edits.save_draft("a", ONE, 0, threshold=0.3) == Entry("open", 1, True, 0.3)
    assert edits.accept("b/c", TWO, 0, same=False) == Entry("corrected", 1)
    edits.accept("d", TWO, 0, same=True)
    edits.save_draft("d", ONE, 1)
    again = EditLayer(tmp_path, IDS)
    assert [again.entry(name) for name in IDS] == [edits.entry(name) for name in IDS]
    for name, label in (("a", ONE), ("b/c", TWO), ("d", ONE)):
        np.testing.assert_array_equal(again.label(name), label)
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.png")) == [
        ".drafts/a.png", ".drafts/d.png", "b/c.png", "d.png",
    ]  # fmt: skip


def test_opening_writes_nothing(tmp_path: Path) -> None:
    EditLayer(tmp_path / "corrections", IDS)
    assert not list(tmp_path.iterdir())


def test_a_change_names_the_revision_that_it_starts_from(tmp_path: Path) -> None:
    edits = EditLayer(tmp_path, IDS)
    edits.save_draft("a", ONE, 0)
    for change in (
        lambda: edits.save_draft("a", TWO, 0),
        lambda: edits.accept("a", TWO, 2, same=False),
        lambda: edits.reject("a", 0),
    ):
        with pytest.raises(OutdatedError) as error:
            change()
        assert error.value.revision == 1
    np.testing.assert_array_equal(edits.label("a"), ONE)


def test_a_journal_that_a_kill_cut_short_goes_on(tmp_path: Path) -> None:
    edits = EditLayer(tmp_path, IDS)
    edits.save_draft("a", ONE, 0)
    edits.accept("b/c", ONE, 0, same=False)
    journal = tmp_path / "journal.jsonl"
    journal.write_bytes(journal.read_bytes()[:-9])
    again = EditLayer(tmp_path, IDS)
    assert again.entry("a").revision == 1
    assert again.entry("b/c") == Entry("corrected")  # the file is there, whatever the journal says
    again.save_draft("a", TWO, 1)
    assert EditLayer(tmp_path, IDS).entry("a").revision == 2


def test_the_files_say_what_is_there(tmp_path: Path) -> None:
    edits = EditLayer(tmp_path, IDS)
    edits.accept("a", ONE, 0, same=True)
    (tmp_path / "a.png").unlink()
    write_label_map(tmp_path / "d.png", ONE)  # by another tool
    write_label_map(tmp_path / "of another run.png", ONE)
    again = EditLayer(tmp_path, IDS)
    assert again.entry("a") == Entry("open", 1)
    assert again.entry("d") == Entry("corrected")


def test_an_edit_survives_that_it_is_rejected(tmp_path: Path) -> None:
    edits = EditLayer(tmp_path, IDS)
    edits.accept("a", TWO, 0, same=False)
    edits.reject("a", 1)
    edits.accept("d", TWO, 0, same=True)
    edits.reject("d", 1)
    again = EditLayer(tmp_path, IDS)
    assert again.entry("a") == Entry("rejected", 2, draft=True)
    assert again.entry("d") == Entry("rejected", 2)  # nothing was drawn
    assert not list(tmp_path.glob("*.png"))
    np.testing.assert_array_equal(again.label("a"), TWO)


def test_a_link_is_refused(tmp_path: Path) -> None:
    outside = tmp_path / "outside.png"
    write_label_map(outside, ONE)
    (tmp_path / "corrections").mkdir()
    (tmp_path / "corrections" / "a.png").symlink_to(outside)
    edits = EditLayer(tmp_path / "corrections", IDS)
    with pytest.raises(RunError, match="link out of"):
        edits.label("a")
    with pytest.raises(RunError, match="link out of"):
        edits.accept("a", TWO, edits.entry("a").revision, same=False)
