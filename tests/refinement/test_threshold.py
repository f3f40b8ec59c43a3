"""Thresholds without truth."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from ktse.refinement.threshold import (
    MIDDLE,
    boundary_contrast,
    choose_threshold,
    colour_regions,
    explained_labels,
    explained_share,
    explained_threshold,
)


@given(number=st.integers(0, 10**6), height=st.integers(1, 9), width=st.integers(1, 9), count=st.integers(1, 3))
def test_boundary_contrast_is_that_of_every_mask_by_itself(number: int, height: int, width: int, count: int) -> None:
    rng = np.random.default_rng(number)
    image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    scores = rng.random((count, height, width)).astype(np.float32)
    found = boundary_contrast(image, scores, bins=16)
    colour = image.astype(float)
    changes = [np.abs(np.diff(colour, axis=axis)).mean(axis=-1) for axis in (0, 1)]
    every = np.concatenate([change.ravel() for change in changes])
    if every.size == 0 or every.mean() == 0:
        assert not found.any()
        return
    for bin_number in range(16):
        mask = np.floor(scores.max(axis=0) * 16) >= bin_number
        across = np.concatenate([np.diff(mask.astype(int), axis=axis).ravel() != 0 for axis in (0, 1)])
        assert found[1, bin_number] == across.sum()
        assert found[0, bin_number] == pytest.approx((every[across] / every.mean() - 1).sum(), abs=1e-4)


def entropy(values: list[tuple[int, ...]]) -> float:
    """Entropy in bits of what is in a list."""
    return -sum(count / len(values) * math.log2(count / len(values)) for count in Counter(values).values())


@settings(max_examples=60)
@given(
    number=st.integers(0, 10**6), height=st.integers(1, 30), width=st.integers(1, 30), count=st.integers(1, 3),
    classes=st.booleans(),
)  # fmt: skip
def test_what_is_explained_is_the_information_of_labels_about_colour(
    number: int, height: int, width: int, count: int, classes: bool
) -> None:
    rng = np.random.default_rng(number)
    hues = rng.integers(0, 256, (3, 3), dtype=np.uint8)
    half = np.arange(height * width).reshape(height, width) * 3 // (height * width)
    image = hues[half]
    scores = rng.random((count, height, width)).astype(np.float32)
    found = (explained_labels if classes else explained_share)(colour_regions(image), scores, bins=8)
    picture = Image.fromarray(image).filter(ImageFilter.GaussianBlur(max(height, width) / 48))
    picture = Image.fromarray(np.asarray(picture) & 0xF8)
    colour = np.array(picture.quantize(32, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)).ravel().tolist()
    for bin_number in range(8):
        above = np.floor(scores.max(axis=0) * 8) >= bin_number
        mask = (above * (1 + scores.argmax(axis=0) if classes else 1)).ravel().tolist()
        pairs = set(zip(colour, mask, strict=True))
        bias = (len(pairs) - len(set(colour)) - len(set(mask)) + 1) / (2 * len(mask) * math.log(2))
        if len(set(mask)) == 1:
            assert found[bin_number] == 0
            continue
        alone, joint = entropy([(value,) for value in mask]), entropy(list(zip(colour, mask, strict=True)))
        information = entropy([(value,) for value in colour]) + alone - joint - bias
        assert found[bin_number] == pytest.approx(
            information / alone ** (0.9 if classes else 0.8) if alone > 0.05 else 0, abs=1e-6
        )


@pytest.mark.parametrize("half", [6, 12, 20])
def test_the_threshold_is_where_an_object_of_another_colour_ends(half: int) -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(60, 140, (64, 64, 3), dtype=np.uint8)
    y, x = np.mgrid[:64, :64]
    distance = np.maximum(np.abs(y - 31.5), np.abs(x - 31.5))
    image[distance < half] += 100
    scores = (1 - distance / 32)[None].astype(np.float32)
    threshold = explained_threshold(explained_share(colour_regions(image), scores))
    assert threshold == pytest.approx(1 - half / 32, abs=0.05)


def test_a_neighbour_of_another_class_moves_the_threshold_of_labels_alone() -> None:
    """Two objects of different colours that touch: labels also see where one ends and the other begins."""
    colours = np.zeros((32, 48), dtype=np.int64)
    colours[:, 16:24], colours[:, 24:32] = 1, 2
    x = np.broadcast_to(np.arange(48.0), (32, 48))
    scores = np.stack([1 - np.abs(x - place) / 24 for place in (19.5, 27.5)]).astype(np.float32)
    wrong = scores[::-1]  # each has the other's place
    assert explained_share(colours, scores).max() == pytest.approx(explained_share(colours, wrong).max())
    shuffled = np.random.default_rng(0).permuted(scores, axis=0)
    assert explained_share(colours, scores).max() == pytest.approx(explained_share(colours, shuffled).max())
    assert explained_labels(colours, scores).max() > 1.2 * explained_labels(colours, shuffled).max()


def test_no_threshold_where_colours_say_nothing() -> None:
    flat = colour_regions(np.full((16, 16, 3), 7, dtype=np.uint8))
    assert explained_threshold(explained_share(flat, np.random.default_rng(0).random((1, 16, 16)))) is None
    assert explained_threshold(explained_share(flat, np.zeros((0, 16, 16)))) is None


PEAK = np.exp(-((np.arange(256) / 256 - 0.3) ** 2) / 0.01)


def test_a_clear_peak_is_found() -> None:
    assert explained_threshold(PEAK) == pytest.approx(0.3, abs=0.02)
    assert choose_threshold(PEAK, "auto").kind == "found"


def test_of_thresholds_that_are_about_as_good_the_middle_is_taken() -> None:
    """Nearly flat, as on small defects: the maximum of the curve is at the end of its range, and is chance."""
    chosen = choose_threshold(0.23 + 0.01 * np.exp(-np.arange(256) / 8), "auto")
    assert chosen.value == pytest.approx(MIDDLE, abs=0.1)
    assert chosen.kind == "unclear"


@given(st.floats(0.1, 0.9), st.floats(0.01, 0.03))
def test_a_peak_that_stands_out_is_found_wherever_it_is(place: float, width: float) -> None:
    curve = np.exp(-((np.arange(256) / 256 - place) ** 2) / width**2)
    assert choose_threshold(curve, "auto").value == pytest.approx(place, abs=0.02)


def test_without_anything_explained_the_threshold_is_fixed() -> None:
    chosen = choose_threshold(np.zeros(256), "auto")
    assert (chosen.value, chosen.kind) == (MIDDLE, "unclear")


def test_a_threshold_of_the_recipe_is_taken_as_it_is() -> None:
    assert choose_threshold(PEAK, 0.7).value == 0.7
    assert choose_threshold(PEAK, 0.7).kind == "recipe"
