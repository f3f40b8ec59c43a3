"""Everything that is said is kept, as plain text, once there is a place for it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ktse.errors import DataError
from ktse.runtime.console import say, say_once
from ktse.runtime.log import recording


def test_what_was_said_before_there_was_a_file_is_kept_too(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    path.write_text("an earlier run\n")
    with recording("ktse run photos") as log:
        say("first")
        say_once("device: cpu")
        assert path.read_text() == "an earlier run\n"
        log.keep(path)
        say("one\ntwo \x1b[31mred\x1b[0m \udcff")
        say_once("device: cpu")
        with recording():
            say("inner")
        log.at_end(lambda: say("last"))
    say("outside")
    say_once("outside")
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[0] == "an earlier run"
    assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d |\s{20}", line) for line in lines[1:])
    said = [line[20:] for line in lines[1:]]
    assert said[0].endswith("ktse run photos")
    assert said[1:4] == ["first", "device: cpu", "one"]
    assert said[5:] == ["inner", "last"]
    assert all(letter.isprintable() for line in lines for letter in line)


def test_how_a_verb_failed_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    for error in (DataError("no tags", hint="Give some."), KeyboardInterrupt(), ZeroDivisionError("a bug")):
        with pytest.raises(type(error)), recording() as log:
            log.keep(path)
            log.at_end(lambda: say("verdict: good"))
            raise error
    text = path.read_text()
    assert "error: no tags" in text and "Give some." in text
    assert "interrupted" in text
    assert "ZeroDivisionError: a bug" in text and "Traceback" in text
    assert "verdict" not in text


def test_a_place_where_nothing_can_be_written_does_not_end_the_work(tmp_path: Path) -> None:
    with recording() as log:
        log.keep(tmp_path / "nowhere" / "log.txt")
        say("still here")


def test_the_first_process_alone_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    with recording() as log:
        log.keep(tmp_path / "log.txt")
        log.write("me too")
    assert not list(tmp_path.iterdir())
