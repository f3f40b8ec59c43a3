"""What nobody has foreseen is a fault of ktse, and the user learns what to report."""

from __future__ import annotations

import dataclasses
import re
import tempfile
from pathlib import Path

import pytest

from ktse.errors import DataError
from ktse.terminal import parser
from typed import ktse


def _raising(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    def verb(run: str) -> None:
        """Do nothing."""
        raise error

    monkeypatch.setitem(parser.VERBS, "status", dataclasses.replace(parser.VERBS["status"], function=verb))


class PanicException(BaseException):
    """What libraries in Rust raise."""


@pytest.mark.parametrize("error", [ZeroDivisionError("a bug"), RecursionError(), KeyError("a"), PanicException("rust")])
def test_an_unforeseen_error_is_a_message_with_a_file(
    error: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    _raising(error, monkeypatch)
    done = ktse("status", "run")
    assert done.returncode == 70
    assert "this is a fault of ktse, not yours" in done.stderr and type(error).__name__ in done.stderr
    assert "Traceback" not in done.stderr
    (kept,) = tmp_path.iterdir()
    assert str(kept) in done.stderr.replace("\n", "")
    text = kept.read_text()
    assert "Traceback" in text and "ktse status run" in text and re.search(r"Python \d", text)


def test_the_traceback_is_shown_where_no_file_can_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere")
    _raising(ZeroDivisionError("a bug"), monkeypatch)
    done = ktse("status", "run")
    assert done.returncode == 70 and "ZeroDivisionError: a bug" in done.stderr and "Traceback" in done.stderr


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (MemoryError(), 1, "the memory of the machine is full"),
        (RuntimeError("CUDA out of memory. Tried to allocate 20 GiB."), 1, "the memory of the GPU is full"),
        (OSError(28, "No space left on device", "run/masks/1.png"), 1, "run/masks/1.png: No space left"),
        (DataError("no tags", where="x" * 5000), 1, "xxx ... xxx"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_what_the_machine_lacks_is_no_fault(
    error: BaseException, code: int, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _raising(error, monkeypatch)
    done = ktse("status", "run")
    assert done.returncode == code and message in done.stderr and len(done.stderr) < 3000
    assert "Traceback" not in done.stderr
