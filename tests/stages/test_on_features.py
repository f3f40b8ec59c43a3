"""Learning from what a frozen backbone saw: the same numbers as from images, and a whole run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import ktse
from ktse.method.objective import Batch, Objective
from ktse.models.backbone import Backbone
from ktse.models.cam_head import CamHead, CamNetwork
from ktse.models.weights import load_tensors
from ktse.recipe import ClassifyRecipe, LossWeights, ObjectiveRecipe
from ktse.run_folder import RunFolder
from ktse.stages.seen_images import TaggedFeatures, collate_masks, collate_seen, filled

TAGS = torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
SIZES = ((6, 4), (3, 7), (5, 5))


@pytest.fixture
def head() -> CamHead:
    torch.manual_seed(0)
    head = CamHead(8, 3, 16, "lse", signed=True).eval()
    with torch.no_grad():
        head.bias.copy_(torch.tensor([0.1, -0.2, 0.3]))
    return head


def seen() -> list[TaggedFeatures]:
    torch.manual_seed(1)
    return [
        TaggedFeatures(torch.randn(8, h, w), torch.rand(3, 4 * h, 4 * w), tags)
        for (h, w), tags in zip(SIZES, TAGS, strict=True)
    ]


def test_an_image_in_a_batch_has_the_class_scores_that_it_has_alone(head: CamHead) -> None:
    batch = collate_seen(seen())
    assert batch.features is not None
    together = head.classify(head(batch.features)[:, 1:], batch.inside)
    for row, sample in zip(together, seen(), strict=True):
        alone = head.classify(head(sample.features[None])[:, 1:])[0]
        torch.testing.assert_close(row, alone)


def test_the_level_of_a_class_comes_from_pixels_inside(head: CamHead) -> None:
    batch = collate_seen(seen())
    assert batch.features is not None
    head.learn_level(head(batch.features)[:, 1:], TAGS, 0.8, batch.inside)
    for key in range(3):
        without = [one.features for one in seen() if one.tags[key] == 0]
        values = torch.cat([head(features[None])[0, 1 + key].flatten() for features in without])
        torch.testing.assert_close(head.level[key], values.quantile(0.8))


class Given(torch.nn.Module):
    """A backbone whose features are the image's first channels, so that both ways of learning can be compared."""

    mean, std, levels = torch.zeros(3), torch.ones(3), 2

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return torch.cat([image, image, image], dim=1)[:, :8, ::4, ::4]


def test_terms_from_features_are_those_from_images(head: CamHead) -> None:
    torch.manual_seed(2)
    image, network = torch.rand(3, 3, 24, 32), CamNetwork(Given(), head)
    objective = Objective(network, ObjectiveRecipe(absent_quantile=0.8), torch.zeros(3), torch.ones(3)).eval()
    weights = {"classification": 1.0, "background": 1.0, "foreground": 1.0, "inter_class": 1.0}
    empty = (image[:0], TAGS[:0])
    inside = torch.ones(3, 6, 8, dtype=torch.bool)
    looked = objective(Batch(image, TAGS, *empty), weights)
    told = objective(Batch(image, TAGS, *empty, features=Given()(image), inside=inside), weights)
    assert looked.losses.keys() == told.losses.keys()
    for name, value in looked.losses.items():
        torch.testing.assert_close(told.losses[name], value)


def test_what_was_filled_up_teaches_nothing(head: CamHead) -> None:
    """The terms of an image are the same beside a larger one that teaches nothing itself."""
    network, samples = CamNetwork(Given(), head), seen()
    objective = Objective(network, ObjectiveRecipe(), torch.zeros(3), torch.ones(3)).eval()
    weights = {"background": 1.0, "foreground": 1.0}
    alone = objective(collate_seen(samples[:1]), weights).losses
    height, width = 9, 9
    batch = collate_seen([*samples[:1], TaggedFeatures(torch.zeros(8, height, width), torch.zeros(3, 36, 36), TAGS[1])])
    assert batch.inside is not None
    batch.inside[1] = False
    for name, value in objective(batch, weights).losses.items():
        torch.testing.assert_close(value, alone[name], atol=0.05, rtol=0)


def test_filled_maps_say_where_they_are() -> None:
    whole, inside = filled([torch.ones(2, 3, 4), torch.ones(2, 5, 2)], 7.0)
    assert whole.shape == (2, 2, 5, 4)
    assert inside.sum(dim=(1, 2)).tolist() == [12, 10]
    assert (whole[~inside[:, None].expand_as(whole)] == 7).all()
    assert whole[inside[:, None].expand_as(whole)].sum() == 2 * 22


