"""Counts, sizes and durations in words."""

from __future__ import annotations

from ktse.runtime.words import duration, many, pixels


def test_a_count_agrees_with_its_noun_and_verb() -> None:
    assert [many(n, "image") for n in (0, 1, 2, 1785)] == ["0 images", "1 image", "2 images", "1,785 images"]
    assert [many(n, "class has", "classes have") for n in (1, 3)] == ["1 class has", "3 classes have"]


def test_a_size_is_width_by_height() -> None:
    assert pixels((640, 480)) == "640x480 pixels"


def test_a_duration_is_short() -> None:
    seconds = (4.21, 42.4, 59.99, 200, 4321)
    assert [duration(each) for each in seconds] == ["4.2 s", "42 s", "1 min 0 s", "3 min 20 s", "1 h 12 min"]
