"""Augmentation: the same pixels as the published preprocessing, the same for image and mask, repeatable."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ktse.data.transforms import TrainingTransform, long_side_size, seeded, to_tensor

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def test_normalisation_is_the_published_one(golden: Callable[[str], dict[str, Any]], near: Callable[..., None]) -> None:
    stored = golden("p_preprocessing")
    found = to_tensor(Image.fromarray(stored["img_u8"]), torch.tensor(MEAN), torch.tensor(STD))
    near(found.permute(1, 2, 0), stored["normalised_hwc"], absolute=1e-6)


def test_resizing_is_the_published_one(golden: Callable[[str], dict[str, Any]]) -> None:
    stored = golden("p_preprocessing")
    image = Image.fromarray(stored["img_u8"])
    resized = image.resize(long_side_size(image.size, 64), Image.Resampling.BICUBIC)
    assert np.array_equal(np.asarray(resized), stored["resized64_u8_hwc"])


def test_every_published_crop_is_one_of_ours(golden: Callable[[str], dict[str, Any]]) -> None:
    stored = golden("p_preprocessing")
    image = Image.fromarray(stored["img_u8"])
    transform = TrainingTransform((41, 41), 36, 0.0, MEAN, STD)
    ours = []
    for number in range(800):  # 42 places, mirrored or not
        with seeded(number):
            ours.append(transform(image)[0].permute(1, 2, 0).numpy())
    for crop in stored["crop36"]:
        assert min(float(np.abs(crop - one).max()) for one in ours) < 1e-5


@given(
    width=st.integers(5, 60), height=st.integers(5, 60), crop=st.integers(8, 48), low=st.integers(6, 40),
    number=st.integers(0, 10**6),
)  # fmt: skip
def test_image_and_mask_stay_together(width: int, height: int, crop: int, low: int, number: int) -> None:
    rng = np.random.default_rng(number)
    label = rng.integers(0, 2, (height, width), dtype=np.uint8)
    image = Image.fromarray(np.full((height, width, 3), 200, dtype=np.uint8))
    transform = TrainingTransform((low, low + 9), crop, 0.0, (0.0,) * 3, (1.0,) * 3)
    with seeded(number):
        pixels, mask = transform(image, label)
    assert mask is not None
    assert pixels.shape == (3, crop, crop) and mask.shape == (crop, crop)
    padding = mask == 255
    assert (pixels[:, padding] == 0).all()
    assert torch.allclose(pixels[:, ~padding], torch.tensor(200 / 255), atol=1e-6)
    assert set(mask[~padding].unique().tolist()) <= {0, 1}


@pytest.mark.parametrize("jitter", [0.0, 0.4])
def test_a_sample_depends_on_its_numbers_alone(jitter: float) -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8))
    transform = TrainingTransform((32, 64), 32, jitter, MEAN, STD)

    def draw(*numbers: int) -> torch.Tensor:
        with seeded(*numbers):
            return transform(image)[0]

    before = torch.get_rng_state()
    first = draw(1, 2, 3)
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(7)
    assert torch.equal(draw(1, 2, 3), first)
    assert not torch.equal(draw(1, 2, 4), first)
