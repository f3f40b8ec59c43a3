"""Doubtful tags are judged by the backbone as it was before training, and it is said where there is none."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import timm
from safetensors.torch import save_file

from ktse.checking import doubtful_tags as doubt
from ktse.checking.doubtful_tags import doubtful_tags
from ktse.data.dataset import TaggedImages
from ktse.models.backbone import Backbone
from ktse.recipe import ClassifyRecipe
from ktse.run_folder import RunFolder


def recipe(weights: str) -> ClassifyRecipe:
    return ClassifyRecipe(backbone="resnet10t", weights=weights, long_side=(32, 48))


def test_the_initial_weights_judge_without_any_training(run: RunFolder, data: TaggedImages, tmp_path: Path) -> None:
    save_file(timm.create_model("resnet10t").state_dict(), tmp_path / "w.safetensors")
    found, judge, warning = doubtful_tags(run, data, recipe(str(tmp_path / "w.safetensors")))
    assert (judge, warning) == ("initial", "")
    assert all(set(entry) == {"id", "class", "tagged", "score"} for entry in found)


@pytest.mark.parametrize(
    ("weights", "reason"), [("none", "it started from random weights"), ("gone.safetensors", "weights are gone")]
)
def test_the_trained_network_judges_where_there_are_none(
    run: RunFolder, data: TaggedImages, weights: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = Backbone("resnet10t", 16, "none")
    monkeypatch.setattr(doubt, "load_network", lambda folder: SimpleNamespace(backbone=trained))
    _, judge, warning = doubtful_tags(run, data, recipe(weights))
    assert judge == "trained"
    assert reason in warning
