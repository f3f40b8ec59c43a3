"""Stitching and measuring, on networks whose answer is known."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal, cast

import numpy as np
import pytest
import torch
from torch import Tensor

from ktse.data.dataset import TaggedImages
from ktse.models.cam_head import CamNetwork
from ktse.recipe import ClassifyRecipe, ObjectiveRecipe
from ktse.research.changes import CONDITIONS
from ktse.research.couples import Activations, Stitcher, choose_couples, measure
from ktse.runtime.fabric import make_fabric

ZERO = torch.zeros(3)


def network(scores: Any) -> CamNetwork:
    """Something with the scores and the normalisation of a CAM network."""
    return cast(CamNetwork, SimpleNamespace(scores=scores, mean=ZERO, std=torch.ones(3)))


def local(image: Tensor) -> Tensor:
    """Every class is as active as the image is bright, at stride 8, whatever surrounds it."""
    bright = torch.nn.functional.avg_pool2d(image.mean(dim=1, keepdim=True), 8)
    return bright.expand(-1, 6, -1, -1)


def inhibited(image: Tensor) -> Tensor:
    """The same, less by the mean of the whole image."""
    found = local(image)
    return found - found.mean(dim=(-2, -1), keepdim=True) / 2


def look(
    scores: Any, data: TaggedImages, stitch: Literal["height", "width"] = "height"
) -> tuple[Activations, list[int]]:
    recipe = ClassifyRecipe(crop=64, long_side=(60, 80), objective=ObjectiveRecipe(stitch=stitch))
    couples = choose_couples(data, 5, 0)
    found = measure(Stitcher(network(scores), data, recipe, make_fabric("fp32")), couples, "measure")
    return found, [couple.anchor for couple in couples]


@pytest.mark.parametrize("stitch", ["height", "width"])
def test_a_network_that_sees_only_one_place_changes_nothing(
    data: TaggedImages, stitch: Literal["height", "width"]
) -> None:
    found, _ = look(local, data, stitch)
    for column, condition in enumerate(CONDITIONS, start=1):
        known = np.isfinite(found.mean[:, column])
        assert known.all() or condition == "other"
        np.testing.assert_allclose(found.mean[known, column], found.mean[known, 0], rtol=1e-5)
        np.testing.assert_allclose(found.lines[known, column], found.lines[known, 0], rtol=1e-5)
    assert (found.mean[:, 0] > 0).all()


def test_a_network_that_compares_weakens_as_much_as_what_is_joined_is_bright(data: TaggedImages) -> None:
    found, anchors = look(inhibited, data)
    recipe = ClassifyRecipe(crop=64, long_side=(60, 80))
    images = Stitcher(network(local), data, recipe, make_fabric("fp32")).images(anchors)
    bright = torch.nn.functional.avg_pool2d(images.mean(dim=1), 8)
    means = bright.mean(dim=(1, 2), keepdim=True)
    alone = (bright - means / 2).relu().mean(dim=(1, 2)).numpy()
    blank = (bright - means / 4).relu().mean(dim=(1, 2)).numpy()  # joined to black, half of the mean is left
    np.testing.assert_allclose(found.mean[:, 0], alone, rtol=1e-4)
    np.testing.assert_allclose(found.mean[:, 1 + list(CONDITIONS).index("blank")], blank, rtol=1e-4)
    np.testing.assert_allclose(found.mean[:, 1 + list(CONDITIONS).index("itself")], alone, rtol=1e-4)


def test_the_line_at_the_seam_is_the_last(data: TaggedImages) -> None:
    def seam(image: Tensor) -> Tensor:
        """Active in the last rows of what is above a second image, nowhere without one."""
        found = torch.zeros(len(image), 6, image.shape[2] // 8, image.shape[3] // 8)
        if image.shape[2] > image.shape[3]:
            found[:, :, image.shape[3] // 8 - 1] = 1.0
        return found

    found, _ = look(seam, data)
    assert (found.lines[:, 1, -1] == 1).all() and (found.lines[:, 1, :-1] == 0).all()
    assert (found.mean[:, 1] == 1 / 8).all() and (found.mean[:, 0] == 0).all()
    assert (found.area[:, 1] == 1 / 8).all() and (found.area[:, 0] == 0).all()


def test_couples_fit_their_conditions(data: TaggedImages) -> None:
    couples = choose_couples(data, 100, 3)
    assert couples == choose_couples(data, 100, 3)
    assert len({couple.anchor for couple in couples}) == len(couples) >= 5
    for couple in couples:
        tags = data.tags[couple.anchor]
        assert tags[couple.key] and data.tags[couple.same, couple.key] and couple.same != couple.anchor
        assert not data.validation[[couple.anchor, couple.same]].any()
        if couple.other >= 0:
            assert data.tags[couple.other].any() and not (tags & data.tags[couple.other]).any()
    assert len(choose_couples(data, 2, 3)) == 2


def test_without_foreign_images_that_condition_is_left_out() -> None:
    data = TaggedImages(Path(), ("a", "b"), ("a", "b"), ("cat",), np.ones((2, 1), bool), np.zeros(2, bool))
    assert {couple.other for couple in choose_couples(data, 9, 0)} == {-1}
    alone = TaggedImages(Path(), ("a", "b"), ("a", "b"), ("cat", "dog"), np.eye(2, dtype=bool), np.zeros(2, bool))
    assert choose_couples(alone, 9, 0) == []
