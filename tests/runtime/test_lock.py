"""Two processes never work in one run folder; a lock that was left behind is no obstacle."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ktse.errors import RunError
from ktse.runtime.lock import NAME, holder, locked, refuse_locked

HOLD = (
    "import sys, pathlib; from ktse.runtime.lock import locked\n"
    "with locked(pathlib.Path(sys.argv[1])):\n    print('here', flush=True); sys.stdin.readline()"
)


def start(folder: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline().strip() == "here"
    return process


def test_a_second_process_is_refused_and_told_who_works_there(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    first = start(folder)
    try:
        for refusal in (lambda: refuse_locked(folder), lambda: locked(folder).__enter__()):
            with pytest.raises(RunError, match=f"another ktse works in .*process {first.pid} on .* since") as caught:
                refusal()
            assert caught.value.hint
    finally:
        first.communicate("\n", timeout=60)
    assert not list(folder.iterdir())
    with locked(folder):
        assert holder(folder) is not None
    assert holder(folder) is None


def test_the_lock_of_a_process_that_was_killed_is_taken_over(tmp_path: Path) -> None:
    first = start(tmp_path)
    first.kill()
    first.communicate(timeout=60)
    assert (tmp_path / NAME).is_file()
    assert holder(tmp_path) is None
    refuse_locked(tmp_path)
    with locked(tmp_path):
        found = holder(tmp_path)
        assert found is not None and found.process == os.getpid()
    assert not list(tmp_path.iterdir())


def test_a_process_of_the_same_number_born_later_is_another_one(tmp_path: Path) -> None:
    with locked(tmp_path):
        entry = json.loads((tmp_path / NAME).read_text())
    if not entry["born"]:
        pytest.skip("needs Linux, which says when a process was born")
    (tmp_path / NAME).write_text(json.dumps({**entry, "born": "an earlier boot 1"}))
    with locked(tmp_path):
        assert json.loads((tmp_path / NAME).read_text()) == entry | {
            "since": json.loads((tmp_path / NAME).read_text())["since"]
        }


def test_of_another_machine_nobody_can_tell(tmp_path: Path) -> None:
    entry = {"host": "elsewhere", "process": 1, "since": "2026-01-01T00:00:00", "born": ""}
    (tmp_path / NAME).write_text(json.dumps(entry))
    with pytest.raises(RunError, match="process 1 on elsewhere since 2026-01-01 00:00:00") as caught, locked(tmp_path):
        pass
    assert NAME in caught.value.hint
    assert json.loads((tmp_path / NAME).read_text()) == entry


@pytest.mark.parametrize("content", ["", "{", "[]", '{"host": "x"}'])
def test_a_lock_without_a_process_in_it_is_taken_over(
    tmp_path: Path, content: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ktse.runtime.lock.HALF_WRITTEN", 0.0)
    (tmp_path / NAME).write_text(content)
    with locked(tmp_path):
        assert holder(tmp_path) is not None
    assert not list(tmp_path.iterdir())


def test_an_error_releases_the_lock(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), locked(tmp_path):
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


def test_the_first_process_of_many_stands_for_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    with locked(tmp_path):
        assert not list(tmp_path.iterdir())
    monkeypatch.setenv("RANK", "0")
    with locked(tmp_path):
        monkeypatch.setenv("RANK", "1")
        refuse_locked(tmp_path)
        with locked(tmp_path):
            assert (tmp_path / NAME).is_file()
        monkeypatch.setenv("RANK", "0")
