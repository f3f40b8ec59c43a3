"""Facts of masks: what counts as covered, and a model that finds nothing."""

from __future__ import annotations

import numpy as np

from ktse.stages.facts import MaskFacts


def test_undecided_pixels_do_not_count_as_covered() -> None:
    mask = np.zeros((4, 4), dtype=np.uint8)
    mask[0], mask[1:3] = 1, 255
    found = MaskFacts(1)
    found.add(np.array([0]), mask, None)
    assert found.covered == [0.25]
    assert found.areas == [[0.25]]
    assert found.predictions == 0


def test_a_haze_depends_on_the_threshold_and_a_thing_does_not() -> None:
    haze = np.tile(np.arange(0, 201, 10, dtype=np.uint8), (3, 1))  # 0 to 200
    thing = np.where(haze > 100, 200, 0).astype(np.uint8)
    found = MaskFacts(3)
    found.add_scores(np.array([0, 1, 2]), np.stack([haze, thing, thing * 0]), 0.2)  # 51; half way to the peak: 125.5
    assert found.shrinks == [[15 / 8], [1.0], []]


def test_a_prediction_without_any_object_is_still_a_prediction() -> None:
    mask = np.ones((4, 4), dtype=np.uint8)
    found = MaskFacts(1)
    found.add(np.array([0]), mask, np.zeros_like(mask))
    assert found.predictions == 1
    assert found.model[:, 0].tolist() == [0, 16, 0]
