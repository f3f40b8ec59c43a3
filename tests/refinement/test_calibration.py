"""A threshold from a handful of masks: the right one, and an uncertainty that holds."""

from __future__ import annotations

import numpy as np
import pytest

from ktse.quality.metrics import THRESHOLDS, Confusion, ThresholdSweep
from ktse.refinement.calibration import Calibrated, calibrate


def pictures(number: int, count: int, spread: float = 0.1) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """True masks of a square, the classes, and scores whose best threshold differs from image to image."""
    rng = np.random.default_rng(number)
    made = []
    for _ in range(count):
        true = np.zeros((24, 24), np.uint8)
        true[4:14, 4:14] = rng.integers(1, 3)
        place = float(np.clip(0.4 + spread * rng.normal(), 0.05, 0.9))
        score = place + (0.12 if spread else 0.3) * (2 * (true > 0) - 1) + 0.06 * rng.normal(size=true.shape)
        made.append((true, np.array([true.max() - 1]), np.clip(score, 0, 1).astype(np.float32)[None]))
    return made


def counts(pictures: list[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> list[np.ndarray]:
    found = []
    for true, keys, scores in pictures:
        sweep = ThresholdSweep(2, THRESHOLDS)
        sweep.add(true, keys, scores)
        found.append(sweep.counts)
    return found


def miou(pictures: list[tuple[np.ndarray, np.ndarray, np.ndarray]], threshold: float) -> float:
    """The mIoU of masks that are really cut."""
    confusion = Confusion(2)
    for true, keys, scores in pictures:
        confusion.add(true, np.where(scores[0] > np.float32(threshold), keys[0] + 1, 0))
    return confusion.miou


def test_no_threshold_is_better_on_the_masks() -> None:
    given = pictures(0, 5)
    found = calibrate(counts(given), THRESHOLDS)
    every = [miou(given, threshold) for threshold in THRESHOLDS]
    assert miou(given, found.threshold) == pytest.approx(max(every), abs=1e-9)
    assert found.miou == pytest.approx(max(every), abs=1e-9)
    assert found.masks == 5


def iou_at(given: list[tuple[np.ndarray, np.ndarray, np.ndarray]], threshold: float) -> np.ndarray:
    confusion = Confusion(2)
    for true, keys, scores in given:
        confusion.add(true, np.where(scores[0] > np.float32(threshold), keys[0] + 1, 0))
    return confusion.iou


def test_each_label_has_the_iou_of_its_own_threshold() -> None:
    given = pictures(0, 5)
    found = calibrate(counts(given), THRESHOLDS)
    near = [float(THRESHOLDS[np.abs(THRESHOLDS - value).argmin()]) for value in (found.threshold, *found.own)]
    expected = [iou_at(given, threshold)[label] for label, threshold in enumerate(near)]
    assert found.iou == pytest.approx(tuple(expected), abs=1e-4)
    assert found.shown == (5, *(sum(int((true == label).any()) for true, _, _ in given) for label in (1, 2)))


def test_a_class_goes_half_way_to_its_own_threshold() -> None:
    """The best one by cutting at each; half way in log odds; a class that one mask alone shows stays where it was."""
    given = [one for one in pictures(6, 12) if one[1][0] == 0][:4] + [one for one in pictures(6, 12) if one[1][0] == 1][
        :1
    ]
    given = [(true, keys, np.clip(scores + 0.2 * (keys[0] == 0), 0, 1)) for true, keys, scores in given]
    found = calibrate(counts(given), THRESHOLDS)
    every = np.array([iou_at(given, threshold)[1] for threshold in THRESHOLDS])
    best = np.flatnonzero(every >= every.max() - 1e-12)
    odds = [value / (1 - value) for value in (found.threshold, float(THRESHOLDS[best[len(best) // 2]]))]
    middle = np.sqrt(odds[0] * odds[1])
    assert found.own[0] == pytest.approx(middle / (1 + middle), abs=1e-3)
    assert found.own[1] == found.threshold


def test_the_uncertainty_is_that_of_masks_drawn_anew() -> None:
    """The same by cutting every sample for real, with another random generator."""
    given = pictures(1, 4)
    found = calibrate(counts(given), THRESHOLDS, samples=4000)
    rng = np.random.default_rng(99)
    curve = np.array([miou(given, threshold) for threshold in THRESHOLDS])
    chosen = []
    for _ in range(150):
        sample = [given[place] for place in rng.integers(0, 4, 4)]
        values = np.array([miou(sample, threshold) for threshold in THRESHOLDS])
        best = np.flatnonzero(values >= values.max() - 1e-12)
        chosen.append(best[len(best) // 2])
    assert found.loss == pytest.approx((curve.max() - curve[chosen]).mean(), abs=0.015)
    assert found.low == pytest.approx(np.quantile(THRESHOLDS[chosen], 0.05), abs=0.04)
    assert found.high == pytest.approx(np.quantile(THRESHOLDS[chosen], 0.95), abs=0.04)
    assert found.low is not None and found.high is not None and found.low <= found.threshold <= found.high
    assert found.loss is not None and found.loss_high is not None and found.loss_high >= found.loss


def test_masks_that_agree_leave_no_doubt_and_a_single_one_leaves_it_open() -> None:
    one = counts(pictures(2, 1))
    same = calibrate(one * 5, THRESHOLDS)
    assert same.low == same.high == same.threshold
    assert same.loss == same.loss_high == 0
    alone = calibrate(one, THRESHOLDS)
    assert (alone.low, alone.high, alone.loss, alone.loss_high) == (None, None, None, None)
    assert alone.threshold == same.threshold
    assert "single" in alone.source


def test_a_flat_top_is_cut_in_its_middle() -> None:
    found = calibrate(counts(pictures(3, 3, spread=0.0)), THRESHOLDS)
    assert found.threshold == pytest.approx(0.4, abs=0.04)


def test_more_masks_are_more_certain() -> None:
    few, many = (calibrate(counts(pictures(4, count)), THRESHOLDS) for count in (4, 40))
    assert few.loss is not None and many.loss is not None
    assert many.loss < few.loss


def test_a_mask_without_the_classes_of_the_others_does_no_harm() -> None:
    empty = (np.full((24, 24), 255, np.uint8), np.array([0]), np.zeros((1, 24, 24), np.float32))
    with_it, without = (calibrate(counts(given), THRESHOLDS) for given in ([*pictures(5, 2), empty], pictures(5, 2)))
    assert with_it.threshold == without.threshold


def test_the_source_says_how_sure_it_is() -> None:
    text = Calibrated(0.3, 5, 0.6, 0.25, 0.41, 0.004, 0.0131, (), ()).source
    assert text == (
        "calibrated on 5 true masks: 90% interval 0.25 to 0.41, expected loss 0.4 points of mIoU, at most 1.3 in 95 of "
        "100 cases"
    )
