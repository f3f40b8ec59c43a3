"""Classes are levelled: one threshold cuts each where its own one did."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ktse.files import write_npz
from ktse.run_folder import RunFolder, Scores
from ktse.stages.levels import levelled, levelled_scores, write_levels

INSIDE = st.floats(0.02, 0.98)


@given(INSIDE, st.lists(INSIDE, min_size=1, max_size=4))
def test_one_threshold_cuts_every_class_where_its_own_one_did(threshold: float, own: list[float]) -> None:
    stored = np.tile(np.arange(256, dtype=np.uint8), (len(own), 1))[:, None]
    found = levelled(stored, threshold, np.array(own))
    assert found.shape == stored.shape and found.dtype == np.uint8
    for before, after, value in zip(stored, found, own, strict=True):
        assert (np.diff(after.astype(int)) >= 0).all() and after[0, 0] == 0 and after[0, -1] == 255
        exact = before / 255 * threshold * (1 - value)
        exact = exact / (exact + (1 - before / 255) * value * (1 - threshold))
        clear = np.abs(exact - threshold) > 1 / 255  # what rounding cannot move across
        assert ((after / 255 > threshold) == (before / 255 > value))[clear].all()


def test_equal_thresholds_change_nothing() -> None:
    stored = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    assert (levelled(stored, 0.3, np.array([0.3])) == stored).all()
    assert levelled(stored[:0], 0.3, np.zeros(0)).shape == (0, 16, 16)


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    run = RunFolder(tmp_path)
    scores = np.full((2, 4, 4), 128, np.uint8)
    found = Scores(np.array([2, 0], np.int32), scores, np.zeros((2, 4), np.float32), np.zeros(4, np.float32))
    write_npz(run.scores_path("a"), **found._asdict())
    return run


def test_each_class_has_its_level_by_its_number(run: RunFolder) -> None:
    write_levels(run, 0.5, (0.5, 0.9, 0.8))
    second, first = levelled_scores(run, "a").scores[:, 0, 0]
    assert first == 128
    assert second < 128 * 0.5
    assert (run.scores("a").scores == 128).all()


@pytest.mark.parametrize(("threshold", "own"), [(0.4, (0.4, 0.4, 0.4)), (0.0, (0.2, 0.3, 0.4)), (1.0, (0.2, 0.3, 0.4))])
def test_where_there_is_nothing_to_level_nothing_is_noted(
    run: RunFolder, threshold: float, own: tuple[float, ...]
) -> None:
    write_levels(run, threshold, own)
    assert not run.path("masks", "levels.json").exists()
    assert (levelled_scores(run, "a").scores == 128).all()


def test_levels_are_noted_with_the_threshold(run: RunFolder) -> None:
    write_levels(run, 0.5, (0.5, 0.6))
    noted = json.loads(run.path("masks", "levels.json").read_text())
    assert (noted["threshold"], noted["own"]) == (0.5, [0.5, 0.6])
