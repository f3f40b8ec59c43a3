"""Every form of a data set through the command line: checked, and turned into masks."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fakes import FORMS, TAGS
from ktse.cli import main

TINY = [
    "--recipe", "demo", "--classify.backbone", "resnet10t", "--classify.epochs", "1", "--classify.warmup", "1",
    "--classify.crop", "32", "--classify.long_side", "[32,40]", "--segment.encoder", "resnet10t", "--segment.epochs",
    "1", "--segment.crop", "32", "--segment.long_side", "[32,40]", "--seed.scales", "[0.5]", "--refine.threshold",
    "0.3", "--compute.workers", "0", "--weights", "none",
]  # fmt: skip

SHAPES = {"voc": (9, 20, 3), "coco": (10, 80, 3), "subfolders": (6, 3, 0), "datasets": (10, 3, 3)}
"""Images, classes and validation images of a form; ten, three and none for tables."""


def written(form: str, folder: Path) -> list[str]:
    """Write a data set of this form; the arguments of the command line."""
    if form == "datasets":
        pytest.importorskip("datasets", reason='needs the extra datasets: pip install "ktse[datasets]"')
    return FORMS[form](folder)


def check(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, object]:
    status = main(["check", *map(str, arguments), "--json"])
    captured = capsys.readouterr()
    assert status == 0, captured.err
    content = json.loads(captured.out)
    assert isinstance(content, dict)
    return content


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_checked_and_counted(form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = check(capsys, *written(form, tmp_path))
    images, classes, validation = SHAPES.get(form, (10, 3, 1))
    assert (found["images"], len(found["classes"]), found["validation"]) == (images, classes, validation)
    used = [tags for tags in TAGS if form != "subfolders" or len(tags) == 1]
    used = used[:9] if form == "voc" else used
    expected = {tag: sum(tag in tags for tags in used) for tag in ("dog", "cat", "person")}
    if form == "coco":
        expected["person"] += 1  # the crowd in the first image, which shows a dog; the first of val has its own
        expected["person"] += 1
    assert {name: count for name, count in found["classes"].items() if count} == expected
    assert found["untagged"] == sum(not tags for tags in used)


@pytest.mark.parametrize("form", FORMS)
def test_a_form_becomes_masks(
    form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest
) -> None:
    arguments = written(form, tmp_path)
    masks = {
        "voc": ["--masks", str(tmp_path / "VOCdevkit" / "VOC2012" / "SegmentationClassAug")],
        "coco": ["--masks", str(tmp_path / "coco" / "annotations" / "instances_train2014.json")],
    }.get(form, [])
    status = main(["run", *arguments, *masks, "--out", str(tmp_path / "run"), *TINY])
    assert status == 0, capsys.readouterr().err
    capsys.readouterr()
    images, classes, _ = SHAPES.get(form, (10, 3, 0))
    found = sorted((tmp_path / "run" / "masks").rglob("*.png"))
    assert len(found) == images
    with Image.open(found[0]) as mask:
        assert mask.size == (72, 60)
        assert np.asarray(mask).max() <= classes
    if form == "kaggle":
        # The run's own check also ranks its tags; ten images are too few to be sure of any.
        found_in = check(capsys, tmp_path / "run")
        doubtful = found_in["doubtful"]
        assert isinstance(doubtful, list)
        assert found_in["doubtful_judge"] == "trained"  # there were no weights to start from, and that is said
        assert any("judged by the network that was trained on these very tags" in one for one in found_in["warnings"])
        assert main(["check", str(tmp_path / "run")]) == 0
        assert "says the trained network, which has seen them" in capsys.readouterr().out
        assert all(set(entry) == {"id", "class", "tagged", "score"} for entry in doubtful)
    if form == "datasets":
        # Images without a file of their own are good enough for the exported model's check too.
        request.getfixturevalue("older_exporter")
        assert main(["export", str(tmp_path / "run")]) == 0
        assert "over 9 photos" in capsys.readouterr().err
    if masks:
        evaluation = json.loads((tmp_path / "run" / "evaluation.json").read_text())
        assert evaluation["mask"]["images"] == (9 if form == "voc" else 7)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["images", "--data.form", "folders", "--tags", "tags.csv"], "hold their own tags"),
        (["images", "--data.form", "coco"], "need a file of tags"),
        (["images", "--data.form", "voc"], "is no VOC tree"),
        (["images"], "10 images are in no class folder of images"),
        (["nowhere", "--tags", "no.csv"], "no.csv does not exist"),
        (["images", "--tags", "no.csv"], "no.csv does not exist"),
        (["images", "--tags", "no.json"], "no.json does not exist"),
        (["images", "--tags", "images"], "the tag file images is a folder"),
        (["images", "--tags", "tags.csv", "--data.classes", "no.txt"], "no.txt"),
        (["images", "--tags", "tags.csv", "--data.classes", "voc.txt"], "none of the classes in voc.txt occurs"),
        (["images", "--tags", "tags.csv", "--data.train_list", "no.txt"], "no.txt"),
        (["images", "--tags", "tags.csv", "--data.tag_column", "x"], "has no column 'x'"),
        (["images", "--tags", "tags.csv", "--data.validation", "2"], "data.validation is 2.0"),
        (["images", "--tags", "tags.csv", "--masks", "no.json"], "no.json does not exist"),
        (["images", "--tags", "tags.csv", "--masks", "no"], "no does not exist"),
    ],
)
def test_a_mistake_is_a_message(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    FORMS["csv"](tmp_path)
    (tmp_path / "voc.txt").write_text("sofa\ntrain\n")
    monkeypatch.chdir(tmp_path)
    assert main(["check", *arguments]) == 1
    assert message in capsys.readouterr().err
