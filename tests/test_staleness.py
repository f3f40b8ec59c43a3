"""What counts as a change of what a stage was made from, and what is left of its files."""

from __future__ import annotations

from pathlib import Path

import pytest

from ktse.pipeline import CHECK, CLASSIFY, REFINE, REPORT, SEGMENT, STAGES
from ktse.recipe import Recipe
from ktse.recipe.load import load_recipe
from ktse.staleness import changes, short_hash


def test_a_path_that_was_noted_as_given_is_the_same_made_absolute() -> None:
    assert not changes({"a.weights": "x/w.st"}, {"a.weights": str(Path.cwd() / "x/w.st")}, {})
    for former in ("w.pth", "y/w.st", "none", "t", str(Path.cwd() / "w.st")):
        assert changes({"a.weights": former}, {"a.weights": str(Path.cwd() / "x/w.st")}, {})


@pytest.mark.parametrize(
    ("before", "now", "said"),
    [
        ({"a.x": 1}, {"a.x": 1}, []),
        ({"a.x": 1}, {"a.x": 2}, ["a.x was 1 and is 2"]),
        ({}, {"a.x": 5}, []),  # new, and at its default
        ({}, {"a.x": 2}, ["a.x was 5 and is 2"]),
        ({"a.x": 2}, {"a.x": 5}, ["a.x was 2 and is 5"]),
        ({"a.gone": 2}, {}, []),  # taken away: whatever it was, it cannot be repeated
        ({"a.gone": 2, "a.x": 1}, {"a.x": 2}, ["a.x was 1 and is 2"]),
        ({"seed": "k"}, {"seed": "l"}, ["seed changed"]),
        ({"seed": "k"}, {}, ["seed changed"]),  # a stage or files, not a setting
        ({}, {"seed": "k"}, ["seed changed"]),
    ],
)
def test_changes_are_named_and_upgrades_change_nothing(
    before: dict[str, object], now: dict[str, object], said: list[str]
) -> None:
    assert changes(before, now, {"a.x": 5}) == said


def test_the_name_of_what_a_stage_is_made_from_does_not_depend_on_the_order() -> None:
    assert short_hash({"a": 1, "b": [2]}) == short_hash({"b": [2], "a": 1}) != short_hash({"a": 1, "b": [3]})


def test_the_settings_of_a_stage_are_its_own_and_the_random_seed_of_what_is_random() -> None:
    recipe = load_recipe("fast", {"compute.random_seed": 7, "segment.corrections": "fixed", "refine.calibrate": "few"})
    found = {name: stage.settings(recipe) for name, stage in STAGES.items()}
    assert {name for name, settings in found.items() if not settings} == {"check", "evaluate", "report"}
    for name, settings in found.items():
        assert {key.partition(".")[0] for key in settings} <= {name, "compute"}
        assert settings.get("compute.random_seed") == (7 if STAGES[name].trained else None)
    assert found["segment"]["segment.beco.mix"] == recipe.segment.beco.mix
    # Of masks the content counts, not their place.
    assert "segment.corrections" not in found["segment"] and "refine.calibrate" not in found["refine"]


def test_a_stage_needs_only_what_is_wanted() -> None:
    assert [stage.name for stage in REFINE.needed(Recipe())] == ["seed"]
    assert [stage.name for stage in REFINE.needed(load_recipe("fast", {"refine.method": ["irn"]}))] == [
        "seed",
        "affinity",
    ]
    assert CHECK.needed(Recipe()) == ()
    later = list(STAGES.values())
    assert all(later.index(before) < later.index(stage) for stage in later for before in stage.needs)
    assert later[-1] is REPORT and [stage.name for stage in later if stage.trained] == [
        "classify",
        "affinity",
        "segment",
        "adapt",
    ]
    assert CLASSIFY.extras(Recipe()) == SEGMENT.extras(Recipe()) == ()
