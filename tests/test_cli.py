"""The command line, through the command line: the whole job on a tiny data set, and what a mistake looks like."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

import ktse as package  # the name ktse is the command here
from ktse.data.demo.scenes import make_scenes

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
    assert done.stdout.splitlines()[-1] == str(run / "report.html")
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
    assert not list(run.glob(".lock*"))
    assert "interrupted" in (run / "log.txt").read_text()
    assert not (run / "classify" / "model.safetensors").exists()
    again = ktse(*job)
    assert again.returncode == 0, again.stderr
    assert log.read_text() == (finished / "classify" / "metrics.jsonl").read_text()
    for name in ("classify/model.safetensors", "segment/model.safetensors"):
        once, twice = load_file(finished / name), load_file(run / name)
        assert all(np.array_equal(once[key], twice[key]) for key in once)


def test_progress_is_lines_in_a_pipe_and_in_the_log(finished: Path) -> None:
    text = (finished / "log.txt").read_text(encoding="utf-8")
    assert text.splitlines()[0].endswith("--weights none")  # what was typed
    stages = ("check", "classify", "seed", "refine", "segment", "predict", "evaluate", "report")
    for number, stage in enumerate(stages, start=1):
        assert f" stage {number} of 8: {stage}" in text
    for line in ("classify: epoch 2 of 2", "segment: epoch 1 of 1", "device: ", "verdict: ", "next: look at"):
        assert f" {line}" in text
    assert all(letter.isprintable() for line in text.splitlines() for letter in line)


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
    assert "refine: done again, as refine.threshold was" in changed.stderr
    assert "segment: done again, as refine changed" in changed.stderr
    assert {path: path.stat().st_mtime_ns for path in (finished / "seeds").iterdir()} == seeds
    assert json.loads((finished / "evaluation.json").read_text())["mask"]["threshold"] == 0.37


def test_images_that_were_copied_elsewhere_cost_no_training(finished: Path, scenes: Path, tmp_path: Path) -> None:
    moved, run = tmp_path / "moved", tmp_path / "run"
    shutil.copytree(scenes, moved, copy_function=shutil.copy)  # without the files' times
    shutil.copytree(finished, run)
    again = ktse(
        "run", moved / "images", "--tags", moved / "tags.csv", "--masks", moved / "masks", "--out", run, *TINY
    )  # fmt: skip
    assert again.returncode == 0, again.stderr
    for stage in ("classify", "seed"):
        assert f"{stage}: done already" in again.stderr


def test_another_chain_of_refiners_needs_its_stage_and_no_other(finished: Path, tmp_path: Path) -> None:
    run = tmp_path / "walk"
    shutil.copytree(finished, run)
    lacking = ktse("refine", run, "--refine.method", "[par,irn]")
    assert lacking.returncode == 1
    assert f"ktse affinity {run}" in lacking.stderr
    done = ktse("affinity", run, "--affinity.epochs", "1", "--affinity.crop", "96", "--affinity.workers", "0")
    assert done.returncode == 0, done.stderr
    seeds = {path: path.stat().st_mtime_ns for path in (run / "seeds").iterdir()}
    refined = ktse("refine", run, "--refine.method", "[par,irn]")
    assert refined.returncode == 0, refined.stderr
    assert {path: path.stat().st_mtime_ns for path in (run / "seeds").iterdir()} == seeds
    assert len(list((run / "confident").glob("*.png"))) == len(list((run / "masks").glob("*.png"))) == 14


def test_a_sam_on_disk_is_a_refiner(finished: Path, tmp_path: Path, tiny_sam: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    lacking = ktse("refine", run, "--refine.method", "[sam]")
    assert lacking.returncode == 1
    assert "refine.sam_weights" in lacking.stderr and "Traceback" not in lacking.stderr
    done = ktse("refine", run, "--refine.method", "[par,sam]", "--refine.sam_weights", tiny_sam)
    assert done.returncode == 0, done.stderr
    assert len(list((run / "masks").glob("*.png"))) == 14


def test_a_few_masks_choose_the_threshold_and_are_not_measured(finished: Path, scenes: Path, tmp_path: Path) -> None:
    run, few = tmp_path / "run", tmp_path / "few"
    shutil.copytree(finished, run)
    few.mkdir()
    for name in ("0001", "0004", "0007"):
        shutil.copy(scenes / "masks" / f"{name}.png", few)
    refined = ktse("refine", run, "--refine.threshold", "auto", "--calibrate", few)
    assert refined.returncode == 0, refined.stderr
    assert "calibrated on 3 true masks" in refined.stderr
    for stage in ("segment", "predict"):
        assert ktse(stage, run).returncode == 0
    measured = ktse("evaluate", run)
    assert "3 images chose the threshold and are left out" in measured.stderr
    summary = json.loads((run / "masks" / "summary.json").read_text())
    evaluation = json.loads((run / "evaluation.json").read_text())
    assert summary["calibration"]["images"] == ["0001", "0004", "0007"]
    assert summary["threshold"] == summary["calibration"]["threshold"] == evaluation["mask"]["threshold"]
    assert evaluation["mask"]["threshold_source"] == summary["threshold_source"]
    assert evaluation["mask"]["images"] == evaluation["prediction"]["images"] == 11
    printed = {words[1].strip(): words[2] for line in measured.stdout.splitlines() if len(words := line.split("│")) > 2}
    for stage in ("seed", "mask", "fused", "prediction"):
        assert f"{evaluation[stage]['miou']:.3g}" in printed[stage]
    assert evaluation["calibration_left_out"] == 3
    # Of the 14 images three were calibrated with, and those without tags have no say in the correlation.
    tags = dict(line.split(",") for line in (scenes / "tags.csv").read_text().splitlines()[1:])
    tagged = {Path(name).stem for name, value in tags.items() if value} - set(summary["calibration"]["images"])
    assert evaluation["mask"]["confidence_images"] == len(tagged)
    assert evaluation["prediction"]["confidence_images"] == 11
    assert -1 <= evaluation["prediction"]["confidence_correlation"] <= 1
    assert ktse("report", run).returncode == 0
    page = (run / "report.html").read_text()
    assert "3 masks drawn by hand have chosen the threshold" in page
    assert "done already" in ktse("refine", run).stderr
    shutil.copy(scenes / "masks" / "0002.png", few)
    assert "calibrated on 4 true masks" in ktse("refine", run).stderr
    assert "no truth used" in ktse("refine", run, "--refine.calibrate", "").stderr


def test_masks_in_another_order_of_classes_are_not_believed(finished: Path, scenes: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    count = len((finished / "classes.txt").read_text().split())
    for path in (scenes / "masks").glob("*.png"):
        mask = np.array(Image.open(path))
        inside = (mask > 0) & (mask <= count)
        Image.fromarray(np.where(inside, count + 1 - mask, mask).astype(np.uint8)).save(other / path.name)
    run = shutil.copytree(finished, tmp_path / "run")
    assert "is the order another one?" in ktse("evaluate", run, "--masks", other).stderr
    (warning,) = [text for text in json.loads((run / "evaluation.json").read_text())["warnings"] if "order" in text]
    assert "classes.txt" in warning
    assert "order" not in ktse("evaluate", run, "--masks", scenes / "masks").stderr
    assert not [text for text in json.loads((run / "evaluation.json").read_text())["warnings"] if "order" in text]


def test_wrong_masks_to_calibrate_with_are_said_before_any_work(finished: Path, scenes: Path, tmp_path: Path) -> None:
    few = tmp_path / "few"
    few.mkdir()
    shutil.copy(scenes / "masks" / "0001.png", few / "nobody.png")
    Image.new("L", (3, 3)).save(few / "0002.png")
    recipe = (finished / "recipe.yaml").read_text()
    new = ["run", scenes / "images", "--tags", scenes / "tags.csv", "--out", tmp_path / "new", *TINY]
    again = ["refine", finished, "--refine.threshold", "auto"]
    for arguments in ([*new, "--calibrate", few], [*again, "--calibrate", few]):
        done = ktse(*arguments)
        assert done.returncode == 1
        assert "the image 'nobody'" in done.stderr and "3x3 pixels" in done.stderr
        assert "Traceback" not in done.stderr
    assert not (tmp_path / "new").exists()
    assert (finished / "recipe.yaml").read_text() == recipe
    fixed = ktse("refine", finished, "--refine.threshold", "0.3", "--calibrate", few)
    assert fixed.returncode == 1 and "refine.threshold is 0.3" in fixed.stderr


def test_predict_takes_a_photo_or_a_folder_and_keeps_its_size(finished: Path, tmp_path: Path) -> None:
    (tmp_path / "in" / "deep").mkdir(parents=True)
    Image.new("RGB", (37, 91), "green").save(tmp_path / "in" / "deep" / "ö.PNG")
    assert ktse("predict", finished, tmp_path / "in", "--out", tmp_path / "out").returncode == 0
    with Image.open(tmp_path / "out" / "deep" / "ö.png") as prediction:
        assert prediction.size == (37, 91)
    assert ktse("predict", finished, tmp_path / "in" / "deep" / "ö.PNG", "--out", tmp_path / "one").returncode == 0
    assert (tmp_path / "one" / "ö.png").is_file()


def test_predictions_of_tagged_photos_hold_their_tags_alone(finished: Path, scenes: Path, tmp_path: Path) -> None:
    images, tags, out = scenes / "images", scenes / "tags.csv", tmp_path / "out"
    done = ktse("predict", finished, images, "--tags", tags, "--out", out)
    assert done.returncode == 0, done.stderr
    classes = (finished / "classes.txt").read_text().splitlines()
    rows = dict(line.split(",") for line in tags.read_text().splitlines()[1:])
    for name, tagged in rows.items():
        with Image.open(out / f"{Path(name).stem}.png") as prediction:
            assert set(np.unique(prediction)) <= {0, *(classes.index(tag) + 1 for tag in tagged.split(";") if tag)}
    again = ktse("predict", finished, images, "--out", out)
    assert f"{len(rows)} of {len(rows)} are in {out} already" in again.stderr
    strange = tmp_path / "tags.csv"
    strange.write_text("image,tags\n" + "".join(f"{name},unicorn\n" for name in rows))
    wrong = ktse("predict", finished, images, "--tags", strange, "--out", tmp_path / "none")
    assert wrong.returncode == 1 and "unicorn" in wrong.stderr and "Traceback" not in wrong.stderr
    assert not (tmp_path / "none").exists()
    assert "leave --tags out" in ktse("predict", finished, "--tags", tags).stderr


def test_predictions_may_go_through_the_crf(finished: Path, scenes: Path, tmp_path: Path) -> None:
    pytest.importorskip("pydensecrf", reason='needs the extra crf: pip install "ktse[crf]"')
    for name, iterations in (("plain", "0"), ("crf", "10")):
        done = ktse(
            "predict", finished, scenes / "images", "--out", tmp_path / name, "--predict.crf.iterations", iterations
        )
        assert done.returncode == 0, done.stderr
    pairs = [
        [np.asarray(Image.open(tmp_path / name / f"{photo.stem}.png")) for name in ("plain", "crf")]
        for photo in (scenes / "images").iterdir()
    ]
    changes = [
        np.mean([(np.diff(label, axis=1) != 0).mean() for label in labels]) for labels in zip(*pairs, strict=True)
    ]
    assert changes[1] < changes[0]  # the CRF leaves fewer borders than the network alone


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


def test_mistakes_with_a_finished_run_are_messages_and_change_nothing(
    finished: Path, scenes: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    photos = tmp_path / "photos"
    shutil.copytree(scenes / "images", photos)
    photo = min(photos.iterdir())
    Image.open(photo).save(tmp_path / "photo.png")
    (tmp_path / "file").touch()
    others, empty = tmp_path / "others", tmp_path / "empty"
    empty.mkdir()
    make_scenes(others, images=3, size=(96, 80))
    for path in (others / "images").iterdir():
        path.rename(path.with_stem(f"other-{path.stem}"))
    table = (others / "tags.csv").read_text().splitlines()
    (others / "tags.csv").write_text("\n".join([table[0], *(f"other-{line}" for line in table[1:])]))
    for arguments, message in (
        (["evaluate", run, "--masks", tmp_path / "typo"], "typo does not exist"),
        (["predict", run, photos, "--out", photos / "masks"], "is where the images are"),
        (["predict", run, tmp_path / "photo.png", "--out", tmp_path], "is where the images are"),
        (["predict", run, photo, "--out", tmp_path / "file"], "is a file"),
        (["run", photos, "--tags", scenes / "tags.csv", "--out", tmp_path / "file", *TINY], "is not a run folder"),
        (["segment", run, "--segment.retries", -1], "segment.retries is -1"),
        (["demo", "--out", tmp_path / "demo", "--images", 0], "images is 0"),
        (["run", others / "images", "--tags", others / "tags.csv", "--out", run, *TINY], "is the run of other images"),
        (["refine", run, "--refine.method", "[sam]", "--refine.sam_weights", tmp_path / "nosam"], "sam"),
        (["segment", run, "--corrections", empty], "holds no PNG file"),
        (["export", run, "--format", "coco", "--out", tmp_path / "file" / "here"], "Not a directory"),
    ):
        done = ktse(*arguments)
        assert done.returncode == 1, arguments
        assert message in done.stderr
        assert "Traceback" not in done.stderr
    assert before == {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert not (photos / "masks").exists()


def test_a_run_inside_the_folder_of_its_images_goes_on(scenes: Path, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    shutil.copytree(scenes / "images", photos)
    job = ["run", photos, "--tags", scenes / "tags.csv", "--out", photos / "run", *TINY]
    assert ktse(*job).returncode == 0
    again = ktse(*job)
    assert again.returncode == 0, again.stderr
    assert "segment: done already" in again.stderr


def test_what_was_overtaken_is_used_with_a_word(finished: Path, scenes: Path, tmp_path: Path) -> None:
    run, photo = tmp_path / "run", min((scenes / "images").iterdir())
    shutil.copytree(finished, run)
    assert "older than the run" not in ktse("predict", run, photo, "--out", tmp_path / "before").stderr
    assert ktse("refine", run, "--refine.threshold", 0.4).returncode == 0
    done = ktse("predict", run, photo, "--out", tmp_path / "after")
    assert done.returncode == 0
    assert "what segment has made is older than the run: refine was done again" in done.stderr


def test_a_wrong_value_is_one_line_in_plain_words() -> None:
    for arguments, message in (
        (["--classify.epochs", "many"], "--classify.epochs: Expected a whole number. Got value: many"),
        (["--refine.method", "crf"], "--refine.method: Expected a list, such as '[a, b]'. Got value: crf"),
        (["--predict.fuse", "z"], "--predict.fuse: Expected one of number, 'auto'. Got value: z"),
    ):
        done = ktse("run", "photos", "--out", "run", *arguments)
        assert done.returncode == 2
        assert message in done.stderr
        assert len(done.stderr.splitlines()) == 2


def test_a_training_that_cannot_begin_keeps_the_former_network(finished: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    before = (run / "classify/model.safetensors").read_bytes()
    done = ktse("classify", run, "--classify.weights", tmp_path / "none.safetensors")
    assert done.returncode == 1
    assert "none.safetensors" in done.stderr
    assert (run / "classify/model.safetensors").read_bytes() == before
    again = ktse("classify", run, "--classify.weights", "none")
    assert "classify: done already" in again.stderr
    assert not list(run.glob(".*"))


def test_what_is_said_against_a_model_is_said_where_it_is_used(finished: Path, scenes: Path, tmp_path: Path) -> None:
    run, photo = tmp_path / "run", min((scenes / "images").iterdir())
    shutil.copytree(finished, run)
    summary = json.loads((run / "segment/summary.json").read_text())
    (run / "segment/summary.json").write_text(json.dumps({**summary, "warnings": ["It is of no use."]}))
    (run / "evaluation.json").unlink()
    assert ktse("evaluate", run).returncode == 0
    assert "It is of no use." in ktse("predict", run, photo, "--out", tmp_path / "out").stderr


def test_check_prints_json(scenes: Path) -> None:
    done = ktse("check", scenes / "images", "--tags", scenes / "tags.csv", "--masks", scenes / "masks", "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["images"] == 14


def test_an_exported_model_predicts_without_torch_what_the_run_predicts(finished: Path, scenes: Path) -> None:
    model, images = finished / "export" / "model.onnx", scenes / "images"
    done = ktse("export", finished)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(model)
    assert "labels equal" in done.stderr
    out = finished.parent / "exported"
    code = (
        "import sys; sys.modules.update(dict.fromkeys(('torch', 'torchvision', 'timm', 'lightning_fabric', "
        "'segmentation_models_pytorch', 'safetensors'))); from ktse.cli import main; "
        f"sys.exit(main(['predict', {str(model)!r}, {str(images)!r}, '--out', {str(out)!r}]))"
    )
    plain = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=300)
    assert plain.returncode == 0, plain.stderr
    assert plain.stdout.strip() == "14 predictions"
    original = finished.parent / "original"
    weights, plainly = finished / "segment" / "model.safetensors", ("--predict.flip", "false")
    again = ktse("predict", weights, images, "--out", original, *plainly, "--predict.precision", "fp32")
    assert again.returncode == 0, again.stderr
    for path in original.glob("*.png"):
        with Image.open(path) as first, Image.open(out / path.name) as second:
            assert (np.asarray(first) == np.asarray(second)).mean() > 0.999
    rows = (out / "confidence.csv").read_text().splitlines()
    assert len(rows) == 15


def test_eight_bits_keep_most_labels(finished: Path, scenes: Path, tmp_path: Path) -> None:
    done = ktse("export", finished, "--int8", "--out", tmp_path / "small.onnx")
    assert done.returncode == 0, done.stderr
    assert "with int8" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["small.onnx"]
    found = package.load(tmp_path / "small.onnx").predict(scenes / "images" / "0000.jpg")
    assert 0 < found.confidence <= 1
    full = finished / "segment" / "model.safetensors"
    assert (tmp_path / "small.onnx").stat().st_size < 0.5 * full.stat().st_size


def test_masks_are_exported_for_other_tools(finished: Path) -> None:
    done = ktse("export", finished, "--format", "coco")
    assert done.returncode == 0, done.stderr
    content = json.loads((finished / "export" / "coco" / "annotations.json").read_text())
    assert len(content["images"]) == 14
    assert ktse("export", finished, "--format", "coco", "--int8").returncode == 1


def test_load_predicts_any_form_of_an_image(finished: Path, scenes: Path) -> None:
    path = scenes / "images" / "0003.jpg"
    predictor = package.load(finished, settings={"predict.precision": "fp32"})
    found = predictor.predict(path, probabilities=True)
    with Image.open(path) as image:
        again = predictor.predict(np.asarray(image))
    assert np.array_equal(found.label, again.label)
    assert found.probabilities is not None
    assert found.probabilities.shape == (6, *found.label.shape)
    assert predictor.classes == tuple((finished / "classes.txt").read_text().splitlines())


@pytest.mark.parametrize("name", ["no.onnx", "bad.onnx", "no.safetensors", "bad.safetensors"])
def test_a_model_that_is_none_is_a_message(finished: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "bad.onnx").write_bytes(b"nonsense")
    (tmp_path / "bad.safetensors").write_bytes((finished / "classify" / "model.safetensors").read_bytes())
    Image.new("RGB", (40, 40)).save(tmp_path / "a.png")
    done = ktse("predict", tmp_path / name, tmp_path / "a.png", "--out", tmp_path / "out")
    assert done.returncode == 1
    assert name in done.stderr
    assert "Traceback" not in done.stderr


def test_corrected_masks_are_learned_from_and_a_changed_one_repeats_what_follows(
    finished: Path, scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, fixed = tmp_path / "run", tmp_path / "fixed"
    shutil.copytree(finished, run)
    before = (run / "manifest.json").read_text(), (run / "recipe.yaml").read_text()
    fixed.mkdir()
    Image.new("L", (7, 9)).save(fixed / "0003.png")
    Image.new("L", Image.open(scenes / "images" / "0004.jpg").size, 77).save(fixed / "0004.png")
    Image.new("L", (96, 80)).save(fixed / "stranger.png")
    wrong = ktse("segment", run, "--corrections", fixed)
    assert wrong.returncode == 1
    for part in ("0003.png: 7x9 pixels", "0004.png: values [77]", "the image 'stranger'"):
        assert part in wrong.stderr
    assert "Traceback" not in wrong.stderr
    assert ((run / "manifest.json").read_text(), (run / "recipe.yaml").read_text()) == before
    shutil.rmtree(fixed)
    fixed.mkdir()
    names = [line.split(",")[0] for line in (run / "evaluation_images.csv").read_text().splitlines() if "train" in line]
    shutil.copy(scenes / "masks" / f"{names[0]}.png", fixed)
    monkeypatch.chdir(tmp_path)
    done = ktse("segment", run, "--corrections", "fixed", "--segment.correction_weight", "2.0")
    assert done.returncode == 0, done.stderr
    assert "1 corrected masks" in done.stderr
    monkeypatch.chdir(finished)  # the folder is found from anywhere
    assert "segment: done already" in ktse("segment", run).stderr
    shutil.copy(scenes / "masks" / f"{names[1]}.png", fixed)
    again = ktse(
        "run", scenes / "images", "--tags", scenes / "tags.csv", "--masks", scenes / "masks", "--out", run, *TINY,
        "--corrections", fixed, "--segment.correction_weight", "2.0",
    )  # fmt: skip
    assert again.returncode == 0, again.stderr
    assert "2 corrected masks" in again.stderr and "seed: done already" in again.stderr
    assert "predict: done already" not in again.stderr
    assert "2 masks corrected by a person" in (run / "model_card.md").read_text()


def test_two_networks_that_teach_each_other_predict_together_and_are_exported(
    finished: Path, scenes: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    settings = ("--segment.method", "beco", "--segment.beco.warmup", "0", "--segment.ema", "0.9")
    done = ktse("segment", run, *settings)
    assert done.returncode == 0, done.stderr
    assert ktse("segment", run, *settings, "--segment.targets", "soft").returncode == 1
    names = ("--predict.merge", "max", "--predict.scales", "[0.75,1.0]", "--predict.precision", "fp32")
    assert ktse("predict", run, *names).returncode == 0  # the settings that are exported are the run's
    exported = ktse("export", run, "--out", tmp_path / "m.onnx")
    assert exported.returncode == 0, exported.stderr
    labels = []
    for model, out in ((run, "a"), (tmp_path / "m.onnx", "b")):
        said = ktse("predict", model, scenes / "images" / "0003.jpg", "--out", tmp_path / out)
        assert said.returncode == 0, said.stderr
        labels.append(np.asarray(Image.open(tmp_path / out / "0003.png")))
    assert (labels[0] == labels[1]).mean() > 0.999
