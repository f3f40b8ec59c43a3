"""A file is whole or not at all, says what it is of, and is known again: sealed models, durable writing, leftovers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ktse.artefacts import CONTENT, EMPTY, broken_seal, damage, made_for
from ktse.errors import RunError
from ktse.files import atomic, leftovers, settle, write_json, write_npz, write_text
from ktse.models.weights import load_tensors, save_tensors

HEADER = {"key": "abc", "classes": ["dog", "ü", 'a "quoted" \\ name'], "backbone": "b", "zeros": "0" * 32}


def save(path: Path) -> Path:
    save_tensors(path, {"a": torch.arange(6.0), "b": torch.ones(2, 2, dtype=torch.bfloat16)}, HEADER)
    return path


def test_equal_models_are_equal_bytes(tmp_path: Path) -> None:
    once = save(tmp_path / "once.safetensors").read_bytes()
    code = "import sys; sys.path.insert(0, sys.argv[1]); from pathlib import Path; import test_artefacts as t; "
    code += "t.save(Path(sys.argv[2]))"
    for number in range(3):  # each process orders the entries of a header in another way
        path = tmp_path / f"{number}.safetensors"
        subprocess.run([sys.executable, "-c", code, str(Path(__file__).parent), str(path)], check=True)
        assert path.read_bytes() == once


def test_a_sealed_model_is_read_back(tmp_path: Path) -> None:
    path = save(tmp_path / "m.safetensors")
    tensors, header = load_tensors(path)
    assert torch.equal(tensors["a"], torch.arange(6.0)) and tensors["b"].dtype == torch.bfloat16
    assert {name: header[name] for name in HEADER} == HEADER
    assert broken_seal(path) == "" and made_for(path) == "abc"
    save_tensors(path, tensors, header)  # as a checkpoint that is gone back to
    assert broken_seal(path) == ""


@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit_of_a_model_is_noticed(tmp_path_factory: pytest.TempPathFactory, place: float, bit: int) -> None:
    path = tmp_path_factory.getbasetemp() / "sealed.safetensors"
    if not path.is_file():
        save(path)
    held = path.read_bytes()
    number = int(place * len(held))
    try:
        path.write_bytes(held[:number] + bytes([held[number] ^ (1 << bit)]) + held[number + 1 :])
        try:
            tensors, header = load_tensors(path)
        except RunError as error:
            assert "sealed.safetensors" in str(error)
            return
        # The name of the seal itself: then it counts as a file of an earlier version, and holds the same.
        assert torch.equal(tensors["a"], torch.arange(6.0)) and {name: header[name] for name in HEADER} == HEADER
        assert "seal" not in header
    finally:
        path.write_bytes(held)


def test_what_was_made_from_something_else_or_is_no_result_says_so(tmp_path: Path) -> None:
    model, summary, empty = save(tmp_path / "m.safetensors"), tmp_path / "summary.json", tmp_path / "0.npz"
    write_json(summary, {"key": "abc"})
    empty.write_bytes(b"")
    for path in (model, summary):
        assert damage(path, {"abc"}) == damage(path) == ""
        assert damage(path, {"other"}) == "was made from something else"
    assert damage(empty) == EMPTY
    model.write_bytes(model.read_bytes()[:-1] + b"\0\0")
    assert damage(model) == CONTENT


@pytest.mark.parametrize("name", ["a.npz", "a.png", "a.json", "a.jsonl", "a.csv", "a.safetensors", "a.md"])
def test_what_cannot_be_read_is_damaged_and_no_traceback(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"\xff\xfe\0{[\n" * 9)
    assert damage(path)


def test_a_file_and_its_name_are_on_the_disk_when_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if sys.platform != "linux":
        pytest.skip("asks /proc which file is flushed")
    done: list[str] = []

    def fsync(number: int) -> None:
        place = Path(f"/proc/self/fd/{number}").readlink()
        done.append("folder" if place == tmp_path else f"{'part' if place.name.endswith('.part') else place.name}")

    replace = os.replace
    monkeypatch.setattr("os.fsync", fsync)
    monkeypatch.setattr("os.replace", lambda *names: (done.append("rename"), replace(*names)))
    write_text(tmp_path / "a.txt", "a")
    assert done == ["part", "rename", "folder"]
    done.clear()
    write_npz(tmp_path / "b.npz", values=torch.ones(2).numpy())
    assert done == ["rename"]  # one of many,
    settle([tmp_path / "b.npz"])  # for which somebody waits once
    assert done == ["rename", "b.npz", "folder"]


def test_what_a_killed_process_was_writing_is_a_leftover_and_what_lives_is_not(tmp_path: Path) -> None:
    code = "import os, sys; from pathlib import Path; from ktse.files import atomic\n"
    code += "with atomic(Path(sys.argv[1])) as part:\n    part.write_text('half'); os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "inside" / "a.txt")], check=False)
    with atomic(tmp_path / "b.txt") as part:
        part.write_text("half")
        found = list(leftovers(tmp_path))
    assert [path.parent.name for path in found] == ["inside"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.txt", "inside"]


def test_a_seal_is_json_like_everything_else_in_the_header(tmp_path: Path) -> None:
    path = save(tmp_path / "m.safetensors")
    held = path.read_bytes()
    header = json.loads(held[8 : 8 + int.from_bytes(held[:8], "little")])
    assert list(header["__metadata__"]) == sorted(header["__metadata__"])
    assert len(json.loads(header["__metadata__"]["seal"])) == 32
