"""MXNet's .params files: read back what a writer after the format's description wrote, in each of its versions."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from ktse.errors import DataError
from ktse.models.mxnet_params import read_params

V1, V2, V3 = 0xF993FAC8, 0xF993FAC9, 0xF993FACA
NUMBER = {"float32": 0, "float64": 1, "float16": 2, "uint8": 3, "int32": 4, "int8": 5, "int64": 6}


def array(value: np.ndarray, version: int | None) -> bytes:
    head = struct.pack("<I", version) if version else b""
    if version in (V2, V3):
        head += struct.pack("<i", 0)
    head += struct.pack("<I", value.ndim) + b"".join(struct.pack("<q" if version else "<I", n) for n in value.shape)
    return head + struct.pack("<iii", 1, 0, NUMBER[value.dtype.name]) + value.tobytes()


def params(arrays: dict[str, np.ndarray], version: int | None) -> bytes:
    """The list: magic, reserved word, arrays, names."""
    content = struct.pack("<QQQ", 0x112, 0, len(arrays)) + b"".join(array(a, version) for a in arrays.values())
    content += struct.pack("<Q", len(arrays))
    return content + b"".join(struct.pack("<Q", len(name.encode())) + name.encode() for name in arrays)


@pytest.fixture
def arrays() -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    found = {
        f"arg:{name}": (100 * generator.normal(size=(2, 3, 1, 4)[: 1 + n % 4])).astype(name)
        for n, name in enumerate(NUMBER)
    }
    return found | {"aux:bn_moving_mean": np.arange(5, dtype=np.float32), "plain": np.ones((1, 1), np.float32)}


@pytest.mark.parametrize("version", [None, V1, V2, V3])
def test_what_was_written_is_read(tmp_path: Path, arrays: dict[str, np.ndarray], version: int | None) -> None:
    (tmp_path / "a.params").write_bytes(params(arrays, version))
    found = read_params(tmp_path / "a.params")
    assert list(found) == [name.split(":")[-1] for name in arrays]
    for value, expected in zip(found.values(), arrays.values(), strict=True):
        assert value.dtype == expected.dtype
        np.testing.assert_array_equal(value, expected)


def test_a_scalar_has_content_only_in_the_third_version(tmp_path: Path) -> None:
    (tmp_path / "a.params").write_bytes(params({"x": np.array(2.5, np.float32)}, V3))
    assert read_params(tmp_path / "a.params")["x"] == np.float32(2.5)
    empty = struct.pack("<QQQIiIQQ1s", 0x112, 0, 1, V2, 0, 0, 1, 1, b"x")
    (tmp_path / "b.params").write_bytes(empty)
    assert read_params(tmp_path / "b.params")["x"].size == 0


@pytest.mark.parametrize("version", [None, V1, V2, V3])
def test_a_file_cut_anywhere_is_a_clear_error(
    tmp_path: Path, arrays: dict[str, np.ndarray], version: int | None
) -> None:
    whole = params(arrays, version)
    for size in {*range(0, len(whole), 7), len(whole) - 1}:
        (tmp_path / "cut.params").write_bytes(whole[:size])
        with pytest.raises(DataError) as caught:
            read_params(tmp_path / "cut.params")
        assert "cut.params" in str(caught.value)
        assert "too early" in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"hello, this is something else", "0x112"),
        (struct.pack("<QQQIi", 0x112, 0, 1, V2, 1), "sparse"),
        (struct.pack("<QQQI", 0x112, 0, 1, 77), "77 dimensions"),
        (struct.pack("<QQQIIqiii", 0x112, 0, 1, V1, 1, 1, 1, 0, 99), "type 99"),
        (struct.pack("<QQQIIqiii", 0x112, 0, 1, V1, 1, -4, 1, 0, 0), "shape"),
        (struct.pack("<QQQQ", 0x112, 0, 0, 1) + struct.pack("<Q1s", 1, b"x"), "0 arrays, but 1 names"),
    ],
)
def test_something_else_is_a_clear_error(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "x.params").write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_params(tmp_path / "x.params")


def test_a_missing_file_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere\.params"):
        read_params(tmp_path / "nowhere.params")
