"""The run's verdict and each mask's confidence go along where a format has a place for them."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from drawn_runs import CLASSES, drawn_run, judge, write_confidence

from ktse.exporting.masks import FORMATS, export_masks
from ktse.quality.verdict import Sign

BAD = Sign("do-not-use", "", "The masks are noise.", "ktse classify RUN")
DOUBT = Sign("look", "dog", "Few images.", "Look at them.")


def test_coco_says_both(tmp_path: Path) -> None:
    run, data, _ = drawn_run(tmp_path, ("a.jpg", "b.jpg"))
    verdict = judge(run, DOUBT)
    write_confidence(run, {"a": 0.25})
    content = json.loads(export_masks(run, data, "coco", tmp_path / "out").read_text())
    assert content["info"]["verdict"] == verdict.to_json()
    assert verdict.sentence in content["info"]["description"]
    assert {entry.get("score") for entry in content["annotations"] if entry["image_id"] == 1} == {0.25}
    assert {entry.get("score") for entry in content["annotations"] if entry["image_id"] == 2} == {None}


def test_cvat_says_both_of_each_mask(tmp_path: Path) -> None:
    run, data, _ = drawn_run(tmp_path, ("a.jpg",))
    judge(run, DOUBT)
    write_confidence(run, {"a": 0.25})
    root = ET.fromstring(export_masks(run, data, "cvat", tmp_path / "out").read_bytes())
    known = {one.findtext("name") for one in root.find("meta/task/labels/label/attributes")}
    for mask in root.iter("mask"):
        found = {one.get("name"): one.text for one in mask.iter("attribute")}
        assert found == {"confidence": "0.2500", "verdict": "look" if mask.get("label") == "dog" else "good"}
        assert set(found) == known


def test_label_studio_has_a_score_for_each_prediction(tmp_path: Path) -> None:
    run, data, _ = drawn_run(tmp_path, ("a.jpg", "b.jpg"))
    judge(run, BAD)
    write_confidence(run, {"a": 0.25})
    first, second = json.loads(export_masks(run, data, "labelstudio", tmp_path / "out").read_text())
    assert first["predictions"][0]["score"] == 0.25
    assert "score" not in second["predictions"][0]
    assert "do-not-use" in first["predictions"][0]["model_version"]


@pytest.mark.parametrize("form", list(FORMATS))
def test_a_verdict_that_is_not_good_lies_beside_the_masks(tmp_path: Path, form: str) -> None:
    run, data, _ = drawn_run(tmp_path, ("a.jpg",))
    note = tmp_path / "out" / "VERDICT.txt"
    export_masks(run, data, form, tmp_path / "out")
    assert not note.exists()  # nobody has judged
    verdict = judge(run, BAD, DOUBT)
    export_masks(run, data, form, tmp_path / "out")
    for text in (verdict.sentence, BAD.text, BAD.next, DOUBT.text, *(f"{name}: do-not-use" for name in CLASSES)):
        assert text in note.read_text()
    judge(run)
    export_masks(run, data, form, tmp_path / "out")
    assert not note.exists()


@pytest.mark.parametrize("form", list(FORMATS))
def test_masks_are_not_blamed_for_their_model(tmp_path: Path, form: str) -> None:
    run, data, _ = drawn_run(tmp_path, ("a.jpg",))
    judge(run, Sign("do-not-use", "", "The model is of no use.", "ktse segment RUN", "model"))
    export_masks(run, data, form, tmp_path / "out")
    written = [path.read_text(errors="replace") for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert not any("do-not-use" in text or "do not use" in text or "of no use" in text for text in written)


def test_images_kept_out_of_training_are_a_split_of_voc(tmp_path: Path) -> None:
    run, data, _ = drawn_run(tmp_path, ("a.jpg", "b.jpg", "c.jpg"))
    data.validation[1] = True
    main = export_masks(run, data, "voc", tmp_path / "out")
    assert main.read_text().split() == ["a", "c"]
    assert main.with_name("val.txt").read_text().split() == ["b"]
    data.validation[1] = False
    export_masks(run, data, "voc", tmp_path / "out")
    assert not main.with_name("val.txt").exists()
