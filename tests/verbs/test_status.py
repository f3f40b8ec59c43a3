"""Where a run stands, in the shell and in Python, with and without its images."""

from __future__ import annotations

import json
import os
import shlex
import shutil
from pathlib import Path

import pytest

import ktse
from fakes import empty_stages, written_by_ktse
from ktse.cli import main
from ktse.data.demo.scenes import make_scenes
from ktse.errors import DataError
from ktse.pipeline import STAGES as RECORDS
from ktse.recipe.load import load_recipe, to_dict
from ktse.runtime.lock import locked

STAGES = [name for name in RECORDS if name not in ("affinity", "adapt")]


def empty(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Stages write empty files; the folder is where commands are typed."""
    empty_stages(monkeypatch)
    monkeypatch.setattr("ktse.pipeline.say_costs", lambda *_: None)
    monkeypatch.chdir(folder)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with scenes and a finished run of stages that write empty files."""
    folder = tmp_path_factory.mktemp("first")
    with pytest.MonkeyPatch.context() as patch:
        empty(patch, folder)
        make_scenes(Path("scenes"), images=3, size=(64, 64))
        assert main(["run", "scenes/images", "--tags", "scenes/tags.csv", "--out", "run"]) == 0
    return folder


@pytest.fixture
def run(first: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The run in a copy of that folder, which is as if it had been made there."""
    shutil.copytree(first, tmp_path, dirs_exist_ok=True)
    text = (tmp_path / "run" / "recipe.yaml").read_text()
    written_by_ktse(tmp_path / "run", "recipe.yaml", text.replace(str(first), str(tmp_path)))
    empty(monkeypatch, tmp_path)
    return tmp_path / "run"


def states(run: Path) -> dict[str, str]:
    return {stage.stage: stage.state for stage in ktse.status(run).stages}


def note(run: Path, stage: str, **changes: object) -> None:
    """Change what the manifest says of a stage."""
    path = run / "manifest.json"
    content = json.loads(path.read_text())
    content[stage] |= changes
    path.write_text(json.dumps(content))


def test_a_finished_run_is_done_and_can_be_used(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status = ktse.status(run)
    assert [stage.stage for stage in status.stages] == STAGES
    assert {stage.state for stage in status.stages} == {"done"}
    assert all(stage.seconds is not None and stage.why == () for stage in status.stages)
    assert status.next == f"ktse predict {run} IMAGES --out DIR"
    capsys.readouterr()
    assert main(["status", str(run)]) == 0
    captured = capsys.readouterr()
    assert [line.split("│")[1:3] for line in captured.out.splitlines() if "│ done" in line] == [
        [f" {stage:8} ", " done  "] for stage in STAGES
    ]
    assert captured.err == ""


def test_the_verdict_is_shown_with_its_signs_and_what_to_do(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sign = {"level": "look", "class": "dog", "text": "Its masks are thin.", "next": "ktse check run"}
    verdict = {"run": "look", "classes": {"dog": "look"}, "signs": [sign]}
    written_by_ktse(run, "evaluation.json", json.dumps({"verdict": verdict}))
    assert ktse.status(run).next == "ktse check run"
    capsys.readouterr()
    assert main(["status", "run"]) == 0
    shown = capsys.readouterr().out
    assert "verdict: look at it" in shown
    assert "dog: Its masks are thin." in shown
    # The same at the end of a run.
    assert main(["run", "scenes/images", "--tags", "scenes/tags.csv", "--out", "run"]) == 0
    captured = capsys.readouterr()
    assert "verdict: look at it" in captured.err and "dog: Its masks are thin. Next: ktse check run" in captured.err
    assert captured.out.splitlines() == ["run/report.html"]
    assert "verdict: look at it" in (run / "log.txt").read_text()


def test_what_is_stale_says_why_and_how_to_go_on(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    changed = to_dict(load_recipe(run / "recipe.yaml", {"refine.threshold": 0.25}))
    (run / "recipe.yaml").write_text(json.dumps(changed))
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    for there in (True, False):
        if not there:
            Path("scenes").rename("elsewhere")
        found = states(run)
        assert [stage for stage in STAGES if found[stage] != "stale"] == ["check", "classify", "seed"]
        why = {stage.stage: stage.why for stage in ktse.status(run).stages}
        assert why["refine"] == ('refine.threshold was "auto" and is 0.25',)
        assert main(["status", "run"]) == 0
        assert 'refine.threshold was "auto" and is 0.25' in capsys.readouterr().out
    assert before == {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    text = ktse.status(run).next
    assert "were at" in text and f"--recipe {run / 'recipe.yaml'}" in text


def test_the_command_that_goes_on_changes_no_setting(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    changed = to_dict(load_recipe(run / "recipe.yaml", {"refine.threshold": 0.25}))
    (run / "recipe.yaml").write_text(json.dumps(changed))
    command = shlex.split(ktse.status("run").next)
    assert command[0] == "ktse"
    assert main(command[1:]) == 0
    assert set(states(run).values()) == {"done"}
    assert to_dict(load_recipe(run / "recipe.yaml")) == changed


def test_changed_images_make_check_stale_and_nothing_else_yet(run: Path) -> None:
    photo = min(Path("scenes/images").iterdir())
    photo.write_bytes(photo.read_bytes())
    os.utime(photo, (1, 1))
    found = states(run)
    assert found.pop("check") == "stale"
    assert set(found.values()) == {"done"}


@pytest.mark.parametrize(
    ("changes", "state", "why"),
    [
        ({"state": "failed", "message": "the loss is no longer a number\nmore"}, "failed", "the loss is no longer"),
        ({"state": "failed", "message": "KeyboardInterrupt"}, "unfinished", "interrupted"),
        ({"state": "running"}, "unfinished", "its process has ended"),
    ],
)
def test_a_stage_that_is_not_finished_says_what_happened(
    run: Path, changes: dict[str, str], state: str, why: str
) -> None:
    note(run, "segment", **changes)
    (found,) = [stage for stage in ktse.status(run).stages if stage.stage == "segment"]
    assert found.state == state
    assert why in " ".join(found.why) and "more" not in found.why
    assert ktse.status(run).next.startswith("ktse run ")


def test_files_that_are_gone_and_stages_that_never_began(run: Path) -> None:
    (run / "segment" / "model.safetensors").unlink()
    next(iter((run / "seeds").iterdir())).unlink()
    content = json.loads((run / "manifest.json").read_text())
    del content["report"]
    (run / "manifest.json").write_text(json.dumps(content))
    (run / "index" / "report.json").unlink()
    found = states(run)
    assert (found["segment"], found["seed"], found["report"]) == ("unfinished", "unfinished", "missing")
    Path("scenes").rename("elsewhere")
    assert states(run)["segment"] == "unfinished"


def test_who_works_there_is_said_and_status_needs_no_lock(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    note(run, "classify", state="running")
    with locked(run):
        status = ktse.status(run)
        assert states(run)["classify"] == "running"
        assert "wait" in status.next and "process" in status.next
        capsys.readouterr()
        for verb in (["seed", "run"], ["run", "scenes/images", "--tags", "scenes/tags.csv", "--out", "run"]):
            assert main(verb) == 1
            assert "another ktse works in run" in capsys.readouterr().err
    note(run, "classify", state="done")
    with locked(run):
        assert main(["report", "run"]) == 0  # it is finished, so that nothing is written
    assert main(["seed", "run"]) == 0
    assert not list(run.glob(".*"))


def test_no_run_folder_is_a_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", str(tmp_path)]) == 1
    assert "is not a run folder" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["classify", "seed", "refine", "segment", "predict", "evaluate", "report", "check"])
@pytest.mark.parametrize("emptied", [False, True])
def test_every_verb_says_where_the_images_were(
    run: Path, verb: str, emptied: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("scenes/images").rename("elsewhere")
    if emptied:  # a disk that is no longer mounted
        Path("scenes/images").mkdir()
    capsys.readouterr()
    assert main([verb, "run"]) == 1
    said = capsys.readouterr().err
    assert f"the images of this run were at {run.parent / 'scenes' / 'images'}" in said
    assert "If they have moved: ktse run IMAGES --tags TAGS --out run --recipe run/recipe.yaml" in said


def test_a_table_in_memory_is_kept_so_that_the_shell_goes_on(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pandas = pytest.importorskip("pandas")
    rows = [line.split(",") for line in Path("scenes/tags.csv").read_text().splitlines()[1:]]
    frame = pandas.DataFrame({"image": [row[0] for row in rows], "tags": [row[1].split(";") for row in rows]})
    found = ktse.run("scenes/images", tags=frame, out="framed")
    assert repr(found).startswith("<RunFolder framed: check, classify, seed,")
    tags = sorted({tag for row in rows for tag in row[1].split(";") if tag})
    assert (found.root / "classes.txt").read_text().splitlines() == tags
    capsys.readouterr()
    again = ["run", "scenes/images", "--tags", "framed/tags.csv", "--out", "framed"]
    assert main(again) == 0
    assert capsys.readouterr().err.count("done already") == 8
    kept = (found.root / "tags.csv").read_bytes()
    for out in ("framed", "new"):
        with pytest.raises(DataError, match="the tag file made of the table has no column of tags"):
            ktse.run("scenes/images", tags=frame[["image"]], out=out)
    assert (found.root / "tags.csv").read_bytes() == kept
    assert not Path("new").exists()
    assert list(ktse.check("scenes/images", tags=frame).classes) == tags
