"""Settings: from YAML and by name, checked, and the same after a round trip."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from ktse.errors import RecipeError
from ktse.recipe.load import RECIPES, changed, load_recipe, recipe_from_dict, recipe_path, to_dict
from ktse.run_folder import RunFolder
from ktse.runtime.log import recording


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