def test_masks_are_filled_with_the_label_that_does_not_count() -> None:
    samples = [([torch.ones(2, 2 * h, 2 * w), torch.ones(3, h, w)], torch.ones(4 * h, 4 * w).long()) for h, w in SIZES]
    batch = collate_masks(samples, 255)
    (levels,) = batch.views
    assert [tuple(level.shape) for level in levels] == [(3, 2, 12, 14), (3, 3, 6, 7)]
    assert batch.label.shape == (3, 24, 28)
    assert [(label == 1).sum().item() for label in batch.label] == [16 * h * w for h, w in SIZES]


@pytest.mark.parametrize(
    ("change", "fine"),
    [
        ({}, True),
        ({"frozen_stages": 2}, False),
        ({"levels": 1}, False),
        ({"batch_norm": "warmup"}, False),
        ({"pooling": "gpp"}, False),
        ({"objective": ObjectiveRecipe(LossWeights(stitched_background=0, stitched_foreground=0))}, False),
        ({"objective": ObjectiveRecipe(LossWeights(0.5, 0, 0, 0, 0, 0, 0, 0, 0), cutmix=0.5)}, False),
    ],
)
def test_features_serve_where_no_term_needs_the_backbone(change: dict[str, object], fine: bool) -> None:
    weights = LossWeights(
        transfer=0, stitched_background=0, stitched_foreground=0, global_alignment=0, local_alignment=0
    )
    fitting = {"frozen_stages": -1, "levels": 2, "pooling": "lse", "objective": ObjectiveRecipe(weights)}
    assert ClassifyRecipe(**{**fitting, **change}).on_features == fine  # type: ignore[arg-type]


SMALL = {
    "classify.backbone": "resnet10t", "segment.encoder": "resnet10t", "classify.long_side": [64, 96],
    "segment.long_side": [96, 96], "seed.long_side": 96, "predict.long_side": 96, "classify.epochs": 3,
    "classify.warmup": 2, "segment.epochs": 2,
    "compute.workers": 0, "compute.precision": "fp32", "classify.objective.absent_quantile": 0.0,
}  # fmt: skip


@pytest.fixture(autouse=True)
def short_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("classify", "segment"):
        monkeypatch.setattr(f"ktse.recipe.{name}.LEAST_IMAGES", 0)


def fast(scenes: Path, out: Path, **settings: object) -> RunFolder:
    given = {"tags": scenes / "tags.csv", "out": out, "weights": "none"}
    return ktse.run(scenes / "images", **given, recipe="fast", settings=SMALL | settings)  # type: ignore[arg-type]


@pytest.mark.trains
def test_a_run_looks_once_at_each_image_and_size(scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked, levels_of = [], Backbone.levels_of

    def counted(self: Backbone, image: torch.Tensor) -> list[torch.Tensor]:
        looked.append(tuple(image.shape))
        return levels_of(self, image)

    monkeypatch.setattr(Backbone, "levels_of", counted)
    run = fast(scenes, tmp_path / "run", **{"predict.fuse": 0.0})
    images = len(list((scenes / "images").iterdir()))
    assert len(list(run.path("features").glob("*.npz"))) == images
    # Predictions see images that are filled up to whole cells; networks that were just built see a blank square.
    sides = [sorted(shape[-2:]) for shape in looked]
    assert sum(long == 96 > short for short, long in sides) == images  # features
    assert sum(long == 144 for _, long in sides) == images  # seeds at the larger size
    assert sum(short == long for short, long in sides) >= images


@pytest.mark.trains
def test_nothing_kept_gives_nearly_the_same_run(scenes: Path, tmp_path: Path) -> None:
    kept, none = fast(scenes, tmp_path / "kept"), fast(scenes, tmp_path / "none", **{"compute.cache": 0.0})
    assert not none.path("features").exists()
    first, second = (load_tensors(run.path("classify", "model.safetensors"))[0] for run in (kept, none))
    assert first.keys() == second.keys()
    assert all(map(torch.equal, first.values(), second.values()))
    for path in kept.path("seeds").glob("*.npz"):
        cams = [RunFolder(run.root).seed(path.stem).cam.astype(np.float32) for run in (kept, none)]
        np.testing.assert_allclose(*cams, atol=0.05)
