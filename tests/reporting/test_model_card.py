"""The model card says what is known, and that what is not known is not."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ktse.files import read_json, write_json, write_label_map
from ktse.quality.verdict import Sign, Verdict
from ktse.recipe import Recipe, SegmentRecipe
from ktse.reporting.model_card import write_model_card


def lines(fake: Any, *, truth: bool = True) -> list[str]:
    return write_model_card(fake.run, fake.data, fake.truth if truth else None).read_text().splitlines()


def cells(found: list[str], first: str) -> list[str]:
    (line,) = [line for line in found if line.startswith(f"| {first} |")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_measures_come_with_their_images_threshold_and_oracle(finished: Any) -> None:
    found, said = lines(finished), finished.evaluation()
    for stage, name in (("seed", "Seed"), ("mask", "Mask"), ("prediction", "Prediction")):
        entry, row = said[stage], cells(found, name)
        assert row[1] == f"{entry['miou']:.1f} %"
        assert row[3] == f"{entry['by_split']['validation']['miou']:.1f} %"
        assert row[4] == "15 of 15"
        assert row[5] == (f"{entry['oracle']['miou']:.1f} %" if entry["oracle"] else "–")
        assert row[7] == ("no" if stage == "prediction" else "yes")
    assert any("0.53 (chosen from the scores of all images)" in line for line in found)
    assert any("The class hat occurs in 9 images only" in line for line in found)
    tags, kept_out = finished.data.tags, finished.data.validation
    for k, name in enumerate(finished.data.classes):
        assert f"| {name} | not judged yet | {tags[~kept_out, k].sum()} | {tags[kept_out, k].sum()} |" in found


def test_without_true_masks_there_is_no_measure(blind: Any) -> None:
    text = "\n".join(lines(blind, truth=False))
    assert "Not measured. With true masks of some images, this measures: `ktse evaluate" in text
    assert "mIoU" not in text
    assert "True masks: 0 of 7 images." in text


def test_a_run_that_has_just_begun_has_a_card_too(bare: Any) -> None:
    text = "\n".join(lines(bare, truth=False))
    assert "is not trained yet" in text and "Threshold" not in text


def test_what_the_confidence_is_worth_is_said_where_it_was_measured(blind: Any) -> None:
    words = "Its rank correlation with the true mIoU"
    assert words not in "\n".join(lines(blind))
    content = read_json(blind.run.path("evaluation.json"))
    entry = {"miou": 50.0, "iou": {}, "images": 7, "tags_used": False, "by_split": {}}
    content["prediction"] = {**entry, "confidence_correlation": 0.713, "confidence_images": 7}
    write_json(blind.run.path("evaluation.json"), content)
    assert f"{words} of 7 images: 0.71." in "\n".join(lines(blind))


def test_figures_on_training_images_alone_are_called_that(blind: Any) -> None:
    data = dataclasses.replace(blind.data, validation=np.zeros(len(blind.data), dtype=bool))
    content = read_json(blind.run.path("evaluation.json"))
    content["prediction"] = {"miou": 50.0, "iou": {"background": 50.0}, "images": 7, "tags_used": False, "by_split": {}}
    write_json(blind.run.path("evaluation.json"), content)
    text = write_model_card(blind.run, data, blind.truth).read_text()
    assert "No true mask is of an image kept out of training" in text
    assert "No image was kept out of training" in text


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ("none", "started from random numbers"),
        ("hub", "downloaded by timm"),
        ("/home/me/a.safetensors", "the file a.safetensors"),
    ],
)
def test_where_the_initial_weights_are_from(blind: Any, weights: str, said: str) -> None:
    recipe = Recipe()
    recipe = dataclasses.replace(
        recipe,
        classify=dataclasses.replace(recipe.classify, weights=weights),
        segment=SegmentRecipe(weights="classify"),
    )
    blind.run.write_recipe(recipe)
    found = [line for line in lines(blind) if "Initial weights" in line]
    assert said in found[0] and "/home/me" not in found[0]
    assert "the classification network has ended with" in found[1]


def test_corrected_masks_are_counted_without_those_kept_out(blind: Any, tmp_path: Path) -> None:
    for index, name in enumerate(blind.data.ids[:3]):  # the first one is kept out
        width, height = blind.data.read(index).size
        label = np.full((height, width), np.flatnonzero(blind.data.tags[index])[0] + 1, np.uint8)
        write_label_map(tmp_path / "fixed" / f"{name}.png", label)
    recipe = dataclasses.replace(Recipe(), segment=SegmentRecipe(corrections=str(tmp_path / "fixed")))
    blind.run.write_recipe(recipe)
    assert "2 masks corrected by a person" in "\n".join(lines(blind))


def test_a_name_cannot_break_the_tables(blind: Any) -> None:
    names = ("a|b", "c\nd", "<script>x</script>", *blind.data.classes[3:])
    text = "\n".join(lines(dataclasses.replace(blind, data=dataclasses.replace(blind.data, classes=names))))
    assert "| a\\|b |" in text and "| c d |" in text and "<script" not in text


def test_nothing_in_a_run_folder_is_a_mark_up(blind: Any) -> None:
    evil = "<img src=x onerror=alert(1)>`a`[b](c)|&lt;"
    recipe = dataclasses.replace(Recipe(), segment=SegmentRecipe(encoder=evil, architecture=evil))
    blind.run.write_recipe(recipe)
    write_json(
        blind.run.path("manifest.json"),
        {"check": {"state": "done", "key": "k", "versions": {evil: evil, "ktse": evil}}},
    )
    masks = {"threshold": 0.5, "threshold_source": evil, "warnings": [evil], "calibration": {"masks": 3}}
    write_json(blind.run.path("masks", "summary.json"), masks)
    content = read_json(blind.run.path("evaluation.json"))
    names = (evil, *blind.data.classes[1:])
    content["verdict"] = Verdict.of([Sign("look", evil, evil, f"`x{evil}` do it")], names).to_json()
    write_json(blind.run.path("evaluation.json"), content)
    fake = dataclasses.replace(blind, data=dataclasses.replace(blind.data, classes=names))
    text = "\n".join(lines(fake))
    assert text.count("onerror") > 8
    outside = re.sub(r"(`+) .*? \1|`[^`]*`", "", text)
    assert "<img" not in outside and "[b](c)" not in outside and "|&lt;" not in outside


def test_the_verdict_is_at_the_top_of_the_card(judged: Any) -> None:
    for level, words in (("good", "**✓ Good**"), ("look", "**⚠ Look at it**"), ("do-not-use", "**✕ Do not use**")):
        found = lines(judged(level))
        assert found[2].startswith(words)
        assert ("for `ktse predict`" in "\n".join(found)) == (level != "do-not-use")
    text = "\n".join(lines(judged("do-not-use")))
    assert "- Do not use: **hat**: The masks of 'hat' are empty." in text
    assert "  - Next: draw 5 true masks, then: `ktse refine" in text
    assert "| hat | Do not use |" in text


def test_a_model_that_must_not_be_used_is_not_praised_for_its_masks(judged: Any) -> None:
    fake = judged("good")
    useless = Sign("do-not-use", "", "The model is of no use.", "ktse segment RUN", "model")
    content = fake.evaluation() | {"verdict": Verdict.of([useless], fake.data.classes).to_json()}
    write_json(fake.run.path("evaluation.json"), content)
    found = lines(fake)
    assert found[2].startswith("**✕ Do not use the model; the masks are good**: predictions are probably wrong")
    assert "for `ktse predict`" not in "\n".join(found)
    assert any(line.startswith("| hat | Do not use |") for line in found)


def test_a_card_without_a_verdict_says_how_to_get_one(blind: Any) -> None:
    assert lines(blind)[2] == f"**? Not judged yet**: `ktse evaluate {blind.run.root}`"


def test_warnings_of_check_reach_the_card(blind: Any) -> None:
    write_json(blind.run.path("check.json"), {"warnings": ["2 images have the same content: a, b"]})
    assert "- 2 images have the same content: a, b" in lines(blind)
