"""Doubtful tags: the closed form is exact, and flipped tags come first."""

from __future__ import annotations

import numpy as np

from ktse.checking.doubtful_tags import PENALTIES, find_doubts, leave_one_out, most_doubtful


def ridge_without(x: np.ndarray, y: np.ndarray, left_out: int, penalty: float) -> float:
    """Ridge regression with a free constant, really trained without one image."""
    rest = np.arange(len(x)) != left_out
    with_one = np.column_stack([x, np.ones(len(x))])
    matrix = with_one[rest].T @ with_one[rest] + penalty * len(x) * np.diag([*np.ones(x.shape[1]), 0.0])
    return float(with_one[left_out] @ np.linalg.solve(matrix, with_one[rest].T @ y[rest]))


def test_leave_one_out_equals_training_without_each_image() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(30, 5)) * 3 + 1
    tags = rng.random((30, 2)) < 1 / (1 + np.exp(-features[:, :2]))
    x = (features - features.mean(axis=0)) / features.std(axis=0)
    found = leave_one_out(features, tags)
    for index in range(tags.shape[1]):
        y = np.where(tags[:, index], 1.0, -1.0)
        candidates = [np.array([ridge_without(x, y, row, penalty) for row in range(30)]) for penalty in PENALTIES]
        expected = min(candidates, key=lambda scores: float(((scores - y) ** 2).mean()))
        np.testing.assert_allclose(found[:, index], expected, atol=1e-9)


def test_flipped_tags_are_ranked_first() -> None:
    rng = np.random.default_rng(1)
    tags = rng.random((600, 3)) < 0.4
    features = tags @ rng.normal(size=(3, 12)) + 0.5 * rng.normal(size=(600, 12))
    flipped = rng.random(tags.shape) < 0.2
    doubts = find_doubts(features, tags ^ flipped)
    first = most_doubtful(doubts)[: flipped.sum()]
    assert flipped[first[:, 0], first[:, 1]].mean() > 0.85
    assert flipped[doubts >= 1].mean() > 0.9


def test_right_tags_are_left_alone() -> None:
    rng = np.random.default_rng(2)
    tags = rng.random((600, 3)) < 0.4
    features = tags @ rng.normal(size=(3, 12)) + 0.2 * rng.normal(size=(600, 12))
    assert (find_doubts(features, tags) >= 1).mean() < 0.01


def test_classes_of_all_or_no_images_are_not_judged_and_more_features_than_images_are_fine() -> None:
    rng = np.random.default_rng(3)
    tags = np.column_stack([np.ones(20, dtype=bool), np.zeros(20, dtype=bool), np.arange(20) < 10])
    doubts = find_doubts(rng.normal(size=(20, 50)).astype(np.float32), tags)
    assert np.isnan(doubts[:, :2]).all()
    assert not np.isnan(doubts[:, 2]).any()
    assert len(most_doubtful(doubts)) == 20
