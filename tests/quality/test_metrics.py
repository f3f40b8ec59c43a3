"""Every measure against an independent answer: golden numbers, torchmetrics, or a plain loop."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchmetrics.classification import BinaryAveragePrecision, MulticlassJaccardIndex

from ktse.quality.metrics import Confusion, ThresholdSweep, average_precision, intersection_over_union, tag_metrics


@given(seed=st.integers(0, 10**6), classes=st.integers(1, 6))
def test_miou_equals_torchmetrics(seed: int, classes: int) -> None:
    random = np.random.default_rng(seed)
    truth, said = random.integers(0, classes + 1, (2, 3, 9, 11))
    truth[:, 0] = 255
    confusion = Confusion(classes)
    for one, other in zip(truth, said, strict=True):
        confusion.add(one, other)
    oracle = MulticlassJaccardIndex(classes + 1, average="none", ignore_index=255)
    expected = oracle(torch.from_numpy(said), torch.from_numpy(truth)).numpy()
    held = np.isin(np.arange(classes + 1), truth)
    np.testing.assert_allclose(confusion.iou[held], expected[held], atol=1e-6)
    assert np.isnan(confusion.iou[~held]).all()
    assert confusion.miou == pytest.approx(expected[held].mean(), abs=1e-6)
    macro = MulticlassJaccardIndex(classes + 1, average="macro", ignore_index=255)
    there = float(macro(torch.from_numpy(said), torch.from_numpy(truth)))
    assert confusion.miou_said == pytest.approx(there, abs=1e-6)


def test_undecided_pixels_count_as_wrong_for_the_true_class_alone() -> None:
    confusion = Confusion(1)
    confusion.add(np.array([[0, 0, 1, 1]]), np.array([[0, 0, 1, 255]]))
    assert confusion.iou.tolist() == [1.0, 0.5]
    assert confusion.undecided == 0.25


@given(seed=st.integers(0, 10**6))
def test_the_sweep_equals_cutting_at_every_threshold(seed: int) -> None:
    random = np.random.default_rng(seed)
    thresholds = np.array([0.0, 0.2, 0.5, 0.9])
    sweep, singles = ThresholdSweep(3, thresholds), [Confusion(3) for _ in thresholds]
    for keys in ([0, 2], [1], []):
        truth = random.integers(0, 4, (5, 6))
        scores = np.round(random.random((len(keys), 5, 6)), 1)
        sweep.add(truth, np.array(keys, dtype=int), scores)
        for threshold, single in zip(thresholds, singles, strict=True):
            planes = np.zeros((4, 5, 6))
            planes[0] = threshold
            planes[[key + 1 for key in keys]] = scores
            single.add(truth, planes.argmax(axis=0))
    np.testing.assert_array_equal(sweep.counts, np.stack([single.counts for single in singles]))


def test_the_sweep_equals_the_published_evaluation(golden: Callable[[str], dict[str, np.ndarray]]) -> None:
    stored = golden("j_evaluation")
    sweep = ThresholdSweep(20, stored["thresholds_f64"])
    for index in range(6):
        order = stored[f"classes_{index}"].argsort()  # of equally strong classes the first one wins
        keys, scores = stored[f"classes_{index}"][order], stored[f"cam_{index}"][order]
        sweep.add(stored[f"gt_{index}"], keys, scores)
    np.testing.assert_array_equal(sweep.counts, stored["confusion"])
    iou = np.nan_to_num(intersection_over_union(sweep.counts))
    held = stored["confusion"].sum(axis=2) > 0
    np.testing.assert_allclose(iou[held], stored["iou_f64"][held], atol=1e-9)
    np.testing.assert_allclose(sweep.miou, stored["present_classes_miou_f64"], atol=1e-9)


@given(seed=st.integers(0, 10**6), count=st.integers(1, 40))
def test_average_precision_equals_torchmetrics(seed: int, count: int) -> None:
    random = np.random.default_rng(seed)
    scores, true = np.round(random.normal(size=count), 1), random.random(count) < 0.4
    true[0] = True
    # Brought to 0..1 by a straight line: a sigmoid could make two scores equal.
    expected = BinaryAveragePrecision()(torch.from_numpy(scores / 20 + 0.5), torch.from_numpy(true).long())
    assert average_precision(scores, true) == pytest.approx(float(expected), abs=1e-6)


def test_tag_metrics_of_a_class_without_images_are_undefined() -> None:
    metrics = tag_metrics(np.array([[1.0, -1.0], [-1.0, -1.0]]), np.array([[True, False], [False, False]]), ("a", "b"))
    assert metrics["exact"] == 100.0
    assert metrics["by_class"]["b"] == {"images": 0, "precision": None, "recall": None, "ap": None}  # type: ignore[index]
