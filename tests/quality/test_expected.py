"""What checked masks say about the others: intervals hold what they promise, and so do acceptances."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ktse.quality.expected import Interval, Line, acceptable, by_chance, needed, sample, student

TIMES = 400


def masks(count: int, rng: np.random.Generator, noise: float = 0.2) -> tuple[np.ndarray, np.ndarray]:
    """Confidence and IoU of masks; better where confidence is higher, though not along a line."""
    confidence = rng.beta(4, 4, count)
    return confidence, np.clip(confidence**2 + 0.15 + noise * rng.standard_normal(count), 0, 1)


@pytest.mark.parametrize("count", [10, 20, 40, 80])
@pytest.mark.parametrize("noise", [0.05, 0.2, 0.6])
def test_the_interval_holds_the_true_mean(count: int, noise: float) -> None:
    rng, held = np.random.default_rng(count), 0
    for _ in range(TIMES):
        confidence, iou = masks(count + 300, rng, noise)
        found = Line.through(confidence[:count], iou[:count]).mean(confidence[count:])
        held += found.low <= iou[count:].mean() <= found.high
    assert held >= 0.87 * TIMES  # 90 %, but for the chance of 400 times


def test_the_interval_says_something() -> None:
    widths = []
    for count in (20, 80, 320):
        confidence, iou = masks(count, np.random.default_rng(0))
        found = Line.through(confidence, iou).mean(masks(300, np.random.default_rng(1))[0])
        widths.append(found.high - found.low)
    assert widths[0] < 0.3
    assert widths[2] < 0.06
    assert widths == sorted(widths, reverse=True)


def test_perfect_masks_do_not_prove_that_all_are() -> None:
    found = Line.through(np.linspace(0.2, 0.9, 10), np.ones(10)).mean(np.full(50, 0.5))
    assert found.middle == found.high == 1
    assert 0.7 < found.low < 0.9


def test_far_from_what_was_checked_little_is_known() -> None:
    confidence = np.linspace(0.1, 0.15, 20)
    line = Line.through(confidence, np.random.default_rng(0).uniform(0, 1, 20))
    near, far = line.mean(confidence), line.mean(np.full(20, 0.9))
    assert far.high - far.low > 0.9 > 2 * (near.high - near.low)
    alike = Line.through(np.full(10, 0.5), np.full(10, 0.7))  # no line goes through one point
    assert alike.mean(np.full(5, 0.6)) == Interval(0.7, 0, 1)
    assert alike.mean(np.full(5, 0.5)).low > 0.4


def test_a_line_never_falls() -> None:
    line = Line.through(np.array([0.1, 0.5, 0.9]), np.array([0.9, 0.5, 0.1]))
    assert line.slope == 0
    np.testing.assert_allclose(line.each(np.array([0.0, 1.0])), 0.5)
    steep = Line.through(np.array([0.4, 0.5, 0.6]), np.array([0.0, 0.5, 1.0]))
    np.testing.assert_allclose(steep.each(np.array([0.0, 0.45, 1.0])), [0, 0.25, 1])


def test_what_is_known_is_taken_off() -> None:
    found = Interval(0.5, 0.4, 0.6).without(np.array([0.1, 0.3]), 10)
    np.testing.assert_allclose((found.middle, found.low, found.high), (4.6 / 8, 3.6 / 8, 5.6 / 8))
    assert Interval(0.9, 0.8, 1.0).without(np.array([0.0]), 2).high == 1


@pytest.mark.parametrize(("freedom", "quantile"), [(8, 1.8595), (18, 1.7341), (38, 1.6860), (1000, 1.6464)])
def test_student_is_as_in_the_tables(freedom: int, quantile: float) -> None:
    assert student(freedom) == pytest.approx(quantile, abs=5e-4)


def test_the_order_of_chance_is_the_same_each_time_and_has_no_pattern() -> None:
    names = [f"photo/{number:04}" for number in range(1000)]
    order = by_chance(names)
    assert sorted(order) == list(range(1000))
    assert [names[index] for index in order] == [names[::-1][index] for index in by_chance(names[::-1])]
    assert abs(np.corrcoef(order, np.arange(1000))[0, 1]) < 0.1


def test_a_sample_is_what_was_checked_without_choosing() -> None:
    checked = np.zeros(100, dtype=bool)
    assert sample(checked) == sample(checked[:0]) == 0
    checked[:12] = True
    checked[[13, 60]] = True  # for another reason
    assert sample(checked) == 12
    checked[[3, 8]] = False  # two were skipped
    assert sample(checked) == 12
    checked[:5] = False
    assert sample(checked) == 0  # whoever skips so many, chooses
    checked[:40] = True
    checked[:4] = False
    assert sample(checked) == 40


@pytest.mark.parametrize(("risk", "masks"), [(0.1, 22), (0.05, 45), (0.5, 4)])
def test_so_many_good_masks_are_needed(risk: float, masks: int) -> None:
    assert needed(risk) == masks
    confidence = np.linspace(0, 1, masks)
    assert acceptable(confidence, np.zeros(masks, dtype=bool), risk) == 0
    assert acceptable(confidence[1:], np.zeros(masks - 1, dtype=bool), risk) == math.inf


def test_masks_of_one_confidence_are_accepted_together() -> None:
    confidence = np.repeat([0.9, 0.5], 22)
    bad = np.zeros(44, dtype=bool)
    assert acceptable(confidence, bad, 0.1) == 0.5
    bad[30:] = True
    assert acceptable(confidence, bad, 0.1) == 0.9
    bad[:5] = True
    assert acceptable(confidence, bad, 0.1) == math.inf


@pytest.mark.parametrize("limit", [0.3, 0.5, 0.7])
def test_an_acceptance_keeps_its_promise(limit: float) -> None:
    """Masks are bad below a confidence, or for no reason; the share of bad ones beyond each confidence is known."""
    rng, some, broken, risk = np.random.default_rng(0), 0, 0, 0.1
    all_confidence = np.linspace(0, 1, 20_001)
    chance = np.where(all_confidence < limit, 0.5, 0.03)
    beyond = chance[::-1].cumsum()[::-1] / np.arange(len(chance), 0, -1)
    for _ in range(TIMES):
        drawn = rng.integers(0, len(chance), 120)
        found = acceptable(all_confidence[drawn], rng.random(120) < chance[drawn], risk)
        some += not math.isinf(found)
        broken += not math.isinf(found) and bool(beyond[np.searchsorted(all_confidence, found)] > risk)
    assert broken <= 0.12 * TIMES
    assert some >= 0.4 * TIMES
