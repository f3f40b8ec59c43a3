"""Numbers in words, and pictures that fit their space."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from ktse.reporting.pictures import JPEG_URI, data_uri
from ktse.reporting.wording import clip, count, listing, memory, number, percent, plain, share, time


@pytest.mark.parametrize("allowance", [1_000_000, 60_000, 12_000, 3_000])
def test_a_picture_keeps_to_its_space(allowance: int) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (700, 900, 3), dtype=np.uint8)
    source = data_uri(Image.fromarray(noise), allowance)
    assert 0 < len(source) <= allowance
    image = Image.open(io.BytesIO(base64.b64decode(source.removeprefix(JPEG_URI))))
    assert max(image.size) <= 480 and abs(image.width / image.height - 9 / 7) < 0.03


def test_no_space_is_no_picture_and_a_small_image_is_not_enlarged() -> None:
    small = Image.new("RGB", (20, 10))
    assert data_uri(small, 100) == ""
    source = data_uri(small, 10_000)
    assert Image.open(io.BytesIO(base64.b64decode(source.removeprefix(JPEG_URI)))).size == (20, 10)


def test_wording() -> None:
    assert number(41.25) == "41.2" and number(None) == number(float("nan")) == number(True) == "–"
    assert count(1785) == "1,785" and share(0.0342) == "3.4 %"
    assert [time(seconds) for seconds in (4.21, 4321, None)] == ["4.2 s", "1 h 12 min", "–"]
    assert memory(640.4) == "640 MB" and memory(2150) == "2.1 GB" and memory(None) == "–"
    assert percent(41.25) == "41.2 %" and percent(None) == "–"
    assert clip("a\nb") == "a b" and len(clip("x" * 500, 60)) == 60 and clip("x" * 60, 60) == "x" * 60
    assert plain("a|b `c` <d> *e* [f]") == "a\\|b \\`c\\` &lt;d> \\*e\\* \\[f\\]"
    assert listing([]) == "" and listing(["a"]) == "a" and listing(["a", "b", "c"]) == "a, b and c"
