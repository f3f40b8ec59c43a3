"""Masks and model together, against the mask alone, the model alone, and odds by hand; probabilities from scores."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ktse.refinement.cutting import cut
from ktse.segmentation.fusion import fuse, probabilities_of


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


@pytest.mark.parametrize("threshold", [0.1, 0.37, 0.8])
def test_of_one_class_the_probability_is_the_logistic_of_two_logits(threshold: float) -> None:
    scores = np.linspace(0.01, 0.99, 50)
    logit = np.log(scores / (1 - scores)) - np.log(threshold / (1 - threshold))
    found = probabilities_of(torch.from_numpy(scores).view(1, 5, 10), threshold)
    np.testing.assert_allclose(found[1].flatten(), 1 / (1 + np.exp(-logit)), atol=1e-6)
    np.testing.assert_allclose(found.sum(dim=0), 1, atol=1e-6)
    exactly = probabilities_of(torch.full((1, 1, 1), threshold), threshold)
    np.testing.assert_allclose(exactly.flatten(), 0.5, atol=1e-6)


@given(seed=st.integers(0, 10**6), count=st.integers(0, 4), threshold=st.floats(0.02, 0.98))
def test_the_likeliest_label_is_the_hard_one(seed: int, count: int, threshold: float) -> None:
    scores = np.random.default_rng(seed).integers(0, 256, (count, 6, 7)) / 255
    likeliest = probabilities_of(torch.from_numpy(scores), threshold).argmax(dim=0).numpy()
    hard = cut(np.arange(count), scores, threshold, 5)
    close = np.abs(scores - threshold).min(axis=0, initial=1) < 1e-6
    assert ((likeliest == hard) | close).all()


def test_stored_certainty_is_nearly_certain_but_not_infinite() -> None:
    found = probabilities_of(torch.tensor([0.0, 1.0]).view(1, 1, 2), 0.3)
    assert found.isfinite().all()
    assert found[0, 0, 0] > 0.99 and found[1, 0, 1] > 0.99


def test_without_a_class_everything_is_background() -> None:
    assert torch.equal(probabilities_of(torch.zeros(0, 3, 4), 0.3), torch.ones(1, 3, 4))
