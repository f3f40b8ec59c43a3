"""What bench.py measures: the same work by ktse and by straightforward code."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from baseline import evaluating, objective, refining
from PIL import Image
from torch import Tensor
from torch.nn.functional import avg_pool2d

from ktse.data.transforms import to_tensor
from ktse.method.erasing import erase, foreground_score
from ktse.method.objective import Batch, Objective
from ktse.method.regularisation import inter_class_term, pseudo_label, segmentation_terms
from ktse.models.backbone import Backbone
from ktse.models.cam_head import CamHead, CamNetwork
from ktse.models.folding import unfold_batch_norms
from ktse.quality.metrics import ThresholdSweep
from ktse.recipe import LossWeights, ObjectiveRecipe, SeedRecipe
from ktse.recipe.load import to_dict
from ktse.refinement.par import pixel_adaptive_refinement
from ktse.refinement.random_walk import random_walk
from ktse.runtime.fabric import make_fabric
from ktse.stages.seed import image_cams

THRESHOLDS = np.arange(1, 257) / 257

PIXELS = 8 * 192 * 192
"""Of a batch, whose mean the loss is: so many times its gradient is as large as the scores and can be compared."""


@dataclass(frozen=True)
class Case:
    """One kind of work.

    Attributes:
        label: in the table, with its size.
        given: what it works on, by size.
        ours, plain: the same from both.
        sizes: those that both are measured at.
        tiny: the size of a first call, which makes things ready.
        tolerance: by which numbers may differ, relative to the largest.
    """

    label: str
    given: Callable[[int], Any]
    ours: Callable[[Any], Tensor]
    plain: Callable[[Any], Tensor]
    sizes: tuple[int, ...]
    tiny: int = 64
    tolerance: float = 1e-4


def scene(height: int, width: int) -> dict[str, Tensor]:
    """A smooth picture, a 20-class CAM with three tagged classes, and boundaries at a quarter of the size."""
    generator = torch.Generator().manual_seed(0)

    def smooth(channels: int, rows: int, columns: int) -> Tensor:
        noise = torch.rand(1, channels, rows + 8, columns + 8, generator=generator)
        values = avg_pool2d(noise, 9, 1)
        return (values - values.min()) / (values.max() - values.min())

    rows, columns = -(-height // 4), -(-width // 4)
    tags = torch.zeros(1, 20)
    tags[0, [2, 7, 11]] = 1
    cam = smooth(20, -(-height // 8), -(-width // 8)) * 2 - 0.5
    return {
        "image": smooth(3, height, width),
        "maps": smooth(3, height, width),
        "cam": cam,
        "tags": tags,
        "scores": smooth(2, rows, columns)[0] ** 4,
        "edge": smooth(1, rows, columns)[0, 0] ** 3 * 0.98,
    }


def square(side: int) -> dict[str, Tensor]:
    """A scene of equal sides."""
    return scene(side, side)


def batch(classes: int) -> dict[str, Tensor]:
    """Eight crops of 192 pixels with one to three tags, scores at stride 8, and a pseudo-label.

    Of the classes that an image lacks, three in ten are positive somewhere, as in trained networks of 5 to 7 classes.
    """
    generator = torch.Generator().manual_seed(0)
    tags = torch.zeros(8, classes)
    for number in range(8):
        tags[number, [(number * 7 + other * 5) % classes for other in range(1 + number % 3)]] = 1
    noise = torch.randn(8, classes + 1, 32, 32, generator=generator)
    there = torch.cat([torch.ones(8, 1), tags], dim=1)
    seen = (there > 0) | (torch.rand(8, classes + 1, generator=generator) < 0.3)
    scores = avg_pool2d(noise, 9, 1) * 20
    scores = torch.where(seen[:, :, None, None], scores, -scores.abs()).requires_grad_()
    tagged = there.multinomial(16, True, generator=generator)
    label = tagged.view(8, 1, 4, 4).float()
    label = torch.nn.functional.interpolate(label, (192, 192)).long()[:, 0]
    return {"scores": scores, "tags": tags, "label": label, "image": torch.randn(8, 3, 192, 192, generator=generator)}


def our_objective(given: dict[str, Tensor]) -> Tensor:
    """Loss terms, their gradient, and the erased image."""
    scores, tags, image = given["scores"], given["tags"], given["image"]
    terms = segmentation_terms(scores, given["label"], tags.sum(dim=1) == 1)
    with torch.no_grad():
        shown = foreground_score(scores[:, 1:], tags, image.shape[-2:])
        kept = erase(image, scores[:, 1:], tags, 0.6)
    loss = terms.background + 0.0125 * terms.foreground + 0.005 * inter_class_term(scores.relu(), tags, shown)
    (gradient,) = torch.autograd.grad(loss, scores)
    return torch.cat([loss.detach()[None], PIXELS * gradient.flatten(), kept.flatten()])


def plain_objective(given: dict[str, Tensor]) -> Tensor:
    """The same."""
    scores, tags, image = given["scores"], given["tags"], given["image"]
    kept = objective.erased(image, scores[:, 1:], tags)
    loss = objective.segmentation(scores, given["label"], tags.sum(dim=1) == 1)
    loss = loss + 0.005 * objective.gap(scores, tags, image.shape[2:])
    (gradient,) = torch.autograd.grad(loss, scores)
    return torch.cat([loss.detach()[None], PIXELS * gradient.flatten(), kept.flatten()])


def scored(count: int) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Images of 96 pixels with a true mask, two of 20 tags, and scores in whole 256ths; a hundred, repeated."""
    generator, made = np.random.default_rng(0), []
    for _ in range(min(count, 100)):
        keys = np.sort(generator.choice(20, 2, replace=False))
        truth = np.concatenate([[0], keys + 1])[generator.integers(0, 3, (96, 96))]
        made.append((truth, keys, generator.integers(0, 257, (2, 96, 96)).astype(np.float32) / 256))
    return [made[number % len(made)] for number in range(count)]


