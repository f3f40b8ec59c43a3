"""Which images are shown and which are to be drawn."""

from __future__ import annotations

import numpy as np
import pytest

from ktse.reporting.chosen_images import one_per_class, to_draw, to_look_at


def tagged(*rows: str) -> np.ndarray:
    """(N, C) bool from rows such as "110"."""
    return np.array([[mark == "1" for mark in row] for row in rows])


def test_each_class_has_a_row_with_its_median_image() -> None:
    tags = tagged("100", "100", "100", "010", "010", "001")
    score = np.array([10.0, 90.0, 50.0, 20.0, 80.0, 5.0])
    found = one_per_class(tags, score, (np.ones(6, bool),), [2, 0, 1], 10)
    assert found == [(2, 5), (0, 2), (1, 4)]


def test_images_with_a_true_mask_come_first_and_none_twice() -> None:
    tags = tagged("11", "11", "11")
    score = np.array([np.nan, 1.0, 2.0])
    found = one_per_class(tags, score, (np.array([False, True, False]),), [0, 1], 10)
    assert found == [(0, 1), (1, 2)]


def test_a_class_whose_only_image_is_taken_shows_it_again() -> None:
    assert one_per_class(tagged("11"), np.array([np.nan]), [], [0, 1], 5) == [(0, 0), (1, 0)]


def test_of_too_many_classes_the_images_show_as_many_as_they_can() -> None:
    tags = np.zeros((30, 40), dtype=bool)
    for index in range(20):
        tags[index, [2 * index, 2 * index + 1]] = True
    found = one_per_class(tags, np.full(30, np.nan), [], list(range(40)), 20)
    assert len(found) == 20
    assert tags[[image for _, image in found]].any(axis=0).all()


def test_what_needs_a_look_differs_in_its_tags() -> None:
    tags = tagged(*["10"] * 8, "01", "00", *["10"] * 8)
    score = np.arange(18) / 100
    chosen = to_look_at(tags, score, {0}, 4)
    assert chosen == [1, 2, 3, 8]  # the lowest, and the lowest with the other tag; not the skipped, not the untagged
    assert to_look_at(tags, np.full(18, np.nan), set(), 4) == []


@pytest.mark.parametrize("classes", [1, 3, 7, 40])
def test_images_to_draw_hold_as_many_classes_as_five_can(classes: int) -> None:
    rng = np.random.default_rng(classes)
    tags = np.zeros((60, classes), dtype=bool)
    tags[np.arange(60), np.arange(60) % classes] = True
    usable = rng.random(60) < 0.8
    chosen = to_draw(tags, rng.random(60), usable)
    assert len(chosen) == len(set(chosen)) == 5 and usable[chosen].all()
    assert tags[chosen].any(axis=0).sum() == min(5, tags[usable].any(axis=0).sum())


def test_images_to_draw_are_neither_all_easy_nor_all_hard() -> None:
    score = np.linspace(0, 1, 50)
    chosen = to_draw(np.ones((50, 1), bool), score, np.ones(50, bool))
    assert score[chosen].min() < 0.2 and score[chosen].max() > 0.8


def test_fewer_images_than_five() -> None:
    assert sorted(to_draw(tagged("1", "0", "1"), np.full(3, np.nan), np.ones(3, bool))) == [0, 2]
    assert to_draw(tagged("1"), np.array([0.5]), np.zeros(1, bool)) == []
