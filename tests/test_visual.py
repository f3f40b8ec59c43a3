from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from ktse.visual import PALETTE, class_scores_overlay, colours, heat_map, overlay

PHOTO = Image.fromarray(np.full((12, 10, 3), 100, dtype=np.uint8))


def array(image: Image.Image) -> np.ndarray:
    return np.asarray(image).astype(int)


def test_palette() -> None:
    assert PALETTE.shape == (256, 3) and PALETTE.dtype == np.uint8
    assert PALETTE[0].tolist() == [0, 0, 0] and PALETTE[255].tolist() == [224, 224, 192]
    classes = PALETTE[1:255].astype(int)
    assert len({tuple(colour) for colour in classes}) > 240
    assert np.abs(np.diff(classes, axis=0)).sum(axis=1).min() > 100
    first = classes[:14]
    apart = np.abs(first[:, None] - first[None]).sum(axis=-1) + 1000 * np.eye(14, dtype=int)
    assert apart.min() > 60
    assert np.abs(first - PALETTE[255].astype(int)).sum(axis=1).min() > 100


def test_colours_beyond_the_palette() -> None:
    label = np.array([0, 1, 254, 255, 508, 509, 65535], dtype=np.uint16)
    expected = PALETTE[[0, 1, 254, 1, 254, 1, 255]]
    np.testing.assert_array_equal(colours(label), expected)
    np.testing.assert_array_equal(colours(np.arange(256, dtype=np.uint8)), PALETTE)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_overlay(dtype: type) -> None:
    label = np.zeros((12, 10), dtype=dtype)
    label[3:9, 2:8] = 2
    label[11] = np.iinfo(dtype).max
    drawn = array(overlay(PHOTO, label))
    assert drawn.shape == (12, 10, 3)
    np.testing.assert_array_equal(drawn[0, 0], [100] * 3)
    np.testing.assert_array_equal(drawn[2, 4], [255] * 3)
    np.testing.assert_array_equal(drawn[3, 4], PALETTE[2])
    np.testing.assert_allclose(drawn[5, 5], 100 + 0.55 * (PALETTE[2] - 100.0), atol=1)
    assert len({tuple(pixel) for pixel in drawn[11]}) == 2


def test_overlay_of_another_size_and_of_nothing() -> None:
    assert overlay(PHOTO, np.ones((3, 2), dtype=np.uint8)).size == PHOTO.size
    np.testing.assert_array_equal(array(overlay(PHOTO, np.zeros((12, 10), dtype=np.uint8))), array(PHOTO))


def test_heat_map_grows_lighter() -> None:
    drawn = array(heat_map(PHOTO, np.linspace(0, 1, 10)[None].astype(np.float16)))
    assert drawn.shape == (12, 10, 3)
    assert (np.diff(drawn[0] @ [0.299, 0.587, 0.114]) > 0).all()


def test_class_scores() -> None:
    scores = np.zeros((2, 3, 2), dtype=np.float16)
    scores[0, :, 0], scores[1, :, 1] = 1, 0.5
    drawn = array(class_scores_overlay(PHOTO, scores, np.array([4, 300])))
    np.testing.assert_allclose(drawn[5, 0], 100 + 0.9 * (PALETTE[4] - 100.0), atol=1)
    np.testing.assert_allclose(drawn[5, 9], 100 + 0.45 * (PALETTE[46] - 100.0), atol=1)
    nothing = class_scores_overlay(PHOTO, np.zeros((0, 3, 2), dtype=np.float16), np.zeros(0, dtype=np.int64))
    np.testing.assert_array_equal(array(nothing), array(PHOTO))
    assert array(class_scores_overlay(PHOTO, np.full((1, 3, 2), np.nan), np.array([1]))).shape == (12, 10, 3)
