"""Masks and model together, against the mask alone, the model alone, and odds by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ktse.refinement.cutting import cut
from ktse.segmentation.fusion import fuse


def witnesses(seed: int, tags: int, classes: int = 5) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    keys = np.sort(generator.permutation(classes)[:tags]).astype(np.int32)
    probabilities = generator.dirichlet(np.ones(classes + 1), (6, 7)).transpose(2, 0, 1).astype(np.float32)
    return keys, generator.uniform(0.05, 0.95, (tags, 6, 7)).astype(np.float32), probabilities


@given(seed=st.integers(0, 10**6), tags=st.integers(0, 5), threshold=st.floats(0.1, 0.9))
def test_without_the_model_it_is_the_mask(seed: int, tags: int, threshold: float) -> None:
    keys, scores, probabilities = witnesses(seed, tags)
    clear = np.abs(scores - threshold).min(axis=0, initial=1) > 1e-4
    found = fuse(keys, scores, threshold, probabilities, 0.0)
    assert np.array_equal(found[clear], cut(keys, scores, threshold, 5)[clear])


@given(seed=st.integers(0, 10**6), tags=st.integers(0, 5), weight=st.floats(0, 1))
def test_nothing_is_there_that_is_not_tagged(seed: int, tags: int, weight: float) -> None:
    keys, scores, probabilities = witnesses(seed, tags)
    assert set(np.unique(fuse(keys, scores, 0.4, probabilities, weight))) <= {0, *(keys + 1)}


def test_without_the_mask_it_is_the_models_likeliest_tag() -> None:
    keys, scores, probabilities = witnesses(3, 3)
    allowed = np.full(6, -1.0)
    allowed[[0, *(keys + 1)]] = 0
    expected = (probabilities + allowed[:, None, None]).argmax(axis=0)
    assert np.array_equal(fuse(keys, scores, 0.4, probabilities, 1.0), expected)


@pytest.mark.parametrize(("score", "model", "weight", "label"), [
    (0.6, 0.3, 0.5, 0),  # odds of the mask 1.5 against 1, of the model 3 against 7: 1.5 * 3/7 < 1
    (0.8, 0.3, 0.5, 3),  # 4 * 3/7 > 1
    (0.6, 0.3, 0.3, 3),  # 0.7 ln 1.5 = 0.284 > 0.3 ln 7/3 = 0.254
    (0.6, 0.3, 0.4, 0),  # 0.6 ln 1.5 = 0.243 < 0.4 ln 7/3 = 0.339
])  # fmt: skip
def test_odds_by_hand(score: float, model: float, weight: float, label: int) -> None:
    probabilities = np.zeros((4, 1, 1), dtype=np.float32)
    probabilities[0], probabilities[3] = 1 - model, model
    found = fuse(np.array([2]), np.full((1, 1, 1), score, np.float32), 0.5, probabilities, weight)
    assert found.tolist() == [[label]]
