"""Two sets of scores compared without truth."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from ktse.refinement.comparison import compare
from ktse.refinement.threshold import colour_regions, explained_share


def curves(number: int, shift: int, count: int = 12) -> np.ndarray:
    """Explained share of the scores of squares, moved aside by some pixels."""
    rng = np.random.default_rng(number)
    found = []
    for _ in range(count):
        left, top = (int(value) for value in rng.integers(6, 14, 2))
        image = Image.new("RGB", (40, 40), (90, 100, 110))
        ImageDraw.Draw(image).rectangle((left, top, left + 12, top + 12), fill=(180, 60, 60))
        noisy = np.clip(np.asarray(image) + rng.normal(0, 6, (40, 40, 3)), 0, 255).astype(np.uint8)
        scores = np.zeros((1, 40, 40), np.float32)
        scores[0, top : top + 13, left + shift : left + shift + 13] = 0.8
        found.append(explained_share(colour_regions(noisy), scores))
    return np.stack(found)


def test_scores_that_end_where_objects_do_are_better() -> None:
    good, bad = curves(0, 0), curves(0, 5)
    found = compare(good, bad)
    assert found.first > found.second
    assert found.high < 0
    assert found.better == "first"
    assert compare(bad, good).better == "second"


def test_the_difference_of_equal_scores_is_nothing() -> None:
    curve = curves(1, 2)
    found = compare(curve, curve)
    assert (found.low, found.high, found.better) == (0, 0, "unclear")
    assert found.images == 12


def test_a_sure_but_small_difference_is_unclear() -> None:
    curve = curves(4, 0)
    found = compare(curve, curve * 0.97)
    assert found.high < 0
    assert found.better == "unclear"
    assert compare(curve, curve * 0.9).better == "first"


def test_noise_is_no_difference() -> None:
    rng = np.random.default_rng(2)
    curve = curves(2, 0)
    noise = curve * rng.normal(1, 0.3, (len(curve), 1))
    assert compare(curve, noise).better == "unclear"


def test_the_numbers_are_those_of_all_images_together() -> None:
    curve = curves(3, 1)
    found = compare(curve, 2 * curve)
    assert found.first == pytest.approx(curve.sum(axis=0).max() / len(curve))
    assert found.second == pytest.approx(2 * found.first)
