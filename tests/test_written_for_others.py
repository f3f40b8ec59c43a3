"""Names that other programs would take for something else: spreadsheets, terminals, logs."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from ktse.files import in_cell, of_cell, read_table, write_table
from ktse.prediction.files import CONFIDENCE, CONFIDENCE_HEAD, tidy
from ktse.runtime import console
from ktse.runtime.console import say, show
from ktse.runtime.log import recording
from ktse.runtime.words import visible

HOSTILE = ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "'=a", "''@a", "\t=a", "\r=a", "'a", "-", "1", "a=b", ""]


def test_no_cell_is_a_formula_and_all_are_read_back(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    write_table(path, ("id", "value"), [(name, "0.5") for name in HOSTILE])
    assert [row["id"] for row in read_table(path)] == HOSTILE
    with path.open(newline="") as file:
        cells = [row[0] for row in csv.reader(file)]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]


def test_numbers_stay_numbers() -> None:
    for value in ("-0.5", "+3", "1e-05", "-1e+05", -0.5, None):
        assert in_cell(value) == value


@given(st.text())
def test_every_text_comes_back_from_a_cell(text: str) -> None:
    written = in_cell(text)
    assert isinstance(written, str)
    assert of_cell(written) == text


def test_confidences_are_sorted_by_names_as_they_are(tmp_path: Path) -> None:
    with (tmp_path / CONFIDENCE).open("w", newline="") as file:
        csv.writer(file).writerows([(in_cell("=b"), "0.1000"), ("a", "0.2000"), (in_cell("=b"), "0.3000")])
    tidy(tmp_path)
    assert read_table(tmp_path / CONFIDENCE) == [
        dict(zip(CONFIDENCE_HEAD, row, strict=True)) for row in (("=b", "0.3000"), ("a", "0.2000"))
    ]


EVIL = "a\x1b[2J\x9b31m\x07\u202eb\udcff\r.png"


def test_what_steers_a_terminal_is_shown(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    said = io.StringIO()
    monkeypatch.setattr(console, "console", Console(file=said, force_terminal=True, markup=False, highlight=False))
    with recording() as log:
        say(f"{EVIL} is bad\nsecond line")
        show(EVIL)
    for text in (said.getvalue(), capsys.readouterr().out, "\n".join(log._lines)):
        assert r"a\x1b[2J\x9b31m\x07\u202eb\udcff\r.png" in text.replace("\n", "").replace("  ", "")
        assert all(letter.isprintable() or letter == "\n" for letter in text)
    assert "second line" in said.getvalue().splitlines()[-1]


def test_names_of_every_script_are_shown_as_they_are() -> None:
    for name in ("강아지", "नमस्\u200dते", "é ü", "می\u200cخواهم", "a\nb"):
        assert visible(name) == name
