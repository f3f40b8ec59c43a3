"""The verdict: how signs combine, and which facts are signs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ktse.files import write_json
from ktse.quality.facts import ClassFacts, Facts
from ktse.quality.judge import judge
from ktse.quality.verdict import LEVELS, Level, Sign, Verdict, read_verdict
from ktse.run_folder import RunFolder

DOG = ClassFacts(
    "dog",
    images=200,
    share=0.4,
    known=0.8,
    known_unseen=True,
    area=0.2,
    full=0.05,
    empty=0.0,
    cells=90.0,
    predicted=0.9,
    agreement=0.7,
    seed_agreement=0.7,
)
CAT, COW = replace(DOG, name="cat"), replace(DOG, name="cow")
FINE = Facts(
    "runs/x",
    training=500,
    classes=(DOG, CAT, COW),
    threshold=0.4,
    threshold_kind="found",
    full=0.05,
    empty=0.01,
    confidences={"masks": 0.2, "predictions": 0.1},
)


def test_a_run_without_signs_is_good() -> None:
    classes: dict[str, Level] = {"dog": "good", "cat": "good", "cow": "good"}
    assert judge(FINE) == Verdict("good", "good", "good", classes, (), measured=False)


def test_good_is_not_said_as_if_it_were_measured() -> None:
    free, measured = judge(FINE), judge(replace(FINE, measured=10, miou={"mask": 60.0, "seed": 50.0}))
    assert free.sentence.startswith("good, as far as one can tell without true masks: ")
    assert measured.run == "good" and measured.sentence.startswith("good: ")
    assert Verdict.from_json(free.to_json()) == free


@pytest.mark.parametrize(
    ("change", "level"),
    [
        ({"training": 12}, "do-not-use"),
        ({"training": 50}, "look"),
        ({"threshold": 0.0117}, "do-not-use"),
        ({"threshold": 0.97}, "do-not-use"),
        ({"threshold_kind": "unclear"}, "look"),
        ({"threshold_kind": "unclear", "explained": 0.3}, "do-not-use"),
        ({"threshold_kind": "unclear", "explained": 0.6}, "look"),
        ({"full": 0.8}, "do-not-use"),
        ({"empty": 0.4}, "do-not-use"),
        ({"empty": 0.15}, "look"),
        ({"complaints": ("The classes of the true masks are others.",)}, "do-not-use"),
        ({"confidences": {"masks": 0.0}}, "look"),
        ({"measured": 50, "miou": {"mask": 20.0}}, "do-not-use"),
        ({"measured": 50, "miou": {"mask": 60.0, "seed": 66.0}}, "do-not-use"),
        ({"measured": 50, "miou": {"mask": 60.0}, "oracle": 64.0}, "look"),
        ({"measured": 50, "miou": {"mask": 60.0}, "oracle": 70.0}, "do-not-use"),
        ({"measured": 50, "miou": {"mask": 60.0}, "correlation": -0.2}, "look"),
        ({"classes": (replace(DOG, known=0.0), replace(CAT, known=0.1))}, "do-not-use"),
    ],
)
def test_a_fact_about_the_run_speaks_against_all_of_it(change: dict[str, object], level: str) -> None:
    verdict = judge(replace(FINE, **change))  # type: ignore[arg-type]
    assert verdict.run == verdict.masks == verdict.model == level
    assert set(verdict.classes.values()) == {level}
    assert all(sign.text and sign.next for sign in verdict.signs)


@pytest.mark.parametrize(
    ("change", "level"),
    [
        ({"images": 2}, "do-not-use"),
        ({"images": 8}, "look"),
        ({"share": 1.0}, "do-not-use"),
        ({"known": 0.05}, "do-not-use"),
        ({"full": 0.9}, "do-not-use"),
        ({"empty": 0.3}, "look"),
        ({"cells": 2.0}, "do-not-use"),
        ({"shrinks": 6.0}, "look"),
        ({"predicted": 0.0}, "look"),
        ({"agreement": 0.05}, "do-not-use"),
        ({"seed_agreement": 0.2}, "look"),
        ({"true_masks": 9, "iou": 0.8}, "do-not-use"),
        ({"calibrating": 1, "calibrated_iou": 0.8}, "do-not-use"),
    ],
)
def test_a_fact_about_a_class_speaks_against_that_class(change: dict[str, object], level: str) -> None:
    verdict = judge(replace(FINE, classes=(DOG, COW, replace(CAT, **change))))  # type: ignore[arg-type]
    assert verdict.classes == {"dog": "good", "cow": "good", "cat": level}
    assert verdict.run == verdict.model == "look"
    only_the_model = "predicted" in change or "agreement" in change
    assert verdict.masks == ("good" if only_the_model else "look")
    assert verdict.of_masks.classes == {"dog": "good", "cow": "good", "cat": "good" if only_the_model else level}
    assert {sign.about for sign in verdict.signs} == {"cat"}


@pytest.mark.parametrize(
    ("change", "level"),
    [
        ({"model_complaints": ("The segmentation model is of no use.",)}, "do-not-use"),
        ({"confidences": {"predictions": 0.0}}, "look"),
        ({"measured": 50, "miou": {"mask": 60.0, "prediction": 54.0}}, "look"),
        ({"measured": 50, "miou": {"mask": 60.0, "fused": 61.0, "prediction": 44.0}}, "do-not-use"),
    ],
)
def test_a_fact_about_the_model_does_not_speak_against_the_masks(change: dict[str, object], level: str) -> None:
    verdict = judge(replace(FINE, **change))  # type: ignore[arg-type]
    assert (verdict.run, verdict.masks, verdict.model) == (level, "good", level)
    assert set(verdict.classes.values()) == {"good"} and set(verdict.model_classes.values()) == {level}
    assert verdict.of_masks.masks == "good" and verdict.of_masks.signs == ()


def test_masks_to_calibrate_with_are_added_to_those_that_are_there() -> None:
    (first,) = judge(replace(FINE, full=0.9)).signs
    (further,) = judge(replace(FINE, full=0.9, calibrate="drawn", calibrating=17)).signs
    assert first.next == "draw 5 true masks, then: ktse refine runs/x --calibrate DIR"
    assert "add them to drawn (17 masks are there)" in further.next
    assert further.next.endswith("ktse refine runs/x")


def test_predictions_worse_than_the_masks_name_what_to_use() -> None:
    miou = {"mask": 60.0, "fused": 61.0, "prediction": 50.0}
    (sign,) = judge(replace(FINE, measured=50, miou=miou)).signs
    assert sign.text.startswith("The predictions, 50.0 %, are worse than the masks, 60.0 % (50 true masks).")
    assert "fused masks" in sign.next and "ktse predict runs/x IMAGES --out DIR --tags CSV" in sign.next
    few = judge(replace(FINE, measured=9, miou=miou))
    slightly = judge(replace(FINE, measured=50, miou={**miou, "prediction": 57.0}))
    assert few.run == slightly.run == "good"


@pytest.mark.parametrize(("count", "words"), [(1, "There is only 1 image to"), (2, "There are only 2 images to")])
def test_a_sign_counts_in_correct_words(count: int, words: str) -> None:
    texts = [sign.text for sign in judge(replace(FINE, training=count, classes=(replace(DOG, images=count),))).signs]
    assert any(text.startswith(words) for text in texts)
    one = "Only 1 image to learn from has the tag 'dog'."
    assert (one if count == 1 else "Only 2 images to learn from have the tag 'dog'.") in texts


def test_a_model_that_misses_most_classes_leaves_the_masks_alone() -> None:
    missed = [replace(one, predicted=0.0, agreement=0.0) for one in (DOG, CAT, COW)]
    verdict = judge(replace(FINE, classes=tuple(missed)))
    assert (verdict.run, verdict.masks, verdict.model) == ("do-not-use", "good", "do-not-use")


def test_the_sentence_names_the_model_where_the_masks_are_better() -> None:
    useless, thin = Sign("do-not-use", "", "a", "b", "model"), Sign("look", "dog", "c", "d")
    both = Verdict.of([useless, thin], ["dog", "cat"])
    assert both.sentence.startswith("do not use the model; look at the masks: predictions are probably wrong, and some")
    assert both.of_masks.sentence == "look at it: some results may be wrong"
    assert Verdict.of([useless], ["dog"]).sentence.startswith("do not use the model; the masks are good: ")
    assert Verdict.of([replace(useless, level="look")], []).sentence.startswith("look at the model; the masks are good")
    noise = Sign("do-not-use", "", "noise", "b")
    worst = Verdict.of([noise], ["dog"])
    assert (worst.masks, worst.model) == ("do-not-use", "do-not-use")  # a model learned from bad masks is bad
    assert worst.sentence.startswith("do not use: ")


def test_a_verdict_of_an_earlier_version_holds_for_masks_and_model() -> None:
    sign = {"level": "look", "class": "dog", "text": "a", "next": "b"}
    old = Verdict.from_json({"run": "look", "classes": {"dog": "look"}, "signs": [sign]})
    assert (old.run, old.masks, old.model) == ("look", "look", "look")
    assert old.of_masks == old and old.signs[0].concerns == "masks"


def test_enough_true_masks_decide_and_not_the_other_signs() -> None:
    odd = replace(DOG, full=0.9, cells=2.0, iou=80.0, true_masks=40)
    facts = replace(FINE, classes=(odd, CAT), threshold_kind="unclear", measured=40, miou={"mask": 75.0}, oracle=76.0)
    assert judge(facts).run == "good"


def test_a_run_is_no_better_than_its_signs() -> None:
    signs = [Sign("look", "", "a", "b"), Sign("do-not-use", "cat", "c", "d")]
    verdict = Verdict.of(signs, ["dog", "cow", "cat"])
    assert (verdict.run, verdict.classes) == ("look", {"dog": "look", "cow": "look", "cat": "do-not-use"})
    assert verdict.signs[0].about == "cat"  # the worst first
    assert Verdict.of(signs, ["dog", "cat"]).run == "do-not-use"  # half of the classes


@given(
    st.lists(
        st.builds(
            Sign,
            level=st.sampled_from(["look", "do-not-use"]),
            about=st.sampled_from(["", "dog", "cat"]),
            text=st.text(min_size=1),
            next=st.text(min_size=1),
            concerns=st.sampled_from(["masks", "model"]),
        )
    )
)
def test_a_verdict_comes_back_from_its_file(signs: list[Sign]) -> None:
    verdict = Verdict.of(signs, ["dog", "cat"])
    assert Verdict.from_json(verdict.to_json()) == verdict
    assert (verdict.run == "good") == (not signs)
    assert (verdict.masks == "good") == all(sign.concerns == "model" for sign in signs)
    assert verdict.run == verdict.model and LEVELS.index(verdict.masks) <= LEVELS.index(verdict.model)


def test_a_run_that_was_not_evaluated_has_no_verdict(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    assert read_verdict(run) is None
    write_json(run.path("evaluation.json"), {"tags": {}})  # of an earlier version
    assert read_verdict(run) is None
    write_json(run.path("evaluation.json"), {"verdict": judge(FINE).to_json()})
    assert read_verdict(run) == judge(FINE)
