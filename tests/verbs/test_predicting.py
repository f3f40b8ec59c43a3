"""A finished run in use, through the command line: predictions, exports, and what is said against it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import ktse as package  # the name ktse is the command here
from fakes import written_by_ktse
from typed import ktse


def test_predict_takes_a_photo_or_a_folder_and_keeps_its_size(tiny_run: Path, tmp_path: Path) -> None:
    (tmp_path / "in" / "deep").mkdir(parents=True)
    Image.new("RGB", (37, 91), "green").save(tmp_path / "in" / "deep" / "ö.PNG")
    assert ktse("predict", tiny_run, tmp_path / "in", "--out", tmp_path / "out").returncode == 0
    with Image.open(tmp_path / "out" / "deep" / "ö.png") as prediction:
        assert prediction.size == (37, 91)
    assert ktse("predict", tiny_run, tmp_path / "in" / "deep" / "ö.PNG", "--out", tmp_path / "one").returncode == 0
    assert (tmp_path / "one" / "ö.png").is_file()


def test_predictions_of_tagged_photos_hold_their_tags_alone(tiny_run: Path, drawings: Path, tmp_path: Path) -> None:
    images, tags, out = drawings / "images", drawings / "tags.csv", tmp_path / "out"
    done = ktse("predict", tiny_run, images, "--tags", tags, "--out", out)
    assert done.returncode == 0, done.stderr
    classes = (tiny_run / "classes.txt").read_text().splitlines()
    rows = dict(line.split(",") for line in tags.read_text().splitlines()[1:])
    for name, tagged in rows.items():
        with Image.open(out / f"{Path(name).stem}.png") as prediction:
            assert set(np.unique(prediction)) <= {0, *(classes.index(tag) + 1 for tag in tagged.split(";") if tag)}
    again = ktse("predict", tiny_run, images, "--out", out)
    assert f"{len(rows)} of {len(rows)} are in {out} already" in again.stderr
    strange = tmp_path / "tags.csv"
    strange.write_text("image,tags\n" + "".join(f"{name},unicorn\n" for name in rows))
    wrong = ktse("predict", tiny_run, images, "--tags", strange, "--out", tmp_path / "none")
    assert wrong.returncode == 1 and "unicorn" in wrong.stderr and "Traceback" not in wrong.stderr
    assert not (tmp_path / "none").exists()
    assert "leave --tags out" in ktse("predict", tiny_run, "--tags", tags).stderr


def test_predictions_may_go_through_the_crf(tiny_run: Path, drawings: Path, tmp_path: Path) -> None:
    pytest.importorskip("pydensecrf", reason='needs the extra crf: pip install "ktse[crf]"')
    for name, crf in (("plain", "false"), ("crf", "true")):
        done = ktse("predict", tiny_run, drawings / "images", "--out", tmp_path / name, "--predict.crf", crf)
        assert done.returncode == 0, done.stderr
    pairs = [
        [np.asarray(Image.open(tmp_path / name / f"{photo.stem}.png")) for name in ("plain", "crf")]
        for photo in (drawings / "images").iterdir()
    ]
    changes = [
        np.mean([(np.diff(label, axis=1) != 0).mean() for label in labels]) for labels in zip(*pairs, strict=True)
    ]
    assert changes[1] < changes[0]  # the CRF leaves fewer borders than the network alone


def test_an_unreadable_photo_does_not_lose_the_others(tiny_run: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    Image.new("RGB", (40, 40)).save(tmp_path / "in" / "good.png")
    (tmp_path / "in" / "bad.jpg").write_bytes(b"no image")
    done = ktse("predict", tiny_run, tmp_path / "in", "--out", tmp_path / "out")
    assert done.returncode == 1
    assert "bad.jpg" in done.stderr
    assert (tmp_path / "out" / "good.png").is_file()


def test_what_was_overtaken_is_used_with_a_word(own_run: Path, drawings: Path, tmp_path: Path) -> None:
    photo = min((drawings / "images").iterdir())
    assert "older than the run" not in ktse("predict", own_run, photo, "--out", tmp_path / "before").stderr
    assert ktse("refine", own_run, "--refine.threshold", 0.4).returncode == 0
    done = ktse("predict", own_run, photo, "--out", tmp_path / "after")
    assert done.returncode == 0
    assert "what segment has made is older than the run: refine was done again" in done.stderr


def test_what_is_said_against_a_model_is_said_where_it_is_used(own_run: Path, drawings: Path, tmp_path: Path) -> None:
    photo = min((drawings / "images").iterdir())
    summary = json.loads((own_run / "segment/summary.json").read_text())
    written_by_ktse(own_run, "segment/summary.json", json.dumps({**summary, "warnings": ["It is of no use."]}))
    (own_run / "evaluation.json").unlink()
    assert ktse("evaluate", own_run).returncode == 0
    assert "It is of no use." in ktse("predict", own_run, photo, "--out", tmp_path / "out").stderr


def test_an_exported_model_predicts_without_torch_what_the_run_predicts(
    own_run: Path, drawings: Path, tmp_path: Path
) -> None:
    model, images = own_run / "export" / "model.onnx", drawings / "images"
    done = ktse("export", own_run)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(model)
    assert "labels equal" in done.stderr
    out = tmp_path / "exported"
    code = (
        "import sys; sys.modules.update(dict.fromkeys(('torch', 'torchvision', 'timm', 'lightning_fabric', "
        "'segmentation_models_pytorch', 'safetensors'))); from ktse.cli import main; "
        f"sys.exit(main(['predict', {str(model)!r}, {str(images)!r}, '--out', {str(out)!r}]))"
    )
    plain = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=300)
    assert plain.returncode == 0, plain.stderr
    assert plain.stdout.strip() == "14 predictions"
    original = tmp_path / "original"
    weights, plainly = own_run / "segment" / "model.safetensors", ("--predict.flip", "false")
    again = ktse("predict", weights, images, "--out", original, *plainly, "--compute.precision", "fp32")
    assert again.returncode == 0, again.stderr
    for path in original.glob("*.png"):
        with Image.open(path) as first, Image.open(out / path.name) as second:
            assert (np.asarray(first) == np.asarray(second)).mean() > 0.999
    rows = (out / "confidence.csv").read_text().splitlines()
    assert len(rows) == 15


@pytest.mark.usefixtures("older_exporter")
def test_eight_bits_keep_most_labels(tiny_run: Path, drawings: Path, tmp_path: Path) -> None:
    done = ktse("export", tiny_run, "--int8", "--out", tmp_path / "small.onnx")
    assert done.returncode == 0, done.stderr
    assert "with int8" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["small.onnx"]
    found = package.load(tmp_path / "small.onnx").predict(drawings / "images" / "0000.jpg")
    assert 0 < found.confidence <= 1
    full = tiny_run / "segment" / "model.safetensors"
    assert (tmp_path / "small.onnx").stat().st_size < 0.5 * full.stat().st_size


def test_masks_are_exported_for_other_tools(own_run: Path) -> None:
    done = ktse("export", own_run, "--format", "coco")
    assert done.returncode == 0, done.stderr
    content = json.loads((own_run / "export" / "coco" / "annotations" / "instances_default.json").read_text())
    assert len(content["images"]) == 14
    assert ktse("export", own_run, "--format", "coco", "--int8").returncode == 1


def test_load_predicts_any_form_of_an_image(tiny_run: Path, drawings: Path) -> None:
    path = drawings / "images" / "0003.jpg"
    predictor = package.load(tiny_run, settings={"compute.precision": "fp32"})
    found = predictor.predict(path, probabilities=True)
    with Image.open(path) as image:
        again = predictor.predict(np.asarray(image))
    assert np.array_equal(found.label, again.label)
    assert found.probabilities is not None
    assert found.probabilities.shape == (6, *found.label.shape)
    assert predictor.classes == tuple((tiny_run / "classes.txt").read_text().splitlines())


@pytest.mark.parametrize("name", ["no.onnx", "bad.onnx", "no.safetensors", "bad.safetensors"])
def test_a_model_that_is_none_is_a_message(tiny_run: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "bad.onnx").write_bytes(b"nonsense")
    (tmp_path / "bad.safetensors").write_bytes((tiny_run / "classify" / "model.safetensors").read_bytes())
    Image.new("RGB", (40, 40)).save(tmp_path / "a.png")
    done = ktse("predict", tmp_path / name, tmp_path / "a.png", "--out", tmp_path / "out")
    assert done.returncode == 1
    assert name in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.usefixtures("older_exporter")
def test_two_networks_that_teach_each_other_predict_together_and_are_exported(
    own_run: Path, drawings: Path, tmp_path: Path
) -> None:
    settings = ("--segment.method", "beco", "--segment.beco.warmup", "0")
    done = ktse("segment", own_run, *settings)
    assert done.returncode == 0, done.stderr
    names = ("--predict.merge", "max", "--predict.scales", "[0.75,1.0]", "--compute.precision", "fp32")
    assert ktse("predict", own_run, *names).returncode == 0  # the settings that are exported are the run's
    exported = ktse("export", own_run, "--out", tmp_path / "m.onnx")
    assert exported.returncode == 0, exported.stderr
    labels = []
    for model, out in ((own_run, "a"), (tmp_path / "m.onnx", "b")):
        said = ktse("predict", model, drawings / "images" / "0003.jpg", "--out", tmp_path / out)
        assert said.returncode == 0, said.stderr
        labels.append(np.asarray(Image.open(tmp_path / out / "0003.png")))
    assert (labels[0] == labels[1]).mean() > 0.999
