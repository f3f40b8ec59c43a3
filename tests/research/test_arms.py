"""The arms: what each switches on, and that all of them are valid on every packaged recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ktse.errors import RecipeError
from ktse.recipe import ClassifyRecipe, ObjectiveRecipe, Recipe
from ktse.recipe.load import load_recipe, merged, recipe_from_dict, to_dict
from ktse.research.arms import (
    ALIGNMENT,
    NAMES,
    PLAIN,
    RIVALS,
    Arm,
    alignment,
    all_arms,
    choose,
    elements,
    sensitivity,
)


def changed(arm: Arm, base: Recipe | None = None) -> Recipe:
    return recipe_from_dict(merged(to_dict(base or Recipe()), arm.changes))


def switched_on(arm: Arm) -> set[str]:
    return {name for name, weight in vars(changed(arm).classify.objective.weights).items() if weight}


def test_each_element_switches_on_its_terms() -> None:
    sie, ssr, mga = {"transfer"}, {"background", "foreground", "inter_class"}, {"global_alignment", "local_alignment"}
    stitched = {"stitched_background", "stitched_foreground"}
    expected: dict[str, set[str]] = {
        "plain": set(),
        "plain-warmup": set(),
        "sie": sie,
        "ssr": ssr,
        "sie-ssr": sie | ssr | stitched,
        "ktse": sie | ssr | stitched | mga,
        "acol": {"erased_classification"},
        "aeft": {"attraction", "repulsion"},
        "mga-global": {"global_alignment"},
        "mga": mga,
        "cutmix": set(),
        "cutmix-ssr": ssr,
    }
    arms = all_arms([elements(ClassifyRecipe()), ALIGNMENT, RIVALS])
    assert {arm.name: switched_on(arm) for arm in arms} == {
        name: {"classification"} | terms for name, terms in expected.items()
    }
    assert changed(arms[1]).classify.warmup == ClassifyRecipe().epochs
    cutmix = {arm.name for arm in arms if changed(arm).classify.objective.cutmix > 0}
    assert cutmix == {"cutmix", "cutmix-ssr"}


def test_the_papers_figures_are_those_of_the_paper() -> None:
    figures = {arm.name: arm.paper for arm in all_arms([elements(ClassifyRecipe()), ALIGNMENT, RIVALS]) if arm.paper}
    assert figures == {
        "plain": 54.2,
        "sie": 57.1,
        "ssr": 57.4,
        "sie-ssr": 63.8,
        "ktse": 67.0,
        "mga-global": 58.7,
        "mga": 60.2,
    }


@pytest.mark.parametrize("name", ["thorough", "voc12-official"])
def test_every_arm_is_valid_and_no_two_are_alike(name: str) -> None:
    base = load_recipe(name)
    arms = all_arms(choose(NAMES, base.classify))
    recipes = [changed(arm, base) for arm in arms]
    assert all(recipes[a] != recipes[b] for a in range(len(arms)) for b in range(a))
    assert len({arm.name for arm in arms}) == len(arms)
    assert arms[0] is PLAIN


@pytest.mark.parametrize(
    "objective",
    [
        ObjectiveRecipe(),
        ObjectiveRecipe(background_high=0.3, background_low=0.3, pairs=0.25, stitch="random", partner="random"),
        ObjectiveRecipe(background_high=0.94, background_low=0.02, erase_above=0.97),
    ],
)
def test_sensitivity_changes_one_setting_in_each_arm(objective: ObjectiveRecipe) -> None:
    for arm in sensitivity(objective).arms[2:]:
        ((key, value),) = arm.changes.items()
        place: Any = objective
        for part in key.removeprefix("classify.objective.").split("."):
            place = getattr(place, part)
        assert value != place
        recipe_from_dict(merged({"classify": {"objective": to_dict(objective)}}, arm.changes))  # in range


def test_sensitivity_has_no_background_scores_where_they_are_found() -> None:
    fixed, found = (sensitivity(ObjectiveRecipe(background=kind)) for kind in ("fixed", "auto"))
    keys = [key for table in (fixed, found) for arm in table.arms[2:] for key in arm.changes if "background" in key]
    assert len(keys) == len(fixed.arms) - len(found.arms) == 4


def test_own_arms_come_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("soft steps: {classify.lr_after: 0.5}\nlong: {classify: {epochs: 30}}\n")
    (table,) = choose([str(path)], ClassifyRecipe())
    assert [arm.name for arm in table.arms] == ["ktse", "plain", "soft-steps", "long"]
    assert changed(table.arms[3]).classify.epochs == 30


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a: [", "is not valid YAML"),
        ("- a", "does not hold arms"),
        ("a: 3", "does not hold arms"),
        ("sie: {}", "taken"),
    ],
)
def test_a_file_without_arms_is_a_message(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "mine.yaml").write_text(content)
    with pytest.raises(RecipeError, match=message):
        choose([str(tmp_path / "mine.yaml")], ClassifyRecipe())


def test_one_name_for_two_arms_is_a_message(tmp_path: Path) -> None:
    for name, value in (("one", 0.5), ("two", 0.25)):
        (tmp_path / f"{name}.yaml").write_text(f"soft: {{classify.lr_after: {value}}}")
    tables = choose([str(tmp_path / "one.yaml"), str(tmp_path / "two.yaml")], ClassifyRecipe())
    with pytest.raises(RecipeError, match="two arms are called 'soft'"):
        all_arms(tables)
    assert len(all_arms(tables[:1])) == 3


@pytest.mark.parametrize("names", [["nonsense"], []])
def test_an_unknown_table_is_a_message(names: list[str]) -> None:
    with pytest.raises(RecipeError, match="table"):
        choose(names, ClassifyRecipe())


def test_aeft_has_no_part_where_there_is_no_pyramid() -> None:
    names = [[arm.name for arm in alignment(ClassifyRecipe(pooling=pooling)).arms] for pooling in ("gpp", "lse")]
    assert set(names[0]) - set(names[1]) == {"aeft"}


def test_a_recipe_without_the_terms_has_nothing_to_compare() -> None:
    with pytest.raises(RecipeError, match="transfer, global_alignment"):
        choose(["elements"], load_recipe("fast").classify)
