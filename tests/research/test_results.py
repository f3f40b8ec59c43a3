"""Means, spreads and paired differences, against values worked out by hand."""

from __future__ import annotations

from math import sqrt

import pytest

from ktse.research.results import Result, by_random_seed, paired, spread


def test_a_spread_divides_by_one_less_than_the_number_of_values() -> None:
    found = spread([50.0, 53.0, 56.0])
    assert found is not None
    assert (found.mean, found.deviation, found.count) == (53.0, pytest.approx(sqrt((9 + 0 + 9) / 2)), 3)


def test_one_value_has_no_deviation_and_none_has_no_mean() -> None:
    one = spread([7.0])
    assert one is not None and one.deviation is None
    assert spread([]) is None


def test_differences_are_taken_seed_by_random_seed() -> None:
    # The arms vary by 10 between seeds, but their difference only by 1.
    plain, arm = {0: 40.0, 1: 50.0, 2: 60.0}, {0: 42.0, 1: 51.0, 2: 60.0}
    found = paired(arm, plain)
    assert found is not None
    assert (found.mean, found.deviation, found.count) == (1.0, 1.0, 3)


def test_a_seed_without_a_partner_is_in_no_difference() -> None:
    found = paired({0: 42.0, 2: 66.0}, {0: 40.0, 1: 50.0})
    assert found is not None
    assert (found.mean, found.deviation, found.count) == (2.0, None, 1)
    assert paired({1: 1.0}, {2: 1.0}) is None


def test_collapsed_runs_have_no_value() -> None:
    results = [
        Result("sie", 0, {"oracle": 50.0}),
        Result("sie", 1, collapsed="fell"),
        Result("ssr", 0, {"oracle": 1.0}),
    ]
    assert by_random_seed(results, "sie", "oracle") == {0: 50.0}