def our_sweep(images: list[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> Tensor:
    """Confusion at every threshold."""
    found = ThresholdSweep(20, THRESHOLDS)
    for one in images:
        found.add(*one)
    return torch.from_numpy(found.counts)


@cache
def network() -> CamNetwork:
    """A CAM network with random weights."""
    torch.manual_seed(0)
    backbone = Backbone("mobilenetv2_100", 16, "none")
    made = CamNetwork(backbone, CamHead(backbone.channels, 20)).eval().to(memory_format=torch.channels_last)
    return made.requires_grad_(False)


RECIPE = SeedRecipe(stride=1)
KEYS = np.array([2, 7])


def picture(side: int) -> Image.Image:
    """Smooth noise."""
    small = np.random.default_rng(0).integers(0, 256, (9, 9, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((side, side), Image.Resampling.BICUBIC)


def our_cams(image: Image.Image) -> Tensor:
    """CAMs over scales."""
    return torch.from_numpy(image_cams(network(), image, KEYS, RECIPE, make_fabric("fp32"))[0]).float()


@torch.no_grad()
def plain_cams(image: Image.Image) -> Tensor:
    """The same."""
    made = network()
    sides = [max(32, round(image.width * scale)) for scale in RECIPE.scales]
    views = [to_tensor(image, made.mean, made.std, (side, side)) for side in sides]
    size = (image.height, image.width)
    return evaluating.multi_scale(lambda view: made.scores(view)[:, 1:], views, torch.from_numpy(KEYS), size)


@cache
def wide_network(lean: bool) -> CamNetwork:
    """The paper's network with random weights, with or without what makes frozen batch norms cost less."""
    torch.manual_seed(0)
    backbone = Backbone("resnet38d", 8, "none")
    made = CamNetwork(backbone, CamHead(backbone.channels, 20)).to(memory_format=torch.channels_last).eval()
    made.freeze_batch_norm(True)
    if not lean:
        unfold_batch_norms(backbone)
    return made


def step_of(side: int) -> Batch:
    """Four anchors, the first of them with a pair, as the published code has four pairs in sixteen."""
    generator = torch.Generator().manual_seed(0)
    image = torch.nn.functional.interpolate(torch.randn(5, 3, 9, 9, generator=generator), (side, side), mode="bicubic")
    tags = torch.zeros(5, 20)
    for number in range(5):
        tags[number, [2, 2 + number % 3]] = 1
    return Batch(image[:4], tags[:4], image[4:], tags[4:])


def gradient(network: CamNetwork, loss: Tensor) -> Tensor:
    """The loss, and the gradient of a first, a middle and a last weight, each over its spread."""
    weights = dict(network.named_parameters())
    names = ("backbone.model.conv1a.weight", "backbone.model.b4_3.conv_branch2a.weight", "head.score.weight")
    found = [weights[name].grad for name in names]
    return torch.cat([loss.detach()[None], *((one / one.std()).flatten() for one in found if one is not None)])


def our_step(given: Batch) -> Tensor:
    """All terms of the paper and their gradient."""
    network, weights = wide_network(True), to_dict(LossWeights())
    network.zero_grad()
    terms = Objective(network, ObjectiveRecipe(), network.mean, network.std)(given, weights)
    loss = torch.stack([weights[name] * value for name, value in terms.losses.items()]).sum()
    loss.backward()
    return gradient(network, loss)


def plain_step(given: Batch) -> Tensor:
    """The same."""
    network, seen = wide_network(False), torch.cat([given.image, given.paired_image])
    network.zero_grad()
    colours = (seen * network.std.view(3, 1, 1) + network.mean.view(3, 1, 1)).clamp(0, 1)
    loss = objective.whole(network, *given[:4], colours)
    loss.backward()
    return gradient(network, loss)


CASES = {
    "step": Case(
        "step of ResNet-38 with all terms, 4 crops of {size}x{size} and a pair",
        step_of,
        our_step,
        plain_step,
        (224,),
        tolerance=2e-2,
    ),
    "sweep": Case(
        "256 thresholds, {size:,} images of 96x96",
        scored,
        our_sweep,
        lambda given: torch.from_numpy(evaluating.sweep(given, 20, THRESHOLDS)),
        (100,),
        tiny=1,
    ),
    "par": Case(
        "PAR, {size}x{size}, 3 maps",
        square,
        lambda given: pixel_adaptive_refinement(given["image"], given["maps"]),
        lambda given: refining.plain_par(given["image"], given["maps"]),
        (320,),
    ),
    "label": Case(
        "pseudo-label with PAR, {size}x{size}, 3 of 20 classes",
        square,
        lambda given: pseudo_label(given["cam"], given["image"], given["tags"]),
        lambda given: refining.plain_pseudo_label(given["cam"], given["image"], given["tags"]),
        (320,),
    ),
    "walk": Case(
        "random walk, {size}x{size} at a quarter",
        square,
        lambda given: random_walk(given["scores"], given["edge"]),
        lambda given: refining.plain_walk(given["scores"], given["edge"]),
        (192,),
    ),
    "cams": Case(
        "CAMs at 4 scales and mirrored, {size}x{size}, 20 classes",
        picture,
        our_cams,
        plain_cams,
        (320,),
        tolerance=2e-3,
    ),
    "objective": Case(
        "objective at image size with gradient, 8 crops of 192x192, {size} classes",
        batch,
        our_objective,
        plain_objective,
        (2, 20, 80, 500),
        tiny=2,
    ),
}

GROWTH = [
    *(("sweep", images, 1) for images in (1_000, 10_000)),
    *(("label", side, 1) for side in (320, 640, 1280)),
    *(("walk", side, 1) for side in (512, 1024)),
    *(("cams", side, 1) for side in (320, 640)),
    *((name, size, threads) for name, size in (("label", 640), ("objective", 20), ("cams", 320)) for threads in (1, 2)),
]
"""Name, size and threads; only ours."""
