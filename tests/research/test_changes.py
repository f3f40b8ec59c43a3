"""How changes are averaged, against values worked out by hand."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest

from ktse.research.changes import estimate, relative_changes, summarise
from ktse.research.couples import Activations

NAN = float("nan")
# Class 0 has the mean 2 alone, class 1 has 10, class 2 nothing; columns: alone, same, other, blank, itself.
VALUES = np.array(
    [
        [1.0, 0.5, 1.0, 1.0, 1.0],
        [3.0, 2.0, NAN, 3.0, 3.0],
        [10.0, 9.0, 12.0, 10.0, 10.0],
        [0.0, 1.0, 0.0, 0.0, 0.0],
    ]
)
KEYS = np.array([0, 0, 1, 2])


def test_changes_are_relative_to_the_class() -> None:
    found = relative_changes(VALUES, KEYS)
    expected = [[-0.25, 0, 0, 0], [-0.5, NAN, 0, 0], [-0.1, 0.2, 0, 0], [NAN] * 4]
    np.testing.assert_allclose(found, expected)
    # so that their mean over a class is the change of its mean: from 2 to 1.25
    assert found[:2, 0].mean() == pytest.approx(1.25 / 2 - 1)


def test_an_estimate_has_the_standard_error_of_the_mean() -> None:
    found = estimate(np.array([-0.1, -0.3, NAN, -0.2]))
    assert found == {"change": -20.0, "error": round(100 * sqrt(0.02 / 2) / sqrt(3), 3), "count": 3}
    assert estimate(np.array([NAN])) == {"change": None, "error": None, "count": 0}
    assert estimate(np.array([0.5])) == {"change": 50.0, "error": None, "count": 1}


def test_a_summary_compares_conditions_on_the_same_anchors() -> None:
    lines = np.repeat(VALUES[:, :, None], 2, axis=2)
    lines[:, 1, 1] = lines[:, 0, 1]  # nothing happens in the line at the seam
    found = summarise(Activations(VALUES, VALUES, lines), KEYS, ("a", "b", "c", "d"))
    assert found["conditions"]["same"]["activation"]["change"] == pytest.approx(100 * (-0.25 - 0.5 - 0.1) / 3, abs=1e-3)
    assert found["conditions"]["same"]["activation"]["weaker"] == 100.0
    # the second anchor has no image without common tags: -0.25 - 0 and -0.1 - 0.2
    assert found["same_minus"]["other"] == {"change": -27.5, "error": 2.5, "count": 2}
    assert set(found["by_class"]) == {"a", "b", "c"}
    assert found["by_class"]["c"]["same"]["change"] is None
    # every class alike: alone 1/2 + 3/2 + 10/10 = 3, stitched 0.5/2 + 2/2 + 9/10 = 2.15
    assert found["by_distance"]["same"] == [0.0, pytest.approx(100 * (2.15 / 3 - 1), abs=1e-3)]
