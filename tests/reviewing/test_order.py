"""Which images come first."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ktse.data.dataset import TaggedImages
from ktse.quality.expected import by_chance
from ktse.reviewing.order import by_gain, by_need


def test_unsure_masks_that_the_model_learns_from_come_first() -> None:
    ids = ("sure", "untagged", "kept out", "unsure", "unknown")
    tags = np.array([[1], [0], [1], [1], [1]], dtype=bool)
    validation = np.array([0, 0, 1, 0, 0], dtype=bool)
    data = TaggedImages(Path(), ids, ids, ("dog",), tags, validation)
    order = by_need(data, {"sure": 0.9, "untagged": 1.0, "kept out": 0.1, "unsure": 0.2})
    assert [ids[index] for index in order] == ["unsure", "sure", "unknown", "kept out", "untagged"]


def test_images_of_classes_that_were_corrected_less_come_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ktse.reviewing.order.by_chance", lambda names: range(len(names)))  # by need, as no chance is
    ids = ("dog 1", "dog 2", "dog 3", "cat 1", "both")
    tags = np.array([[1, 0], [1, 0], [1, 0], [0, 1], [1, 1]], dtype=bool)
    data = TaggedImages(Path(), ids, ids, ("dog", "cat"), tags, np.zeros(5, dtype=bool))
    confidence = {name: place / 10 for place, name in enumerate(ids)}
    assert [ids[index] for index in by_need(data, confidence)] == list(ids)
    assert [ids[index] for index in by_gain(data, confidence, [])] == ["dog 1", "dog 2", "cat 1", "dog 3", "both"]
    decided = ["dog 1", "dog 2"]
    assert [ids[index] for index in by_gain(data, confidence, decided)] == ["cat 1", "dog 3", "both", *decided]
    assert by_gain(data, {}, ids) == by_need(data, {})


def test_every_second_image_is_drawn_by_chance() -> None:
    ids = tuple(f"{number:03}" for number in range(60))
    data = TaggedImages(Path(), ids, ids, ("dog",), np.ones((60, 1), dtype=bool), np.arange(60) % 10 == 0)
    confidence = {name: place / 60 for place, name in enumerate(ids)}
    order = [ids[index] for index in by_gain(data, confidence, ())]
    assert sorted(order) == sorted(ids)
    learned = [name for name in ids if int(name) % 10]
    chance = [learned[index] for index in by_chance(learned)]
    pairs = zip(learned, chance, strict=True)
    assert order[:54] == list(dict.fromkeys(name for pair in pairs for name in pair))
    left = [name for name in chance if name not in order[:6]]  # what was drawn stays drawn when others are decided
    again = [ids[index] for index in by_gain(data, confidence, order[:6])]
    assert left[0] in again[:2]
    assert left[1] in again[:4]
