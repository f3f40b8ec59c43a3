"""What is said before masks or a model are used, and at the end of a run."""

from __future__ import annotations

from pathlib import Path

import pytest

from ktse.files import write_json
from ktse.quality.verdict import Sign, Verdict
from ktse.run_folder import RunFolder
from ktse.verbs.verdict import say_end, say_verdict

USELESS = Sign("do-not-use", "", "The model is of no use.", "ktse segment RUN", "model")
THIN = Sign("look", "dog", "Its masks are thin.", "ktse check RUN")


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    made = RunFolder(tmp_path / "run")
    write_json(made.path("evaluation.json"), {"verdict": Verdict.of([USELESS, THIN], ["dog", "cat"]).to_json()})
    return made


def test_masks_and_model_have_their_own_verdicts(run: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    say_verdict(run, "masks")
    said = capsys.readouterr().err
    assert "verdict on the masks: look at it: " in said and THIN.text in said and USELESS.text not in said
    say_verdict(run, "model")
    said = capsys.readouterr().err
    assert "verdict on the model: do not use the model; look at the masks: " in said
    assert USELESS.text in said and THIN.text in said


def test_a_model_that_should_not_be_used_is_not_the_next_step(
    run: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    say_end(run)
    said = capsys.readouterr().err
    assert "verdict: do not use the model; look at the masks: " in said and "ktse predict" not in said
    write_json(run.path("evaluation.json"), {"verdict": Verdict.of([THIN], ["dog", "cat"]).to_json()})
    say_end(run)
    said = capsys.readouterr().err
    assert "verdict: look at it" in said and "then ktse predict" in said


def test_results_without_a_verdict_are_called_that(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    say_verdict(RunFolder(tmp_path), "masks")
    assert "verdict on the masks: these results were not judged yet" in capsys.readouterr().err
