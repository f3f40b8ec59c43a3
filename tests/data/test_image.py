"""Images as they come: every mode and oddity becomes upright RGB, or a message with the file's name."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from ktse.data.image import NEUTRAL, at_most, image_size, read_image
from ktse.data.transforms import TrainingTransform
from ktse.errors import DataError


def pixel(image: Image.Image, x: int = 0, y: int = 0) -> tuple[int, ...]:
    assert image.mode == "RGB"
    return tuple(int(value) for value in np.asarray(image)[y, x])


def close(found: tuple[int, ...], expected: tuple[int, ...], within: int = 4) -> bool:
    return max(abs(a - b) for a, b in zip(found, expected, strict=True)) <= within


def test_exif_rotation_turns_image_and_size(tmp_path: Path) -> None:
    image = Image.new("RGB", (40, 20), "blue")
    image.paste("red", (0, 0, 20, 20))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: the left side belongs on top
    image.save(tmp_path / "a.jpg", exif=exif, quality=95)
    upright = read_image(tmp_path / "a.jpg")
    assert upright.size == image_size(tmp_path / "a.jpg") == (20, 40)
    assert close(pixel(upright, 10, 5), (254, 0, 0))
    assert close(pixel(upright, 10, 35), (0, 0, 254))


@pytest.mark.parametrize(("value", "expected"), [(0, 0), (65535, 255), (32768, 128), (257, 1)])
def test_sixteen_bits_are_scaled_not_clipped(tmp_path: Path, value: int, expected: int) -> None:
    Image.fromarray(np.full((3, 4), value, dtype=np.uint16)).save(tmp_path / "a.png")
    Image.fromarray(np.full((3, 4), value, dtype=np.uint16)).save(tmp_path / "a.tif")
    assert pixel(read_image(tmp_path / "a.png")) == pixel(read_image(tmp_path / "a.tif")) == (expected,) * 3


def test_thirty_two_bits_are_stretched_unless_they_have_a_usual_range(tmp_path: Path) -> None:
    for values, expected in (
        ([0.0, 0.5, 1.0], [0, 128, 255]),
        ([-3.0, 0.0, 3.0], [0, 128, 255]),
        ([0.25, np.nan, 1.0], [64, 0, 255]),
    ):
        Image.fromarray(np.array([values], dtype=np.float32)).save(tmp_path / "a.tif")
        assert np.asarray(read_image(tmp_path / "a.tif"))[0, :, 0].tolist() == expected
    Image.fromarray(np.array([[0, 100000, 200000]], dtype=np.int32)).save(tmp_path / "b.tif")
    assert np.asarray(read_image(tmp_path / "b.tif"))[0, :, 0].tolist() == [0, 128, 255]


def test_transparency_lies_over_a_neutral_colour(tmp_path: Path) -> None:
    Image.new("RGBA", (2, 2), (255, 0, 0, 0)).save(tmp_path / "clear.png")
    Image.new("LA", (2, 2), (200, 255)).save(tmp_path / "solid.png")
    palette = Image.new("P", (2, 2), 1)
    palette.putpalette([0, 0, 0, 10, 200, 30])
    palette.save(tmp_path / "palette.gif", transparency=1)
    palette.save(tmp_path / "palette.png")
    assert pixel(read_image(tmp_path / "clear.png")) == NEUTRAL
    assert pixel(read_image(tmp_path / "solid.png")) == (200, 200, 200)
    assert pixel(read_image(tmp_path / "palette.gif")) == NEUTRAL
    assert pixel(read_image(tmp_path / "palette.png")) == (10, 200, 30)


@pytest.mark.parametrize(
    ("mode", "colour", "name"),
    [
        ("CMYK", (0, 255, 255, 0), "a.jpg"),
        ("CMYK", (0, 255, 255, 0), "a.tif"),
        *(("RGB", (254, 0, 0), name) for name in ("a.webp", "a.TIFF", "a.bmp")),
    ],
)
def test_colour_spaces_and_formats(tmp_path: Path, mode: str, colour: tuple[int, ...], name: str) -> None:
    Image.new(mode, (16, 16), colour).save(tmp_path / name)
    assert close(pixel(read_image(tmp_path / name), 8, 8), (254, 0, 0))


@pytest.mark.parametrize(("mode", "value"), [("L", 77), ("1", 1)])
def test_grey_and_black_and_white(tmp_path: Path, mode: str, value: int) -> None:
    Image.new(mode, (4, 4), value).save(tmp_path / "a.png")
    assert pixel(read_image(tmp_path / "a.png")) == ((value if mode == "L" else 255),) * 3


@pytest.mark.parametrize("name", ["a.gif", "a.png", "a.webp", "a.tif"])
def test_of_an_animation_the_first_frame_counts(tmp_path: Path, name: str) -> None:
    frames = [Image.new("RGB", (20, 20), colour) for colour in ("red", "blue", "green")]
    frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
    assert close(pixel(read_image(tmp_path / name), 9, 9), (255, 0, 0), within=8)


@pytest.mark.parametrize("size", [(200, 1), (1, 200), (1, 1)])
def test_one_pixel_high_images_reach_the_network(tmp_path: Path, size: tuple[int, int]) -> None:
    Image.new("RGB", size, "red").save(tmp_path / "a.png")
    image = read_image(tmp_path / "a.png")
    assert image.size == size
    tensor, _ = TrainingTransform((64, 96), 64, 0.2, (0.5,) * 3, (0.5,) * 3)(image)
    assert tensor.shape == (3, 64, 64)


def test_forty_megapixels_are_decoded_at_a_fraction_where_little_is_needed(tmp_path: Path) -> None:
    Image.new("RGB", (8000, 5000), "red").save(tmp_path / "a.jpg")
    small = read_image(tmp_path / "a.jpg", long_side=320)
    assert small.size == (1000, 625)
    assert close(pixel(small, 500, 300), (254, 0, 0))
    assert read_image(tmp_path / "a.jpg").size == (8000, 5000)


@pytest.mark.parametrize("size", [(8000, 5000), (5000, 8000), (80_000, 500), (1024, 1025)])
def test_large_images_are_scaled_down_to_a_number_of_pixels(size: tuple[int, int]) -> None:
    width, height = at_most(size, 1 << 20)
    assert width * height <= 1 << 20
    assert width * height > 0.98 * (1 << 20) or height == 1
    assert height == 1 or abs(width / height - size[0] / size[1]) < 0.02 * size[0] / size[1]


def test_other_images_keep_their_size() -> None:
    assert at_most((1024, 1024), 1 << 20) == (1024, 1024)
    assert at_most((8000, 5000), 0) == (8000, 5000)


def bomb(path: Path, width: int, height: int) -> None:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    data = zlib.compress(b"\0" * 1000)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b""))


@pytest.mark.parametrize("side", [10_000, 60_000])
def test_a_decompression_bomb_is_refused_by_name(tmp_path: Path, side: int) -> None:
    bomb(tmp_path / "bomb.png", side, side)
    with pytest.raises(DataError, match=r"bomb\.png is refused as a decompression bomb"):
        read_image(tmp_path / "bomb.png")


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tif", "a.webp", "a.gif", "a.bmp"])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.9])
def test_a_truncated_file_is_refused_by_name(tmp_path: Path, name: str, share: float) -> None:
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(tmp_path / name)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: int(len(content) * share)])
    with pytest.raises(DataError, match=name.replace(".", r"\.")):
        read_image(tmp_path / name)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_damaged_exif_data_do_not_hide_the_image(tmp_path: Path) -> None:
    Image.new("RGB", (16, 8), "red").save(tmp_path / "a.jpg", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x02\x01\x12\0\x03\0\0")
    assert read_image(tmp_path / "a.jpg").size == (16, 8)


def text_chunk(path: Path, megabytes: int) -> None:
    """A small PNG with so much text in it, compressed, as renderers and slide scanners write it."""
    info = PngImagePlugin.PngInfo()
    info.add_text("comment", "x" * (megabytes << 20), zip=True)
    Image.new("RGB", (8, 6), "red").save(path, pnginfo=info)


def test_a_png_with_long_text_is_an_image_like_others(tmp_path: Path) -> None:
    text_chunk(tmp_path / "a.png", 3)
    assert read_image(tmp_path / "a.png").size == image_size(tmp_path / "a.png") == (8, 6)
    Image.new("RGB", (8, 6)).save(tmp_path / "b.png", icc_profile=bytes(2 << 20))
    assert read_image(tmp_path / "b.png").size == (8, 6)


def test_a_png_with_endless_text_says_what_to_do(tmp_path: Path) -> None:
    text_chunk(tmp_path / "a.png", 20)
    with pytest.raises(DataError, match="more than 16 MB of text or colour profile in it: save it again"):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("a.svg", b'<?xml version="1.0"?>\n<svg xmlns="x"/>', r"drawing of lines \(SVG\)"),
        ("a.jpg", b"%PDF-1.7 ...", "PDF document"),
        ("a.jpg", b"\0\0\0\x18ftypheic\0\0\0\0", "HEIC photo"),
        ("a.jpg", b"\0\0\0\x18ftypisom\0\0\0\0", "video"),
        ("a.jpg", b"<!DOCTYPE html><html>Not found", "web page"),
        ("a.png", b"version https://git-lfs.github.com/spec/v1\n", "pointer of Git LFS"),
        ("a.jpg", b"", "empty file"),
        ("a.dcm", b"\0" * 128 + b"DICM", "DICOM image"),
    ],
)
def test_a_file_that_is_no_image_is_called_what_it_is(tmp_path: Path, name: str, content: bytes, kind: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=rf"cannot be read as an image(.|\n)*it is an? {kind}"):
        read_image(tmp_path / name)
    with pytest.raises(DataError, match=kind):
        read_image(BytesIO(content) if name != "a.dcm" else tmp_path / name)
