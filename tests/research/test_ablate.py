"""ktse ablate and ktse phenomenon through the command line, on tiny scenes."""

from __future__ import annotations

import csv
import json
import shutil
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

from ktse.cli import main
from ktse.data.demo.scenes import make_scenes
from ktse.errors import CollapseError
from ktse.job import Job
from ktse.pipeline import CHECK, CLASSIFY
from ktse.run_folder import RunFolder
from typed import TORCHRUN, ktse, ktse_process

TINY = [
    "--recipe", "demo", "--classify.backbone", "test_byobnet", "--classify.epochs", "3", "--classify.warmup", "2",
    "--classify.crop", "64", "--classify.long_side", "[64,80]", "--compute.workers", "0", "--classify.ramp", "0",
    "--classify.keep_every", "1", "--compute.precision", "fp32", "--seed.scales", "[0.5]",
]  # fmt: skip


def command(scenes: Path, out: Path, *more: str) -> list[str]:
    given = ["--tags", str(scenes / "tags.csv"), "--masks", str(scenes / "masks"), "--out", str(out)]
    return ["ablate", str(scenes / "images"), *given, *TINY, *more]


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return [{name: cell for name, cell in row.items() if name != "seconds"} for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "scenes"
    make_scenes(folder, images=12, size=(96, 80))
    return folder


@pytest.fixture(scope="module")
def finished(scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("ablation") / "out"
    done = ktse(*command(scenes, out, "--tables", "elements", "--random-seeds", "1"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(out / "ablation.md")
    assert done.stderr.count("goes on from the warm-up of") == 4
    shutil.copy(out / "ablation.csv", out / "elements.csv")
    return out


def test_every_arm_is_a_run_and_a_row(finished: Path) -> None:
    names = ["plain", "plain-warmup", "sie", "ssr", "sie-ssr", "ktse"]
    assert sorted(path.name for path in (finished / "runs").iterdir()) == sorted(f"{name}-0" for name in names)
    rows = table(finished / "elements.csv")
    assert [row["arm"] for row in rows] == names
    for row in rows:
        evaluation = json.loads((finished / "runs" / f"{row['arm']}-0" / "evaluation.json").read_text())
        assert float(row["oracle"]) == evaluation["seed"]["oracle"]["miou"]
        assert float(row["miou"]) == evaluation["seed"]["miou"]
        assert float(row["tag_f1"]) == evaluation["tags"]["train"]["f1"]
        assert "mask" not in evaluation
    ElementTree.fromstring((finished / "ablation.svg").read_text())
    assert "| plain CAM |" in (finished / "ablation.md").read_text()


def test_an_arm_is_what_a_run_with_its_settings_is(finished: Path, tmp_path: Path) -> None:
    job = Job(RunFolder(tmp_path / "run"), RunFolder(finished / "runs" / "ktse-0").read_recipe())
    for stage in (CHECK, CLASSIFY):
        job.do(stage)
    own = load_file(job.run.path("classify", "model.safetensors"))
    arm = load_file(finished / "runs" / "ktse-0" / "classify" / "model.safetensors")
    plain = load_file(finished / "runs" / "plain-0" / "classify" / "model.safetensors")
    assert all(np.array_equal(own[key], arm[key]) for key in own)
    assert not all(np.array_equal(own[key], plain[key]) for key in own)


def test_the_same_command_again_repeats_nothing_and_more_seeds_only_these(
    finished: Path, scenes: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in (finished / "runs").rglob("*") if path.is_file()}
    assert main(command(scenes, finished, "--tables", "sie", "--seeds", "1")) == 0
    said = capsys.readouterr().err
    assert said.count("ablate: ") == 2 and "CutMix, random seed 0" in said and "CutMix + SSR, random seed 0" in said
    after = {path: path.stat().st_mtime_ns for path in (finished / "runs").rglob("*") if path.is_file()}
    assert all(after[path] == time for path, time in before.items())


def test_two_processes_share_the_runs(finished: Path, scenes: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("more: {classify.objective.weights.transfer: 0.5}")
    arguments = command(scenes, tmp_path / "two", "--tables", str(tmp_path / "mine.yaml"), "--random-seeds", "1")
    done = ktse_process(*arguments, launcher=TORCHRUN)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(tmp_path / "two" / "ablation.md")  # said once
    assert done.stderr.count("goes on from the warm-up of") == 2
    rows = {row["arm"]: row for row in table(tmp_path / "two" / "ablation.csv")}
    assert list(rows) == ["plain", "ktse", "more"]
    for row in table(finished / "elements.csv"):  # by one process
        assert row["arm"] not in rows or rows[row["arm"]] == {**row, "tables": "mine"}


def test_a_slow_process_is_not_stopped_by_what_the_first_one_has_begun(
    scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached: list[int] = []
    monkeypatch.setattr("ktse.research.ablate.do_runs", lambda runs, *_: reached.append(len(runs)))
    arguments = command(scenes, tmp_path / "out", "--tables", "sie", "--random-seeds", "1")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "log.txt").touch()
    assert main(arguments) == 1 and not reached
    monkeypatch.setenv("RANK", "1")
    assert main(arguments) == 0 and len(reached) == 1


def test_a_collapse_is_noted_and_not_tried_again(scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ktse.stages import classify as stage

    (tmp_path / "mine.yaml").write_text("fragile: {classify.objective.weights.transfer: 7.0}")
    real, tried = stage.classify, []

    def fragile(run: RunFolder, data: Any, recipe: Any, compute: Any) -> None:
        if recipe.objective.weights.transfer == 7:
            tried.append(run)
            raise CollapseError("the tags were forgotten")
        real(run, data, recipe, compute)

    monkeypatch.setattr(stage, "classify", fragile)
    arguments = command(scenes, tmp_path / "out", "--tables", str(tmp_path / "mine.yaml"), "--random-seeds", "1")
    for _ in range(2):
        assert main(arguments) == 0
        row = next(row for row in table(tmp_path / "out" / "ablation.csv") if row["arm"] == "fragile")
        assert (row["state"], row["oracle"]) == ("collapsed", "")
        assert "| fragile | collapsed |" in (tmp_path / "out" / "ablation.md").read_text()
    assert len(tried) == 1
    assert main([*arguments, "--classify.lr", "0.03"]) == 0
    assert len(tried) == 2  # with other settings it may go well


def test_pseudo_masks_can_be_measured_later(finished: Path, scenes: Path, tmp_path: Path) -> None:
    (tmp_path / "none.yaml").write_text("{}")
    arguments = command(
        scenes, finished, "--tables", str(tmp_path / "none.yaml"), "--random-seeds", "1", "--pseudo-masks"
    )
    seeds = finished / "runs" / "ktse-0" / "seeds"
    before = {path: path.stat().st_mtime_ns for path in seeds.iterdir()}
    assert main(arguments) == 0
    assert {path: path.stat().st_mtime_ns for path in seeds.iterdir()} == before
    for row in table(finished / "ablation.csv"):
        evaluation = json.loads((finished / "runs" / f"{row['arm']}-0" / "evaluation.json").read_text())
        assert row["state"] == "masks collapsed" or float(row["mask"]) == evaluation["mask"]["miou"]
    assert main([*arguments[:-1], "--seed.stride", "8"]) == 0  # the masks are of other seeds now
    assert all(row["mask"] == "" for row in table(finished / "ablation.csv"))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--tables", "nonsense"), "there is no table 'nonsense'"),
        (("--random-seeds", "0"), "random_seeds is 0"),
        (("--classify.warmup", "3"), "all arms would be the same"),
        (("--masks", "nowhere", "--tables", "elements", "--random-seeds", "1"), "nowhere"),
    ],
)
def test_a_mistake_is_a_message_and_writes_nothing(
    scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: tuple[str, ...], message: str
) -> None:
    assert main(command(scenes, tmp_path / "out", *more)) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_folder_of_something_else_is_left_alone(
    scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    assert main(command(scenes, tmp_path)) == 1
    assert "holds no ablation" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_the_phenomenon_of_a_run(finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["phenomenon", str(finished / "runs" / "ktse-0"), "--out", str(tmp_path / "p"), "--images", "8"]) == 0
    captured = capsys.readouterr()
    assert captured.out.strip() == str(tmp_path / "p" / "phenomenon.json")
    assert "stitched to an image with the same class" in captured.err
    result = json.loads((tmp_path / "p" / "phenomenon.json").read_text())
    assert result["anchors"] <= 8
    found = [(network["network"], network["epoch"]) for network in result["networks"]]
    assert found == [("epoch-0001.safetensors", 1), ("warmup.safetensors", 2), ("model.safetensors", 3)]
    for network in result["networks"]:
        assert set(network["conditions"]) == {"same", "other", "blank", "itself"}
        assert len(network["by_distance"]["same"]) == 4  # lines of a CAM at stride 16
    ElementTree.fromstring((tmp_path / "p" / "phenomenon.svg").read_text())
    with Image.open(tmp_path / "p" / "phenomenon.png") as image:
        assert image.width > 3 * 160


def test_a_run_without_a_network_has_no_phenomenon(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    RunFolder(tmp_path).write_recipe(RunFolder(finished / "runs" / "plain-0").read_recipe())
    assert main(["phenomenon", str(tmp_path)]) == 1
    assert f"ktse classify {tmp_path}" in capsys.readouterr().err
