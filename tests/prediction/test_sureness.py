"""Confidence against its definition, computed on the whole image at once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ktse.prediction.confidence import BINS, Confidence


def of(label: np.ndarray, probability: np.ndarray, classes: int, rows: int = 7) -> float:
    confidence = Confidence(classes)
    for top in range(0, len(label), rows):
        confidence.add(label[top : top + rows], probability[top : top + rows])
    return confidence.value


@given(seed=st.integers(0, 10**6), classes=st.integers(1, 300), rows=st.integers(1, 40))
def test_each_label_that_was_found_counts_alike(seed: int, classes: int, rows: int) -> None:
    random = np.random.default_rng(seed)
    label = random.integers(0, min(classes, 5) + 1, (30, 40)).astype(np.uint16)
    label[0, 0] = min(classes, 1)
    probability = random.random((30, 40)).astype(np.float32)
    found = [number for number in range(1, classes + 1) if (label == number).sum() >= 0.002 * label.size]
    expected = np.mean([probability[label == number].mean(dtype=np.float64) for number in found])
    assert of(label, probability, classes, rows) == pytest.approx(float(expected), abs=1e-6)


@pytest.mark.parametrize("specks", [0, 1])
def test_where_nothing_was_found_the_least_sure_pixels_say_how_sure_that_is(specks: int) -> None:
    random = np.random.default_rng(3)
    label, probability = np.zeros((40, 50), dtype=np.uint8), 0.5 + random.random((40, 50)) / 2
    label[0, :specks] = 1
    least = np.sort(probability, axis=None)[:20].mean()
    assert of(label, probability, 3) == pytest.approx(float(least), abs=1 / BINS)
    assert of(label, np.ones((40, 50)), 3) == pytest.approx(1.0)


def test_background_does_not_drown_an_object_in_doubt() -> None:
    label, probability = np.zeros((40, 50), dtype=np.uint8), np.full((40, 50), 0.99)
    label[:5, :5], probability[:5, :5] = 2, 0.4
    assert of(label, probability, 3) == pytest.approx(0.4)


def test_one_pixel() -> None:
    assert of(np.array([[0]]), np.array([[0.7]]), 1) == pytest.approx(0.7)
    assert of(np.array([[1]]), np.array([[0.7]]), 1) == pytest.approx(0.7)
