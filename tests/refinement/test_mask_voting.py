"""Prompts from scores, and the union of candidates that a seed votes for."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from ktse.refinement.mask_voting import boxes, peaks, vote


def test_peaks_are_the_strong_places_apart_from_each_other() -> None:
    scores = torch.zeros(3, 32, 40)
    scores[0, 5, 6], scores[0, 5, 7], scores[0, 25, 30], scores[0, 31, 1] = 1.0, 0.9, 0.6, 0.3
    scores[1, 10:20, 10:20] = 0.8  # a plateau
    found = peaks(scores, 4).tolist()
    assert found[:2] == [[5, 6], [25, 30]]
    plateau = found[2:]
    assert plateau[0] == [10, 10]
    assert 1 < len(plateau) <= 4
    for first, second in itertools.combinations(plateau, 2):
        assert max(abs(first[0] - second[0]), abs(first[1] - second[1])) > 5
    assert peaks(scores[2:], 4).shape == (0, 2)
    assert peaks(scores[:1], 1).tolist() == [[5, 6]]


def test_boxes_hold_the_strong_pixels() -> None:
    scores = torch.zeros(2, 12, 16)
    scores[0, 3:7, 2:9] = 0.4
    scores[0, 0, 0] = 0.1
    assert boxes(scores).tolist() == [[3, 2, 7, 9]]


def soft_iou(union: np.ndarray, scores: np.ndarray) -> float:
    return float(np.minimum(union, scores).sum() / np.maximum(union, scores).sum())


def test_the_vote_is_greedy_in_the_soft_iou() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        scores, candidates = rng.random((2, 6, 7)), rng.random((5, 6, 7)) > 0.6
        found = vote(torch.from_numpy(scores), torch.from_numpy(candidates)).numpy()
        for plane, result in zip(scores, found, strict=True):
            union, overlap = np.zeros_like(candidates[0]), 0.0
            while True:
                values = [soft_iou(union | one, plane) for one in candidates]
                if max(values) <= overlap + 1e-12:
                    break
                union, overlap = union | candidates[int(np.argmax(values))], max(values)
            levels = [plane >= value for value in np.unique(plane)]
            share = (overlap / max(soft_iou(level, plane) for level in levels)) ** 2
            assert 0 < share <= 1
            assert result == pytest.approx(share * union + (1 - share) * plane)
            assert 0 <= result.min() <= result.max() <= 1


def test_two_objects_are_taken_and_what_does_not_fit_is_left() -> None:
    true = np.zeros((20, 20), bool)
    true[2:8, 2:8] = true[12:18, 10:18] = True
    parts = np.zeros((4, 20, 20), bool)
    parts[0, 2:8, 2:8] = parts[1, 12:18, 10:18] = parts[2, :3] = parts[3] = True
    found = vote(torch.from_numpy(true * 0.9)[None], torch.from_numpy(parts))[0].numpy()
    assert found[true].min() == pytest.approx(1) and found[~true].max() == pytest.approx(0, abs=1e-6)
    weak = vote(torch.from_numpy(true * 0.9)[None], torch.from_numpy(parts[2:3]))[0].numpy()
    assert np.abs(weak - true * 0.9).max() < 0.15


def test_nothing_to_vote_for_or_with() -> None:
    scores = torch.rand(2, 5, 6)
    assert torch.equal(vote(scores, torch.zeros((0, 5, 6), dtype=torch.bool)), scores)
    assert vote(torch.zeros(1, 5, 6), torch.ones((1, 5, 6), dtype=torch.bool)).sum() == 0
