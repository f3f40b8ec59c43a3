"""Files that claim more than they hold, or hold what C code must never see: refused by name, in little memory."""

from __future__ import annotations

import json
import math
import struct
import tracemalloc
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from drawn import CLASSES, SEVERAL, coco, tagged, write_json
from ktse.data.masks import open_corrections, open_truth
from ktse.data.readers.cells import words
from ktse.data.readers.coco_shapes import expanded, require_shape
from ktse.errors import DataError, KtseError, RunError
from ktse.files import read_json, read_label_map, read_npz, write_npz
from ktse.run_folder import RunFolder

MOST = 64 << 20
"""Bytes that a refusal may take."""


def refused(read: Any, *arguments: Any) -> str:
    """What is said of a file, after no more than a little memory was taken."""
    tracemalloc.start()
    try:
        with pytest.raises(KtseError) as caught:
            read(*arguments)
        assert tracemalloc.get_traced_memory()[1] < MOST
    finally:
        tracemalloc.stop()
    assert len(str(caught.value)) < 5000
    return str(caught.value)


def array_file(path: Path, head: str, body: bytes) -> Path:
    start = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("cam.npy", start + body)
    return path


@pytest.mark.parametrize("shape", ["(1000000000, 1000)", "(-1,)", "(3,)", "(9999999999999999999999,)"])
def test_an_array_that_claims_another_shape(shape: str, tmp_path: Path) -> None:
    head = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}"
    assert "is damaged" in refused(read_npz, array_file(tmp_path / "a.npz", head, b"\0" * 8))


def test_an_archive_that_becomes_gigabytes(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("a.npy", "w", force_zip64=True) as file,
    ):
        for _ in range(600):
            file.write(b"\0" * (1 << 20))
    assert path.stat().st_size < 1 << 20
    assert "claims to hold 629,145,600 bytes" in refused(read_npz, path)


