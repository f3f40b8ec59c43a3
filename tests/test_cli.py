"""The command line, through the command line: the whole job on a tiny data set, and what a mistake looks like."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

from ktse.data.scenes import make_scenes

TINY = [
    "--recipe", "demo", "--classify.backbone", "resnet10t", "--classify.epochs", "2", "--classify.warmup", "1",
    "--classify.crop", "64", "--classify.long_side", "[64,96]", "--segment.encoder", "resnet10t", "--segment.epochs",
    "1", "--segment.crop", "64", "--segment.long_side", "[64,96]", "--seed.scales", "[0.5]",
    "--classify.workers", "0", "--segment.workers", "0", "--weights", "none",
]  # fmt: skip


def ktse(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ktse.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "scenes"
    make_scenes(folder, images=14, size=(96, 80))
    table = (folder / "tags.csv").read_text().splitlines()
    table[1] = table[1].split(",")[0] + ","  # an image without tags is legal
    (folder / "tags.csv").write_text("\n".join(table))
    return folder


@pytest.fixture(scope="module")
def finished(scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "tiny"
    done = ktse(
        "run", scenes / "images", "--tags", scenes / "tags.csv", "--masks", scenes / "masks", "--out", run, *TINY
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(run / "report.html")
    return run


def test_the_whole_job_leaves_everything_it_promises(finished: Path, scenes: Path) -> None:
    evaluation = json.loads((finished / "evaluation.json").read_text())
    for stage in ("seed", "mask", "prediction"):
        entry = evaluation[stage]
        assert set(entry) >= {"miou", "iou", "threshold", "threshold_source", "oracle", "images", "tags_used"}
        assert entry["images"] == 14
        assert 0 <= entry["miou"] <= 100
    assert evaluation["seed"]["oracle"]["miou"] >= evaluation["seed"]["miou"]
    assert [evaluation[stage]["tags_used"] for stage in ("seed", "mask", "prediction")] == [True, True, False]
    for photo in (scenes / "images").iterdir():
        with Image.open(photo) as image, Image.open(finished / "masks" / f"{photo.stem}.png") as mask:
            assert image.size == mask.size
        with Image.open(finished / "predictions" / f"{photo.stem}.png") as prediction:
            assert prediction.size == image.size
            assert np.asarray(prediction).max() <= 5


@pytest.mark.parametrize("interruption", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_goes_on_where_it_stopped(
    finished: Path, scenes: Path, tmp_path: Path, interruption: signal.Signals
) -> None:
    run = tmp_path / "run"
    job = ["run", scenes / "images", "--tags", scenes / "tags.csv", "--masks", scenes / "masks", "--out", run, *TINY]
    command = [sys.executable, "-m", "ktse.cli", *map(str, job)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        log = run / "classify" / "metrics.jsonl"
        while process.poll() is None and not (log.is_file() and log.read_text()):
            time.sleep(0.01)
        process.send_signal(interruption)
        said = process.communicate(timeout=300)[1]
    assert process.returncode == 130, said
    assert "goes on from here" in said and "Traceback" not in said
    assert not (run / "classify" / "model.safetensors").exists()
    again = ktse(*job)
    assert again.returncode == 0, again.stderr
    assert log.read_text() == (finished / "classify" / "metrics.jsonl").read_text()
    for name in ("classify/model.safetensors", "segment/model.safetensors"):
        once, twice = load_file(finished / name), load_file(run / name)
        assert all(np.array_equal(once[key], twice[key]) for key in once)


def test_every_term_is_logged_by_name_after_the_warm_up(finished: Path) -> None:
    lines = [json.loads(line) for line in (finished / "classify" / "metrics.jsonl").read_text().splitlines()]
    terms = [set(line["terms"]) for line in lines if line.get("phase") == "ktse"]
    expected = {
        "classification", "transfer", "background", "foreground", "inter_class", "stitched_background",
        "stitched_foreground", "global_alignment", "local_alignment",
    }  # fmt: skip
    assert terms
    assert all(found == expected for found in terms)


def test_the_same_command_again_does_nothing_and_a_changed_setting_only_what_follows(
    finished: Path, scenes: Path
) -> None:
    again = [
        "run", scenes / "images", "--tags", scenes / "tags.csv", "--masks", scenes / "masks", "--out", finished, *TINY,
    ]  # fmt: skip
    seeds = {path: path.stat().st_mtime_ns for path in (finished / "seeds").iterdir()}
    idle = ktse(*again)
    assert idle.stderr.count("done already") == 8
    changed = ktse(*again, "--refine.threshold", "0.37")
    assert changed.returncode == 0, changed.stderr
    assert changed.stderr.count("done already") == 3
    assert {path: path.stat().st_mtime_ns for path in (finished / "seeds").iterdir()} == seeds
    assert json.loads((finished / "evaluation.json").read_text())["mask"]["threshold"] == 0.37


def test_predict_takes_a_photo_or_a_folder_and_keeps_its_size(finished: Path, tmp_path: Path) -> None:
    (tmp_path / "in" / "deep").mkdir(parents=True)
    Image.new("RGB", (37, 91), "green").save(tmp_path / "in" / "deep" / "ö.PNG")
    assert ktse("predict", finished, tmp_path / "in", "--out", tmp_path / "out").returncode == 0
    with Image.open(tmp_path / "out" / "deep" / "ö.png") as prediction:
        assert prediction.size == (37, 91)
    assert ktse("predict", finished, tmp_path / "in" / "deep" / "ö.PNG", "--out", tmp_path / "one").returncode == 0
    assert (tmp_path / "one" / "ö.png").is_file()


def test_an_unreadable_photo_does_not_lose_the_others(finished: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    Image.new("RGB", (40, 40)).save(tmp_path / "in" / "good.png")
    (tmp_path / "in" / "bad.jpg").write_bytes(b"no image")
    done = ktse("predict", finished, tmp_path / "in", "--out", tmp_path / "out")
    assert done.returncode == 1
    assert "bad.jpg" in done.stderr
    assert (tmp_path / "out" / "good.png").is_file()


def test_an_unreadable_photo_stops_the_run_before_training(scenes: Path, tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    (images / "a.jpg").write_bytes((scenes / "images" / "0000.jpg").read_bytes()[:900])
    (images / "b.jpg").write_bytes(b"")
    (tmp_path / "tags.csv").write_text("image,tags\na.jpg,x\nb.jpg,x\n")
    done = ktse("run", images, "--tags", tmp_path / "tags.csv", "--out", tmp_path / "run", *TINY)
    assert done.returncode == 1
    assert "a.jpg" in done.stderr
    assert "b.jpg" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run" / "classify").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "nowhere", "--tags", "nowhere.csv", "--out", "run"], "nowhere.csv does not exist"),
        (["seed", "nowhere"], "is not a run folder"),
        (["report", "nowhere"], "is not a run folder"),
    ],
)
def test_a_mistake_is_a_message_and_writes_nothing(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = ktse(*arguments)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_check_prints_json(scenes: Path) -> None:
    done = ktse("check", scenes / "images", "--tags", scenes / "tags.csv", "--masks", scenes / "masks", "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["images"] == 14
