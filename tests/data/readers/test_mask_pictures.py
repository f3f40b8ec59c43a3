"""Pictures as masks: which are read as what, and what a message says of the others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from drawn import save
from ktse.data.readers.mask_pictures import Drawn, look_at, read_values, value_problem
from ktse.errors import DataError

LABEL = np.array([[0, 1, 2], [2, 255, 0]], np.uint8)


def with_palette(values: np.ndarray, colours: dict[int, tuple[int, int, int]]) -> Image.Image:
    palette = np.zeros((256, 3), np.uint8)
    for value, colour in colours.items():
        palette[value] = colour
    image = Image.fromarray(values)
    image.putpalette(palette.tobytes())
    return image


@pytest.mark.parametrize("mode", ["L", "RGB", "LA", "RGBA"])
def test_grey_is_read_in_whatever_mode_it_was_saved(tmp_path: Path, mode: str) -> None:
    Image.fromarray(LABEL).convert(mode).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_values(tmp_path / "a.png")[0], LABEL)
    picture = look_at(tmp_path / "a.png")
    assert (picture.size, picture.values, picture.top, picture.plain) == ((3, 2), (0, 1, 2, 255), 255, mode == "L")


def test_one_bit_is_0_and_1_and_sixteen_bits_are_kept(tmp_path: Path) -> None:
    Image.fromarray(LABEL > 1).save(tmp_path / "one.png")
    assert look_at(tmp_path / "one.png").values == (0, 1)
    save(tmp_path / "deep.png", np.array([[0, 300], [65535, 0]], np.uint16))
    picture = look_at(tmp_path / "deep.png")
    assert (picture.values, picture.top) == ((0, 300, 65535), 65535)


def test_a_palette_says_whether_255_is_shown_as_white(tmp_path: Path) -> None:
    bright, cream = {255: (255, 255, 255)}, {255: (224, 224, 192)}
    for name, colours, white in (("bw", bright, True), ("map", cream, False)):
        with_palette(LABEL, colours).save(tmp_path / f"{name}.png")
        assert look_at(tmp_path / f"{name}.png").white == white
    assert look_at(save(tmp_path / "grey.png", LABEL)).white


def test_colours_transparency_and_compression_are_messages_that_say_how(tmp_path: Path) -> None:
    colours = np.zeros((2, 3, 3), np.uint8)
    colours[0, 0] = (200, 60, 40)
    save(tmp_path / "colour.png", colours)
    with pytest.raises(DataError, match=r"2 colours \(\(0, 0, 0\), \(200, 60, 40\)\).* write the number of its class"):
        look_at(tmp_path / "colour.png")
    clear = np.zeros((2, 3, 4), np.uint8)
    with pytest.raises(DataError, match="without transparency"):
        look_at(save(tmp_path / "clear.png", clear))
    Image.fromarray(LABEL).save(tmp_path / "jpeg.png", "JPEG")
    with pytest.raises(DataError, match="a JPEG image, whose compression changes class numbers: export the masks as"):
        look_at(tmp_path / "jpeg.png")
    (tmp_path / "text.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"text\.png"):
        look_at(tmp_path / "text.png")


def test_values_that_only_smoothing_makes_are_named_as_such(tmp_path: Path) -> None:
    smooth = look_at(save(tmp_path / "smooth.png", np.array([[0, 2, 5, 128, 251, 255]], np.uint8)))
    assert "scaling with smoothing" in value_problem(smooth, 3)
    many = look_at(save(tmp_path / "many.png", np.array([[0, 7, 9]], np.uint8)))
    assert value_problem(many, 3).endswith("values [7, 9], but the data have 3 classes")
    assert "the data have 1 class" in value_problem(many, 1)
    assert value_problem(many, 9) == ""


def test_pictures_of_one_class_each_are_one_mask_in_which_the_smaller_object_wins(tmp_path: Path) -> None:
    large, small = np.zeros((4, 6), np.uint8), np.zeros((4, 6), np.uint8)
    large[:, :4], small[1, 3:5] = 255, 1
    small[3, 5] = 255  # undecided beside an object of another value
    parts = ((save(tmp_path / "a.png", small), 7), (save(tmp_path / "b.png", large), 2))
    expected = np.zeros((4, 6), np.uint8)
    expected[:, :4] = 2
    expected[1, 3:5] = 7
    expected[3, 5] = 255
    np.testing.assert_array_equal(Drawn(parts, np.uint8).draw(), expected)
    deep = Drawn(parts, np.uint16).draw()
    assert deep.dtype == np.uint16 and deep[3, 5] == 65535
