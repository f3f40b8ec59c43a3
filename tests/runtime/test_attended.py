"""A process that another one looks at tells it how far it is."""

from __future__ import annotations

import pytest

from ktse.runtime import attended, progress
from ktse.runtime.console import track
from ktse.runtime.progress import whole_run


def stderr_of_a_stage(capsys: pytest.CaptureFixture[str]) -> list[str]:
    with whole_run({"train": 3, "apply": 1}) as run:
        run.begin("apply")
        list(track([1, 2], "apply", total=2))
    return capsys.readouterr().err.split("\n")[:-1]


def test_how_far_it_is(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert stderr_of_a_stage(capsys) == []
    monkeypatch.setenv(attended.NAME, "1")
    monkeypatch.setattr(progress, "OFTEN", 0.0)
    first, last = map(attended.told, stderr_of_a_stage(capsys))
    assert first == {"stage": "apply", "share": 0.5, "left": None}
    assert last == {"stage": "apply", "share": 1.0, "left": None}


def test_it_is_not_told_all_the_time(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(attended.NAME, "1")
    monkeypatch.setattr(progress, "OFTEN", 1e6)
    assert len(stderr_of_a_stage(capsys)) == 1


@pytest.mark.parametrize("line", ["stage 1 of 9: check", f'{attended.MARK}{{"stage": "ad', ""])
def test_other_lines_are_for_people(line: str) -> None:
    assert attended.told(line) is None
