"""Reports of runs that lack something, are damaged, odd or very large."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from read_page import LARGEST_PAGE, read

from ktse.data.dataset import TaggedImages
from ktse.data.masks import Truth
from ktse.errors import RunError
from ktse.files import write_json, write_label_map
from ktse.quality.verdict import Sign, Verdict
from ktse.recipe import Recipe
from ktse.reporting.model_card import write_model_card
from ktse.reporting.page import write_report
from ktse.run_folder import RunFolder


def test_without_truth(blind: Any) -> None:
    page = read(write_report(blind.run, blind.data, None))
    assert "Not measured; true masks: 0 of 7 images." in page.words
    assert f"ktse evaluate {blind.run.root} --masks DIR" in page.words
    assert not any((image["alt"] or "").startswith("True mask") for image in page.images)
    assert "Threshold of the masks: 0.53" in page.words


def test_with_nothing_but_a_recipe(bare: Any) -> None:
    page = read(write_report(bare.run, bare.data, None))
    for text in ("Not judged yet", "Not measured", "No mask has a confidence yet", "not trained yet"):
        assert text in page.words
    assert "No stage has run yet" in page.words
    assert page.images and all((image["alt"] or "").startswith("Photo") for image in page.images)


def test_truth_that_was_not_yet_measured(blind: Any) -> None:
    page = read(write_report(blind.run, blind.data, blind.truth))
    assert "Not measured; true masks: 7 of 7 images. This measures them:" in page.words
    assert any((image["alt"] or "").startswith("True mask") for image in page.images)


def test_names_are_escaped(bare: Any) -> None:
    odd = '<b>&"'
    classes = (odd, "<script>alert(1)</script>", *bare.data.classes[2:])
    data = replace(bare.data, classes=classes)
    part = {
        "miou": 12.34,
        "iou": {"background": 50.0, odd: 1.2},
        "images": 3,
        "tags_used": True,
        "threshold_source": odd,
    }
    curve = {"thresholds": [0.1, 0.2], "miou": [3.0, 4.0]}
    write_json(
        bare.run.path("evaluation.json"),
        {
            "mask": {**part, "curve": curve},
            "warnings": [odd],
            "tags": {"train": {"by_class": {odd: {"images": 1, "ap": 5.0}}}},
        },
    )
    bare.run.path("classify").mkdir()
    bare.run.path("classify", "metrics.jsonl").write_text(json.dumps({"epoch": 1.0, "terms": {odd: 0.5}, "event": odd}))
    page = read(write_report(bare.run, data, None))
    assert page.words.count(odd) >= 4
    assert page.tags.count("script") == 1 and page.tags.count("b") < 20
    assert "<script>alert" not in bare.run.path("report.html").read_text()


@pytest.mark.parametrize(("used", "better"), [("final", "warmup"), ("warmup", "warmup"), ("final", "unclear")])
def test_the_network_of_the_seeds_is_said(bare: Any, used: str, better: str) -> None:
    source = {"used": used, "better": better, "warmup": 0.1234, "final": 0.1, "low": -0.03, "high": -0.02, "images": 64}
    write_json(bare.run.path("masks", "summary.json"), {"threshold": 0.4, "seed_source": source})
    text = " ".join(read(write_report(bare.run, bare.data, None)).words.split())
    assert ("network at the end of the warm-up" in text) == (used == "warmup")
    assert ("the warm-up is clearly better" in text) == (better == "warmup")
    assert "Compared on 64 images" in text and "warm-up 0.123" in text


def test_what_the_segmentation_model_has_learned_is_said(bare: Any) -> None:
    useless = "The segmentation model is of no use: it labels 0.1% of the pixels."
    write_json(
        bare.run.path("segment", "summary.json"),
        {"agreement": 0.2361, "crops": 64, "warnings": [useless], "repeated": 2},
    )
    text = " ".join(read(write_report(bare.run, bare.data, None)).words.split())
    assert "On 64 crops of training images, model and masks agree with an mIoU of 23.6 %" in text
    assert "Training collapsed 2 times" in text
    assert text.index(useless) < text.index("Training collapsed")
    card = " ".join(write_model_card(bare.run, bare.data, None).read_text(encoding="utf-8").split())
    assert "agree with an mIoU of 23.6 %" in card and useless in card


def test_background_alone_is_no_success(bare: Any) -> None:
    iou = {"background": 86.8} | dict.fromkeys(bare.data.classes, 0.4)
    write_json(bare.run.path("evaluation.json"), {"mask": {"miou": 12.4, "iou": iou}})
    assert "Mask: no class reaches an IoU of 5 %" in read(write_report(bare.run, bare.data, None)).words


def test_missing_keys_and_failed_stages(bare: Any) -> None:
    write_json(bare.run.path("evaluation.json"), {"mask": {"miou": None}, "seed": {"iou": {}}, "tags": {"train": {}}})
    bare.run.record("segment", {"state": "failed", "key": "k", "message": "out of memory"})
    bare.run.record("classify", {"state": "running", "key": "k"})
    page = read(write_report(bare.run, bare.data, None))
    assert "The stage segment failed: out of memory" in page.words
    assert page.words.index("classify") < page.words.rindex("segment")


@pytest.mark.parametrize(
    "name",
    [
        "evaluation.json",
        "manifest.json",
        "masks/summary.json",
        "segment/summary.json",
        "masks/confidence.csv",
        "evaluation_images.csv",
    ],
)
def test_a_damaged_file_is_named(bare: Any, name: str) -> None:
    path = bare.run.path(*name.split("/"))
    path.parent.mkdir(exist_ok=True)
    path.write_text("{half" if name.endswith("json") else 'x,y\n1,"2')
    with pytest.raises(RunError, match=path.name):
        write_report(bare.run, bare.data, None)
    assert not bare.run.path("report.html").exists()


def test_damaged_pictures(blind: Any) -> None:
    blind.run.mask_path(blind.data.ids[0]).write_bytes(b"no picture")
    with pytest.raises(RunError, match=r"0000\.png"):
        write_report(blind.run, blind.data, None)


def test_photos_that_moved_away(blind: Any) -> None:
    for name in blind.data.files:
        (blind.data.root / name).unlink()
    assert "The photo cannot be read" in read(write_report(blind.run, blind.data, None)).words


def test_many_classes(tmp_path: Path) -> None:
    classes = tuple(f"class {number}" for number in range(300))
    tags = np.zeros((2, 300), dtype=bool)
    tags[0, 299] = True
    data = TaggedImages(tmp_path, ("a.png", "b.png"), ("a", "b"), classes, tags, np.zeros(2, dtype=bool))
    run = RunFolder(tmp_path / "run")
    run.write_recipe(Recipe())
    iou = {"background": 90.0} | dict.fromkeys(classes, 10.0)
    by_class = {name: {"images": 1, "precision": 1.0, "recall": 1.0, "ap": 1.0} for name in classes}
    part = {"miou": 11.1, "iou": iou, "oracle": {"miou": 12.2, "threshold": 0.3, "iou": iou}, "images": 2}
    write_json(run.path("evaluation.json"), {"mask": part, "tags": {"train": {"images": 2, "by_class": by_class}}})
    page = read(write_report(run, data, Truth({})))
    assert page.words.count("class 299") >= 3


def test_no_run_is_too_large_for_one_page(tmp_path: Path) -> None:
    count, classes = 6000, tuple(f"class {number} <&'> {'n' * 150}" for number in range(700))
    rng = np.random.default_rng(0)
    tags = rng.random((count, 700)) < 0.02
    ids = tuple(f"{'folder/' * 8}{number:06d}" for number in range(count))
    (tmp_path / "images").mkdir()
    noise = Image.fromarray(rng.integers(0, 256, (300, 400, 3), dtype=np.uint8))
    noise.save(tmp_path / "images" / "one.png")
    data = TaggedImages(tmp_path / "images", ("one.png",) * count, ids, classes, tags, np.zeros(count, dtype=bool))
    run = RunFolder(tmp_path / "run")
    run.write_recipe(Recipe())
    write_json(run.path("check.json"), {"warnings": [f"{number} " + "<" * 3000 for number in range(5000)]})
    label = rng.integers(0, 9, (300, 400)).astype(np.uint16)
    for name in ids[:60]:
        write_label_map(run.mask_path(name), label)
    lines = [f"{name},{number / count}" for number, name in enumerate(ids)]
    run.path("masks", "confidence.csv").write_text("\n".join(["id,confidence", *lines]))
    part = {"miou": 11.1, "iou": {"background": 90.0} | dict.fromkeys(classes, 10.0), "images": 2}
    signs = [Sign("look", name, "<" * 3000, f"ktse {number} " + "<" * 3000) for number, name in enumerate(classes)]
    by_class = {name: {"images": 1, "precision": 1.0, "recall": 1.0, "ap": 1.0} for name in classes}
    write_json(
        run.path("evaluation.json"),
        {
            **dict.fromkeys(("seed", "mask", "fused", "prediction"), part),
            "tags": {"train": {"images": 2, "by_class": by_class}, "validation": {"images": 2, "by_class": by_class}},
            "verdict": Verdict.of(signs, classes).to_json(),
        },
    )
    page = read(write_report(run, data, Truth({})))
    assert run.path("report.html").stat().st_size < LARGEST_PAGE
    assert len(page.images) > 60
    assert re.search(r"Here are [\d,]+ of 6,000; all are in masks/confidence.csv", page.words)
    card = write_model_card(run, data, Truth({}))
    assert card.stat().st_size < LARGEST_PAGE


def test_ids_in_folders(blind: Any) -> None:
    run, data = blind.run, blind.data
    (data.root / "sub").mkdir()
    (data.root / data.files[0]).rename(data.root / "sub" / data.files[0])
    moved = replace(data, files=(f"sub/{data.files[0]}", *data.files[1:]), ids=(f"sub/{data.ids[0]}", *data.ids[1:]))
    table = run.path("masks", "confidence.csv")
    table.write_text(table.read_text().replace("\n0000,", "\nsub/0000,"))
    page = read(write_report(run, moved, None))
    assert "sub/0000" in page.words and "none for this image" in page.words


def test_no_torch() -> None:
    code = "import sys, ktse.reporting.page, ktse.reporting.model_card, ktse.visual; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
