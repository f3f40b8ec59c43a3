"""A verdict as it is shown."""

from __future__ import annotations

from typing import Any

import pytest

from ktse.errors import RunError
from ktse.files import write_json
from ktse.quality.verdict import Sign, Verdict
from ktse.reporting.judgement import read, show, steps


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("draw 5 true masks, then: ktse refine runs/a --calibrate DIR", ["ktse refine runs/a --calibrate DIR"]),
        ("ktse check runs/a lists tags that may be wrong", ["ktse check runs/a"]),
        ("ktse segment 'my run' --segment.epochs 40.", ["ktse segment 'my run' --segment.epochs 40"]),
        ("`ktse evaluate RUN --masks DIR`, or ktse report RUN", ["ktse evaluate r/1 --masks DIR", "ktse report r/1"]),
        ("ktse predict RUN IMAGES --out DIR", ["ktse predict r/1 IMAGES --out DIR"]),
        ("add images: some hundred", []),
    ],
)
def test_commands_are_found_in_what_to_do_next(text: str, expected: list[str]) -> None:
    found = steps(text, "r/1")
    assert [step.text for step in found if step.kind == "command"] == expected
    words = "".join(step.text for step in found if step.kind == "text")
    assert "ktse" not in words
    if text.startswith("ktse check"):
        assert words == " lists tags that may be wrong"


def test_a_path_is_no_pattern() -> None:
    assert steps("ktse report RUN", r"a\1\g<0>")[0].text == r"ktse report a\1\g<0>"


def test_names_between_backticks_are_no_commands() -> None:
    assert [(step.kind, step.text) for step in steps("see `masks/confidence.csv`", "r")][1] == (
        "code",
        "masks/confidence.csv",
    )


def test_signs_with_the_same_next_step_stand_together() -> None:
    signs = [Sign("look", "a", "one", "x"), Sign("do-not-use", "b", "two", "x"), Sign("look", "", "three", "y")]
    shown = show(Verdict.of(signs, ("a", "b", "c")), "r")
    assert [[sign.text for sign in group.signs] for group in shown.groups] == [["two", "one"], ["three"]]
    assert shown.level == "look" and shown.head == "Look at it"
    assert shown.classes == [("do-not-use", 1, ["b"]), ("look", 2, ["a", "c"])]


def test_a_model_that_is_worse_than_its_masks_is_named() -> None:
    signs = [Sign("do-not-use", "", "of no use", "x", "model"), Sign("look", "a", "thin", "y")]
    shown = show(Verdict.of(signs, ("a", "b")), "r")
    assert (shown.level, shown.head) == ("do-not-use", "Do not use the model; look at the masks")
    assert shown.words.startswith("predictions are probably wrong")
    assert shown.classes == [("look", 1, ["a"]), ("good", 1, ["b"])]


def test_many_signs_and_classes_are_bounded() -> None:
    names = [f"class {number} {'x' * 500}" for number in range(5000)]
    signs = [Sign("do-not-use", name, "w" * 5000, f"next {number}") for number, name in enumerate(names)]
    shown = show(Verdict.of(signs, names), "r")
    texts = [sign.text for group in shown.groups for sign in group.signs]
    assert len(texts) + shown.more == 5000 and len(texts) <= 40 and max(map(len, texts)) <= 600
    assert shown.classes[0][1] == 5000 and len(shown.classes[0][2]) == 200


@pytest.mark.parametrize(
    "verdict",
    [
        {"run": "perfect", "classes": {}, "signs": []},
        {"run": "good", "classes": {"a": "fine"}, "signs": []},
        {"run": "good", "masks": "fine", "classes": {}, "signs": []},
        {"run": "good", "signs": []},
        {"run": "good", "classes": {}, "signs": [{"level": "look"}]},
        [],
    ],
)
def test_a_damaged_verdict_is_an_error_that_names_its_file(bare: Any, verdict: Any) -> None:
    write_json(bare.run.path("evaluation.json"), {"verdict": verdict})
    with pytest.raises(RunError, match=r"evaluation\.json is damaged"):
        read(bare.run)
