"""Masks drawn by a person, through the command line: they choose the threshold, measure, and are learned from."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tiny_run import TINY, whole
from typed import ktse


def test_a_few_masks_choose_the_threshold_and_are_not_measured(own_run: Path, drawings: Path, tmp_path: Path) -> None:
    few = tmp_path / "few"
    few.mkdir()
    # As the run's own, so that the threshold leaves something, however little so small a network has learned.
    *chosen, another = [path for path in sorted((own_run / "masks").glob("*.png")) if np.array(Image.open(path)).any()][
        :4
    ]
    for path in chosen:
        shutil.copy(path, few)
    another = Path(shutil.copy(another, tmp_path / another.name))
    refined = ktse("refine", own_run, "--refine.threshold", "auto", "--calibrate", few)
    assert refined.returncode == 0, refined.stderr
    assert "calibrated on 3 true masks" in refined.stderr
    for stage in ("segment", "predict"):
        assert ktse(stage, own_run).returncode == 0
    measured = ktse("evaluate", own_run)
    assert "3 images chose the threshold and are left out" in measured.stderr
    summary = json.loads((own_run / "masks" / "summary.json").read_text())
    evaluation = json.loads((own_run / "evaluation.json").read_text())
    assert summary["calibration"]["images"] == [path.stem for path in chosen]
    assert summary["threshold"] == summary["calibration"]["threshold"] == evaluation["mask"]["threshold"]
    assert evaluation["mask"]["threshold_source"] == summary["threshold_source"]
    assert evaluation["mask"]["images"] == evaluation["prediction"]["images"] == 11
    printed = {words[1].strip(): words[2] for line in measured.stdout.splitlines() if len(words := line.split("│")) > 2}
    for stage in ("seed", "mask", "fused", "prediction"):
        assert f"{evaluation[stage]['miou']:.3g}" in printed[stage]
    assert evaluation["calibration_left_out"] == 3
    # Of the 14 images three were calibrated with, and those without tags have no say in the correlation.
    tags = dict(line.split(",") for line in (drawings / "tags.csv").read_text().splitlines()[1:])
    tagged = {Path(name).stem for name, value in tags.items() if value} - set(summary["calibration"]["images"])
    assert evaluation["mask"]["confidence_images"] == len(tagged)
    assert evaluation["prediction"]["confidence_images"] == 11
    assert -1 <= evaluation["prediction"]["confidence_correlation"] <= 1
    assert ktse("report", own_run).returncode == 0
    page = (own_run / "report.html").read_text()
    assert "3 masks drawn by hand have chosen the threshold" in page
    assert "done already" in ktse("refine", own_run).stderr
    shutil.copy(another, few)
    assert "calibrated on 4 true masks" in ktse("refine", own_run).stderr
    assert "no truth used" in ktse("refine", own_run, "--refine.calibrate", "").stderr


def test_masks_in_another_order_of_classes_are_not_believed(own_run: Path, drawings: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    count = len((own_run / "classes.txt").read_text().split())
    for path in (drawings / "masks").glob("*.png"):
        mask = np.array(Image.open(path))
        inside = (mask > 0) & (mask <= count)
        Image.fromarray(np.where(inside, count + 1 - mask, mask).astype(np.uint8)).save(other / path.name)
    assert "is the order another one?" in ktse("evaluate", own_run, "--masks", other).stderr
    (warning,) = [text for text in json.loads((own_run / "evaluation.json").read_text())["warnings"] if "order" in text]
    assert "classes.txt" in warning
    assert "order" not in ktse("evaluate", own_run, "--masks", drawings / "masks").stderr
    assert not [text for text in json.loads((own_run / "evaluation.json").read_text())["warnings"] if "order" in text]


def test_wrong_masks_to_calibrate_with_are_said_before_any_work(tiny_run: Path, drawings: Path, tmp_path: Path) -> None:
    few = tmp_path / "few"
    few.mkdir()
    shutil.copy(drawings / "masks" / "0001.png", few / "nobody.png")
    Image.new("L", (3, 3)).save(few / "0002.png")
    recipe = (tiny_run / "recipe.yaml").read_text()
    new = ["run", drawings / "images", "--tags", drawings / "tags.csv", "--out", tmp_path / "new", *TINY]
    again = ["refine", tiny_run, "--refine.threshold", "auto"]
    for arguments in ([*new, "--calibrate", few], [*again, "--calibrate", few]):
        done = ktse(*arguments)
        assert done.returncode == 1
        assert "the image 'nobody'" in done.stderr and "3x3 pixels" in done.stderr
        assert "Traceback" not in done.stderr
    assert not (tmp_path / "new").exists()
    assert (tiny_run / "recipe.yaml").read_text() == recipe
    fixed = ktse("refine", tiny_run, "--refine.threshold", "0.3", "--calibrate", few)
    assert fixed.returncode == 1 and "refine.threshold is 0.3" in fixed.stderr


def test_corrected_masks_are_learned_from_and_a_changed_one_repeats_what_follows(
    own_run: Path, drawings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fixed = tmp_path / "fixed"
    before = (own_run / "manifest.json").read_text(), (own_run / "recipe.yaml").read_text()
    none = ktse("adapt", own_run)
    assert none.returncode == 1 and "has no adapt" in none.stderr
    fixed.mkdir()
    Image.new("L", (7, 9)).save(fixed / "0003.png")
    Image.new("L", Image.open(drawings / "images" / "0004.jpg").size, 77).save(fixed / "0004.png")
    Image.new("L", (96, 80)).save(fixed / "stranger.png")
    wrong = ktse("adapt", own_run, "--corrections", fixed)
    assert wrong.returncode == 1
    for part in ("0003.png: 7x9 pixels", "0004.png: values [77]", "the image 'stranger'"):
        assert part in wrong.stderr
    assert "Traceback" not in wrong.stderr
    assert ((own_run / "manifest.json").read_text(), (own_run / "recipe.yaml").read_text()) == before
    shutil.rmtree(fixed)
    fixed.mkdir()
    names = [
        line.split(",")[0] for line in (own_run / "evaluation_images.csv").read_text().splitlines() if "train" in line
    ]
    shutil.copy(drawings / "masks" / f"{names[0]}.png", fixed)
    monkeypatch.chdir(tmp_path)
    done = ktse("adapt", own_run, "--corrections", "fixed")
    assert done.returncode == 0, done.stderr
    assert "1 corrected mask\n" in done.stderr
    monkeypatch.chdir(own_run)  # the folder is found from anywhere
    assert "adapt: done already" in ktse("adapt", own_run).stderr
    shutil.copy(drawings / "masks" / f"{names[1]}.png", fixed)
    again = ktse(*whole(drawings, own_run), "--corrections", fixed)
    assert again.returncode == 0, again.stderr
    assert "2 corrected masks" in again.stderr and "segment: done already" in again.stderr
    assert "predict: done already" not in again.stderr
    assert "2 masks corrected by a person" in (own_run / "model_card.md").read_text()
