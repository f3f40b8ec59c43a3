"""The whole job on a tiny data set, through the command line: done, interrupted, repeated, changed."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

from fakes import empty_stages
from tiny_run import TINY, whole
from typed import command, ktse


def test_the_whole_job_leaves_everything_it_promises(tiny_run: Path, drawings: Path) -> None:
    evaluation = json.loads((tiny_run / "evaluation.json").read_text())
    for stage in ("seed", "mask", "prediction"):
        entry = evaluation[stage]
        assert set(entry) >= {"miou", "iou", "threshold", "threshold_source", "oracle", "images", "tags_used"}
        assert entry["images"] == 14
        assert 0 <= entry["miou"] <= 100
    assert evaluation["seed"]["oracle"]["miou"] >= evaluation["seed"]["miou"]
    assert [evaluation[stage]["tags_used"] for stage in ("seed", "mask", "prediction")] == [True, True, False]
    for photo in (drawings / "images").iterdir():
        with Image.open(photo) as image, Image.open(tiny_run / "masks" / f"{photo.stem}.png") as mask:
            assert image.size == mask.size
        with Image.open(tiny_run / "predictions" / f"{photo.stem}.png") as prediction:
            assert prediction.size == image.size
            assert np.asarray(prediction).max() <= 5


@pytest.mark.parametrize(
    ("interruption", "stages"), [(signal.SIGINT, ["classify", "segment"]), (signal.SIGTERM, ["classify"])]
)
def test_an_interrupted_run_goes_on_where_it_stopped(
    tiny_run: Path, drawings: Path, tmp_path: Path, interruption: signal.Signals, stages: list[str]
) -> None:
    run = tmp_path / "run"
    job = whole(drawings, run)
    with subprocess.Popen(command(*job), stderr=subprocess.PIPE, text=True) as process:
        log = run / "classify" / "metrics.jsonl"
        while process.poll() is None and not (log.is_file() and log.read_text()):
            time.sleep(0.01)
        process.send_signal(interruption)
        said = process.communicate(timeout=300)[1]
    assert process.returncode == 130, said
    assert "goes on from here" in said and "Traceback" not in said
    assert not list(run.glob(".lock*"))
    assert "interrupted" in (run / "log.txt").read_text()
    assert not (run / "classify" / "model.safetensors").exists()
    again = ktse(*job) if "segment" in stages else ktse("classify", run)
    assert again.returncode == 0, again.stderr
    assert log.read_text() == (tiny_run / "classify" / "metrics.jsonl").read_text()
    for stage in stages:
        once, twice = (load_file(folder / stage / "model.safetensors") for folder in (tiny_run, run))
        assert all(np.array_equal(once[key], twice[key]) for key in once)


def test_progress_is_lines_in_a_pipe_and_in_the_log(tiny_run: Path) -> None:
    text = (tiny_run / "log.txt").read_text(encoding="utf-8")
    assert text.splitlines()[0].endswith("--weights none")  # what was typed
    stages = ("check", "classify", "seed", "refine", "segment", "predict", "evaluate", "report")
    for number, stage in enumerate(stages, start=1):
        assert f" stage {number} of 8: {stage}" in text
    for line in ("classify: epoch 2 of 2", "segment: epoch 1 of 1", "device: ", "verdict: ", "next: look at"):
        assert f" {line}" in text
    assert all(letter.isprintable() for line in text.splitlines() for letter in line)


def test_every_term_is_logged_by_name_after_the_warm_up(tiny_run: Path) -> None:
    lines = [json.loads(line) for line in (tiny_run / "classify" / "metrics.jsonl").read_text().splitlines()]
    terms = [set(line["terms"]) for line in lines if line.get("phase") == "ktse"]
    expected = {
        "classification", "transfer", "background", "foreground", "inter_class", "stitched_background",
        "stitched_foreground", "global_alignment", "local_alignment",
    }  # fmt: skip
    assert terms
    assert all(found == expected for found in terms)


def test_the_same_command_again_does_nothing_and_a_changed_setting_only_what_follows(
    own_run: Path, drawings: Path
) -> None:
    again = whole(drawings, own_run)
    seeds = {path: path.stat().st_mtime_ns for path in (own_run / "seeds").iterdir()}
    idle = ktse(*again)
    assert idle.stderr.count("done already") == 8
    changed = ktse(*again, "--refine.threshold", "0.37")
    assert changed.returncode == 0, changed.stderr
    assert changed.stderr.count("done already") == 3
    assert "refine: done again, as refine.threshold was" in changed.stderr
    assert "segment: done again, as refine changed" in changed.stderr
    assert {path: path.stat().st_mtime_ns for path in (own_run / "seeds").iterdir()} == seeds
    assert json.loads((own_run / "evaluation.json").read_text())["mask"]["threshold"] == 0.37


def test_images_that_were_copied_elsewhere_cost_no_training(own_run: Path, drawings: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(drawings, moved, copy_function=shutil.copy)  # without the files' times
    again = ktse(*whole(moved, own_run))
    assert again.returncode == 0, again.stderr
    for stage in ("classify", "seed"):
        assert f"{stage}: done already" in again.stderr


def test_another_chain_of_refiners_needs_its_stage_and_no_other(own_run: Path, tmp_path: Path) -> None:
    lacking = ktse("refine", own_run, "--refine.method", "[par,irn]")
    assert lacking.returncode == 1
    assert f"ktse affinity {own_run}" in lacking.stderr
    done = ktse("affinity", own_run, "--affinity.epochs", "1", "--affinity.crop", "96", "--compute.workers", "0")
    assert done.returncode == 0, done.stderr
    seeds = {path: path.stat().st_mtime_ns for path in (own_run / "seeds").iterdir()}
    refined = ktse("refine", own_run, "--refine.method", "[par,irn]")
    assert refined.returncode == 0, refined.stderr
    assert {path: path.stat().st_mtime_ns for path in (own_run / "seeds").iterdir()} == seeds
    assert len(list((own_run / "confident").glob("*.png"))) == len(list((own_run / "masks").glob("*.png"))) == 14


def test_a_sam_on_disk_is_a_refiner(own_run: Path, tmp_path: Path, tiny_sam: Path) -> None:
    lacking = ktse("refine", own_run, "--refine.method", "[sam]")
    assert lacking.returncode == 1
    assert "refine.sam_weights" in lacking.stderr and "Traceback" not in lacking.stderr
    done = ktse("refine", own_run, "--refine.method", "[par,sam]", "--refine.sam_weights", tiny_sam)
    assert done.returncode == 0, done.stderr
    assert len(list((own_run / "masks").glob("*.png"))) == 14


def test_an_unreadable_photo_stops_the_run_before_training(drawings: Path, tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    (images / "a.jpg").write_bytes((drawings / "images" / "0000.jpg").read_bytes()[:900])
    (images / "b.jpg").write_bytes(b"")
    (tmp_path / "tags.csv").write_text("image,tags\na.jpg,x\nb.jpg,x\n")
    done = ktse("run", images, "--tags", tmp_path / "tags.csv", "--out", tmp_path / "run", *TINY)
    assert done.returncode == 1
    assert "a.jpg" in done.stderr
    assert "b.jpg" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run" / "classify").exists()


def test_a_run_inside_the_folder_of_its_images_goes_on(
    drawings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty_stages(monkeypatch)
    photos = tmp_path / "photos"
    shutil.copytree(drawings / "images", photos)
    job = ["run", photos, "--tags", drawings / "tags.csv", "--out", photos / "run", *TINY]
    assert ktse(*job).returncode == 0
    again = ktse(*job)
    assert again.returncode == 0, again.stderr
    assert "segment: done already" in again.stderr


def test_a_training_that_cannot_begin_keeps_the_former_network(own_run: Path, tmp_path: Path) -> None:
    before = (own_run / "classify/model.safetensors").read_bytes()
    done = ktse("classify", own_run, "--classify.weights", tmp_path / "none.safetensors")
    assert done.returncode == 1
    assert "none.safetensors" in done.stderr
    assert (own_run / "classify/model.safetensors").read_bytes() == before
    again = ktse("classify", own_run, "--classify.weights", "none")
    assert "classify: done already" in again.stderr
    assert not list(own_run.glob(".*"))


def test_check_prints_json(drawings: Path) -> None:
    done = ktse("check", drawings / "images", "--tags", drawings / "tags.csv", "--masks", drawings / "masks", "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["images"] == 14
