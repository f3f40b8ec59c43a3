"""Help is short, settings are a question away, and mistakes are named as people type."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from ktse.cli import main
from ktse.recipe import Recipe
from ktse.recipe.load import load_recipe
from ktse.run_folder import RunFolder
from ktse.terminal.parser import VERBS

Output = pytest.CaptureFixture[str]


def help_of(capsys: Output, *words: str) -> str:
    with pytest.raises(SystemExit) as end:
        main([*words, "--help"])
    assert end.value.code == 0
    return capsys.readouterr().out


def defaults(text: str) -> dict[str, str]:
    """Settings and their defaults in a help text."""
    found = {}
    for entry in re.split(r"\n  (?=--)", text):
        name, value = re.match(r"--([\w.]+)", entry), re.search(r"\(default:\s+(.*?)\)\s*(?:\n\n|$)", entry, re.S)
        if name and value:
            found[name[1]] = " ".join(value[1].split())
    return found


@pytest.mark.parametrize("verb", VERBS)
def test_help_fits_two_screens_and_names_no_types(verb: str, capsys: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    text = help_of(capsys, verb)
    assert len(text.splitlines()) <= 100
    assert not re.search(r"type:|Union|null|Literal", text)
    assert "--classify.epochs" not in text
    assert ("--help-settings" in text) == bool(VERBS[verb].settings)


def test_the_words_of_the_verb_come_first(capsys: Output) -> None:
    text = help_of(capsys, "run")
    assert text.startswith("usage: ktse run IMAGES --out OUT [options]")
    for option in ("tags", "recipe", "weights", "masks", "calibrate", "corrections", "device", "skip-bad"):
        assert f"--{option}" in text
    assert "[IMAGES ...]" in help_of(capsys, "predict")
    assert "(required)" not in help_of(capsys, "predict").partition("images, or one folder")[2]


def test_the_command_alone_prints_help() -> None:
    for command in (["-m", "ktse"], ["-m", "ktse.cli"]):
        done = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False, timeout=100)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("usage: ktse VERB")
        assert all(verb in done.stdout for verb in VERBS)


@pytest.mark.parametrize(
    ("words", "recipe"),
    [
        (["run", "photos", "--out", "x"], "fast"),
        (["run", "--recipe", "voc12"], "voc12"),
        (["run", "--recipe=coco14-official"], "coco14-official"),
        (["demo"], "demo"),
        (["ablate", "photos", "--recipe", "demo"], "demo"),
    ],
)
def test_defaults_are_those_of_the_recipe_in_use(words: list[str], recipe: str, capsys: Output) -> None:
    assert main([*words, "--help-settings", "classify"]) == 0
    text = capsys.readouterr().out
    expected = load_recipe(recipe).classify
    found = defaults(text)
    assert found["classify.epochs"] == str(expected.epochs)
    assert found["classify.backbone"] == expected.backbone
    assert found["classify.objective.weights.transfer"] == str(expected.objective.weights.transfer)
    assert "--segment.epochs" not in text
    assert f"the recipe {recipe}." in " ".join(text.split())


def test_defaults_of_a_verb_on_a_run_are_those_of_the_run(
    capsys: Output, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    RunFolder("run").write_recipe(load_recipe("fast", {"segment.epochs": 77}))
    assert main(["segment", "run", "--help-settings"]) == 0
    text = capsys.readouterr().out
    assert defaults(text)["segment.epochs"] == "77" and "the run run" in text


def test_all_settings_are_shown_on_demand(capsys: Output) -> None:
    for words in (["--help-settings", "all"], ["--help-settings"], ["--help-settings=all", "--recipe", "fast"]):
        assert main(["run", *words]) == 0
        text = capsys.readouterr().out
        for stage in ("data", "classify", "seed", "affinity", "refine", "segment", "predict"):
            names = [name for name in vars(getattr(Recipe(), stage)) if name not in ("images", "tags", "skip_bad")]
            assert all(f"--{stage}.{name}" in text for name in names)


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["run"], 2, "ktse run: missing: IMAGES, --out OUT"),
        (["run", "photos"], 2, "ktse run: missing: --out OUT"),
        (["predict", "--out", "x"], 2, "ktse predict: missing: RUN"),
        (["ablate", "photos"], 2, "ktse ablate: missing: --masks MASKS, --out OUT"),
        (["import-weights"], 2, "ktse import-weights: missing: FILE, --out OUT"),
        (["frobnicate"], 2, "frobnicate"),
        (["run", "photos", "--out", "x", "--frob", "1"], 2, "--frob"),
        (["run", "photos", "--out", "x", "--device", "tpu"], 2, "--device"),
        (["run", "--help-settings", "frob"], 1, "run has no settings 'frob'"),
        (["report", "--help-settings"], 1, "report has no settings"),
        (["run", "--help-settings", "all", "--recipe", "frob"], 1, "there is no recipe 'frob'"),
    ],
)
def test_a_mistake_is_named_as_people_type(words: list[str], status: int, message: str, capsys: Output) -> None:
    assert main(words) == status
    captured = capsys.readouterr()
    assert message in captured.err and captured.out == ""
    assert "Traceback" not in captured.err and len(captured.err.splitlines()) <= 3
    assert "positional" not in captured.err and "<class" not in captured.err
