"""The face of the package in Python."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

import ktse
from ktse.errors import RunError
from ktse.run_folder import RunFolder
from ktse.runtime.device import on_device
from ktse.runtime.fabric import make_fabric
from ktse.runtime.log import recording
from ktse.runtime.words import many
from ktse.training.batches import make_loader


def test_dir_is_the_public_part() -> None:
    assert dir(ktse) == sorted([*ktse.__all__, "__version__"])
    assert all(callable(getattr(ktse, name)) for name in ktse.__all__)
    assert "status" in dir(ktse)


def test_a_run_folder_says_what_it_is(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    assert repr(run) == f"<RunFolder {tmp_path / 'run'}: nothing done>"
    run.record("classify", {"state": "done", "key": "k"})
    run.record("seed", {"state": "failed", "key": "k"})
    assert repr(run) == f"<RunFolder {tmp_path / 'run'}: classify done>"
    run.path("manifest.json").write_text("{")
    assert "damaged" in repr(run)


def test_the_device_is_the_chosen_one_and_said_once(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: True)
    with recording(), on_device("cpu"):
        for _ in range(2):
            assert make_fabric("fp32").device.type == "cpu"
        loader = make_loader([0, 1], [[0, 1]], workers=-1)  # type: ignore[arg-type]
        assert not loader.pin_memory
    assert capsys.readouterr().err == f"device: cpu, {many(torch.get_num_threads(), 'thread')}\n"
    # Outside of a verb nothing is said.
    with on_device("cpu"):
        make_fabric("fp32")
    assert capsys.readouterr().err == ""


def test_a_device_that_is_not_there_is_a_message() -> None:
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    for name in (name for name, found in there.items() if not found):
        with on_device(name), pytest.raises(RunError, match=f"no device '{name}'") as caught:  # type: ignore[arg-type]
            make_fabric("fp32")
        assert "--device" in caught.value.hint


def test_the_framework_beneath_says_nothing() -> None:
    code = "from ktse.runtime.fabric import make_fabric; make_fabric('bf16')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