def test_objects_are_never_unpickled(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", cam=np.array([{}], dtype=object))
    assert "is damaged" in refused(read_npz, tmp_path / "a.npz")


def test_arrays_of_another_stage(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    for arrays in (
        {"keys": np.zeros(2, np.int32), "cam": np.zeros((3, 4, 4), np.float16)},
        {"keys": np.zeros(2, np.float32), "cam": np.zeros((2, 4, 4), np.float16)},
        {"keys": np.zeros(1, np.int32), "cam": np.zeros((1, 4), np.float16)},
        {"keys": np.zeros(1, np.int32), "cam": np.zeros((1, 4, 4), "U3")},
        {"keys": np.zeros(1, np.int32), "other": np.zeros((1, 4, 4), np.float16)},
    ):
        write_npz(run.seed_path("a"), **arrays)
        with pytest.raises(RunError, match=r"a\.npz is damaged"):
            run.seed("a")


def png(path: Path, width: int, height: int) -> Path:
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n"
    for name, body in ((b"IHDR", head), (b"IDAT", zlib.compress(b"\0" * 1_000_000)), (b"IEND", b"")):
        content += struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("side", [10_000, 30_000, 65_535])
def test_a_mask_with_very_many_pixels(side: int, tmp_path: Path) -> None:
    data = tagged(tmp_path / "data", SEVERAL)
    path = png(tmp_path / "masks" / "0.png", side, side)
    assert "0.png" in refused(read_label_map, path)
    assert "0.png cannot be a mask" in refused(open_corrections, path.parent, data)


@pytest.mark.parametrize("text", ['{"a": NaN}', '{"a": 1e999}', '{"a": "\\ud800"}', "[" * 100_000, "1" * 5000])
def test_json_that_cannot_be_written_again(text: str, tmp_path: Path) -> None:
    path = tmp_path / "check.json"
    path.write_text(text)
    assert "check.json is damaged" in refused(read_json, path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("manifest.json", {"check": {"state": "done"}}),
        ("manifest.json", {"check": 3}),
        ("check.json", {"warnings": "one"}),
        ("evaluation.json", {"mask": {"miou": "high"}}),
        ("evaluation.json", {"verdict": {"run": "fine", "classes": {}, "signs": []}}),
        ("masks/summary.json", {"threshold": [0.5]}),
        ("masks/summary.json", []),
    ],
)
def test_json_of_another_type_names_file_and_place(name: str, content: Any, tmp_path: Path) -> None:
    run, (folder, _, last) = RunFolder(tmp_path), name.rpartition("/")
    (tmp_path / folder).mkdir(exist_ok=True)
    write_json(tmp_path / name, content)
    read = {"manifest.json": run.manifest, "check.json": run.checked, "evaluation.json": run.evaluation}
    with pytest.raises(RunError, match=f"{last} is damaged"):
        read.get(name, lambda: run.summary("masks"))()


SIZE = [60, 72]


@pytest.mark.parametrize(
    "shape",
    [
        [[math.nan] * 6],
        [[math.inf, 1, 2, 3, 4, 5]],
        [[1e9, 1, 2, 3, 4, 5]],
        [[-1e9, 1, 2, 3, 4, 5]],
        [["1", 1, 2, 3, 4, 5]],
        [[True, 1, 2, 3, 4, 5]],
        [[1, 2, 3, 4, 5, 6, 7]],
        [[10**400, 2, 3, 4, 5, 6]],
        ["123456"],
        [{"a": 1}],
        {"size": SIZE, "counts": [-1, 4321]},
        {"size": SIZE, "counts": [1 << 62, 1 << 62]},
        {"size": SIZE, "counts": [4319.5, 0.5]},
        {"size": SIZE, "counts": [1, 2]},
        {"size": SIZE, "counts": "PPPP"},
        {"size": SIZE, "counts": "o"},
        {"size": SIZE, "counts": "o" * 200},
        {"size": SIZE, "counts": "€"},
        {"size": SIZE, "counts": {"a": 1}},
        {"size": [72, 60], "counts": [4320]},
        {"size": "60", "counts": [4320]},
        {"counts": [4320]},
        "mask",
        7,
    ],
)
def test_no_shape_that_pycocotools_cannot_draw_gets_there(shape: Any, tmp_path: Path) -> None:
    with pytest.raises((ValueError, OverflowError)):
        require_shape(shape, 72, 60)
    data = tagged(tmp_path / "data", SEVERAL)
    path = write_json(tmp_path / "masks.json", coco(SEVERAL, segmentation=shape))
    with pytest.raises(DataError, match=r"masks\.json"):
        truth = open_truth(path, data)
        for name in truth.paths:
            truth.read(name)


def test_the_text_of_runs_is_read_as_pycocotools_reads_it() -> None:
    mask = pytest.importorskip("pycocotools.mask", reason="needs the extra coco")
    rng = np.random.default_rng(0)
    for share in (0.0, 0.01, 0.5, 1.0):
        label = np.asfortranarray(rng.random((60, 72)) < share, dtype=np.uint8)
        text = mask.encode(label)["counts"].decode()
        flat = np.repeat(np.arange(len(expanded(text))) % 2, expanded(text))
        assert np.array_equal(flat, label.ravel(order="F"))


@pytest.mark.parametrize("side", [math.nan, math.inf, 1e300, -5, 1 << 40, 60_000])
def test_sides_of_images_in_coco(side: float, tmp_path: Path) -> None:
    data = tagged(tmp_path / "data", SEVERAL)
    for photo in (tmp_path / "data" / "photos").iterdir():
        photo.write_bytes(b"")  # so that nothing but the file says how large an image is
    path = write_json(tmp_path / "masks.json", coco(SEVERAL, width=side, height=side))
    assert "masks.json" in refused(open_truth, path, data)


def test_a_class_name_of_megabytes(tmp_path: Path) -> None:
    tagged(tmp_path, SEVERAL)
    (tmp_path / "classes.txt").unlink()
    path = tmp_path / "tags.json"
    path.write_text(json.dumps({f"{number}.jpg": ["x" * (5 << 20)] for number in range(len(SEVERAL))}))
    from ktse.data.open import open_data
    from ktse.recipe import DataRecipe

    text = refused(open_data, DataRecipe(images=str(tmp_path / "photos"), tags=str(path)))
    assert "at most 200 letters" in text


def test_lists_in_cells_that_are_no_python() -> None:
    for cell, expected in (
        ("['a\0b', \"c\"]", ("a\0b", "c")),
        ("[007, 12]", ("007", "12")),
        ("[]", ()),
        ("['a\nb']", ("a\nb",)),
    ):
        assert words(cell, ";") == expected


def test_tensors_larger_than_their_bytes(tmp_path: Path) -> None:
    import torch

    from ktse.models.import_weights import import_weights

    torch.save({"a": torch.ones(1).expand(10**6, 10**6)}, tmp_path / "a.pth")
    assert "a is larger than its bytes" in refused(import_weights, tmp_path / "a.pth", tmp_path / "a.safetensors")
    torch.save({"a": torch.zeros(5 << 20)}, tmp_path / "b.pth")
    with (
        zipfile.ZipFile(tmp_path / "b.pth") as archive,
        zipfile.ZipFile(tmp_path / "c.pth", "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for part in archive.infolist():
            packed.writestr(part.filename, archive.read(part))
    assert "more than its own size" in refused(import_weights, tmp_path / "c.pth", tmp_path / "c.safetensors")


def test_headers_of_models(tmp_path: Path) -> None:
    import torch

    from ktse.models.weights import load_tensors, require_header, save_tensors

    path = tmp_path / "model.safetensors"
    for header in (
        {"classes": "dog"},
        {"classes": []},
        {"mean": [1]},
        {"levels": 0},
        {"networks": 10**9},
        {"encoder": 3},
    ):
        save_tensors(path, {"a": torch.zeros(1)}, header)
        assert "is not a model file of ktse" in refused(load_tensors, path)
    save_tensors(path, {"a": torch.zeros(1)}, {"classes": list(CLASSES)})
    assert "it lacks encoder" in refused(require_header, path, load_tensors(path)[1], "classes encoder")
