"""Settings: from YAML and by name, checked, and the same after a round trip."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import yaml
from jsonargparse import ArgumentError

from ktse.errors import RecipeError
from ktse.recipe import Recipe
from ktse.recipe.load import RECIPES, changed, flat, load_recipe, merged, recipe_from_dict, recipe_path, to_dict
from ktse.run_folder import RunFolder
from ktse.runtime.log import recording
from ktse.terminal.parser import VERBS, make_parser


def test_every_packaged_recipe_has_a_name() -> None:
    assert {path.stem for path in recipe_path("fast").parent.glob("*.yaml")} == set(RECIPES)


@pytest.mark.parametrize("name", RECIPES)
def test_packaged_recipes_are_valid_and_survive_a_round_trip(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe_from_dict(to_dict(recipe)) == recipe


def test_settings_may_be_dotted_or_nested() -> None:
    dotted = load_recipe("fast", {"classify.objective.weights.transfer": 0.5, "refine.threshold": 0.3})
    nested = load_recipe(
        "fast", {"classify": {"objective": {"weights": {"transfer": 0.5}}}, "refine": {"threshold": 0.3}}
    )
    assert dotted == nested
    assert dotted.classify.objective.weights.transfer == 0.5
    assert dotted.classify.objective.weights.background == load_recipe("fast").classify.objective.weights.background


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"classify.epoch": 5}, "epoch"),
        ({"classify.epochs": "many"}, "many"),
        ({"classify": 3}, "classify"),
        ({"nonsense": 1}, "nonsense"),
        ({"refine.method": "magic"}, "magic"),
        ({"refine.method": ["par", "magic"]}, "magic"),
        ({"refine.method": ["crf", "par"]}, "refine.method"),
        ({"refine.method": ["par", "par"]}, "refine.method"),
        ({"affinity.crop": 70}, "affinity.crop"),
        ({"seed.scales": []}, "seed.scales"),
    ],
)
def test_a_bad_setting_is_named(settings: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        load_recipe("fast", settings)


EVERY = flat(to_dict(Recipe()), "")
"""Every setting by its dotted name, with a dot before it."""

WORDS = ("backbone", "encoder", "weights", "architecture")
TEXTS = {name for name, value in EVERY.items() if value == "" or name.rpartition(".")[2] in WORDS}
FROM_MINUS_ONE = {".compute.workers", ".classify.frozen_stages", ".segment.frozen_stages"}
LONG = "x" * 5000
MANY_ALIASES = "".join(f"{name}: &{name} [{(f'*{chr(ord(name) - 1)}, ') * 10}]\n" for name in "bcdefgh")
MANY_ALIASES = f"a: &a [x]\n{MANY_ALIASES}"
SWITCHES = {name for name, value in EVERY.items() if isinstance(value, bool)}


@pytest.mark.parametrize(
    ("value", "fine"),
    [
        (None, set()),
        (math.nan, set()),
        (math.inf, set()),
        (-1, FROM_MINUS_ONE),
        (1e308, set()),
        (10**400, set()),
        ([1, "a"], set()),
        ({"a": 1}, set()),
        (True, SWITCHES),
        ("some text", TEXTS),
        ("a\0b", set()),
        (LONG, set()),
        (b"bytes", set()),
        (object(), set()),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_setting_refuses_what_it_cannot_be(value: object, fine: set[str], tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe("fast", {name[1:]: value for name in EVERY})
    named = {f".{text.partition(' is ')[0]}" for text in caught.value.where}
    assert named == EVERY.keys() - fine
    assert all("must be" in text and len(text) < 400 for text in caught.value.where)
    if not isinstance(value, str | int | float | list | dict | None) or value == LONG:
        return
    path = tmp_path / "all.yaml"
    path.write_text(yaml.safe_dump(merged({}, {name[1:]: value for name in EVERY})))
    with pytest.raises(RecipeError) as of_file:
        load_recipe(path)
    assert {text.partition(" is ")[0] for text in of_file.value.where} == {name[1:] for name in named}


@pytest.mark.parametrize("value", ["null", "nan", "inf", "-1", "1e308", "[1,a]", "{a: 1}"])
def test_every_setting_refuses_in_the_shell_what_it_cannot_be(value: str) -> None:
    verbs = {name: make_parser(only=name) for name in ("run", "ablate")}
    given = [name[1:] for name in EVERY if name not in FROM_MINUS_ONE | TEXTS]
    for setting in given:
        verb = "run" if setting.partition(".")[0] in VERBS["run"].settings else "ablate"
        words = [verb, "photos", "--out", "run", f"--{setting}={value}"]
        with pytest.raises((ArgumentError, RecipeError), match=setting.rpartition(".")[2]):
            found = verbs[verb].parse_args(words, defaults=False)[verb].as_dict()
            load_recipe("fast", {group: found[group] for group in VERBS[verb].settings if group in found})


def test_settings_out_of_range_are_listed_together() -> None:
    with pytest.raises(RecipeError) as error:
        load_recipe("fast", {"classify.epochs": 0, "seed.stride": 0, "data.validation": 1.0})
    for name in ("classify.epochs", "seed.stride", "data.validation"):
        assert name in str(error.value)


def test_an_unknown_recipe_or_broken_yaml_is_a_message(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no recipe 'quick'"):
        load_recipe("quick")
    path = tmp_path / "broken.yaml"
    path.write_text("classify: [")
    with pytest.raises(RecipeError, match=r"broken\.yaml is not valid YAML"):
        load_recipe(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (MANY_ALIASES, "more than 20,000 values"),
        ("classify: &a {epochs: *a}", "more than 20,000 values"),
        ("# " + "x" * 200_000, "0.2 MB, but may have 0.1 MB"),
        ("classify: " + "[" * 1000, "within each other"),
        ("classify: {epochs: 2001-01-01}", "whole number"),
        ("1: 2\nclassify: {[1]: 2}", "not valid YAML"),
        ("1: 2", "no setting 1"),
        ("classify: {1: 2}", "no setting classify.1"),
        ("classify: {epochs: 1" + "0" * 5000 + "}", "not valid YAML"),
        ("!!python/object/apply:os.system ['true']", "not valid YAML"),
        ("base: [1, 2]", "must be the name of a recipe"),
        ("classify: {lr: 1e-3}", ""),
        ("classify: &c {epochs: 5, warmup: 1}\nsegment: {epochs: 3}", ""),
    ],
)
def test_a_hostile_recipe_is_a_message(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(text)
    if not message:
        assert load_recipe(path).classify.lr == 1e-3 or load_recipe(path).classify.epochs == 5
        return
    with pytest.raises(RecipeError, match=message) as caught:
        load_recipe(path)
    assert len(str(caught.value)) < 3000


def test_the_recipe_of_an_older_run_is_read_without_what_is_gone(tmp_path: Path) -> None:
    recipe = load_recipe("demo", {"classify.epochs": 7, "predict.scales": [0.5]})
    older = to_dict(recipe)
    older["classify"] |= {"seed": 3, "workers": 0, "power": 0.9}
    older["classify"]["objective"]["weights"]["gone"] = 1.0
    older["predict"]["crf"] = {"iterations": 0, "near_xy": 3.0}  # a group that is a setting now
    older["seed"]["source"] = {"method": "cam"}
    older["gone"] = {"a": 1}
    del older["compute"]
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(older))
    assert RunFolder(tmp_path).read_recipe() == recipe
    with pytest.raises(
        RecipeError, match=r"recipe\.yaml cannot be used"
    ):  # in a file that a person writes, it is a mistake
        load_recipe(tmp_path / "recipe.yaml")


def test_a_recipe_may_be_another_one_with_changes(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("base: voc12-vgg\nclassify: {epochs: 5, warmup: 2, objective: {weights: {transfer: 0.5}}}\n")
    (tmp_path / "mine.yaml").write_text("base: own.yaml\nclassify: {epochs: 6}\n")
    changes = {"classify.warmup": 2, "classify.objective.weights.transfer": 0.5}
    assert load_recipe(own) == load_recipe("voc12-vgg", {**changes, "classify.epochs": 5})
    assert load_recipe(tmp_path / "mine.yaml") == load_recipe("voc12-vgg", {**changes, "classify.epochs": 6})
    assert load_recipe(own).segment.encoder == "vgg16.tv_in1k"


def test_a_base_that_does_not_exist_or_leads_in_a_circle_is_a_message(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("base: b.yaml")
    (tmp_path / "b.yaml").write_text("base: a.yaml")
    (tmp_path / "c.yaml").write_text("base: quick")
    with pytest.raises(RecipeError, match=r"a\.yaml is based on itself"):
        load_recipe(tmp_path / "a.yaml")
    with pytest.raises(RecipeError, match="no recipe 'quick'"):
        load_recipe(tmp_path / "c.yaml")


@pytest.mark.parametrize(
    ("settings", "warmup"),
    [
        ({"classify.epochs": 5}, 3),  # fast: 6 of 9
        ({"classify": {"epochs": 6}}, 4),
        ({"classify.epochs": 2}, 1),
        ({"classify.epochs": 1}, 1),
        ({"classify.epochs": 9}, 6),
        ({"classify.epochs": 30}, 6),  # a longer training is a longer rest
        ({"classify.epochs": 5, "classify.warmup": 1}, 1),
        ({"classify": {"epochs": 7, "warmup": 7}}, 7),
        ({"classify.lr": 0.1}, 6),
    ],
)
def test_fewer_epochs_have_a_shorter_warm_up(settings: dict[str, object], warmup: int) -> None:
    assert load_recipe("fast", settings).classify.warmup == warmup


def test_a_plain_cam_stays_one_and_no_warm_up_stays_none() -> None:
    plain = changed(load_recipe("fast", {"classify.warmup": 9}), {"classify.epochs": 4})
    assert (plain.classify.epochs, plain.classify.warmup) == (4, 4)
    none = changed(load_recipe("fast", {"classify.warmup": 0}), {"classify.epochs": 4})
    assert (none.classify.epochs, none.classify.warmup) == (4, 0)


def test_a_shorter_warm_up_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    with recording():
        for _ in range(2):
            load_recipe("fast", {"classify.epochs": 5})
    (line,) = capsys.readouterr().err.splitlines()
    assert "classify.epochs is 5" in line and "3, not 6" in line and "classify.warmup" in line


def test_a_model_that_starts_from_the_classifier_has_its_backbone() -> None:
    with pytest.raises(RecipeError, match=r"classify\.backbone is 'resnet18'") as caught:
        load_recipe("fast", {"classify.backbone": "resnet18"}).require_one_backbone()
    assert "--segment.encoder resnet18" in caught.value.hint
    load_recipe("fast", {"classify.backbone": "resnet18", "segment.encoder": "resnet18"}).require_one_backbone()
