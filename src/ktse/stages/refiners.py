"""The soft refiners of a chain: an image and its CAM in, scores out."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from lightning_fabric import Fabric
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from ktse.data.transforms import to_tensor
from ktse.models.affinity import AffinityNetwork
from ktse.models.sam import Sam
from ktse.recipe import RefineRecipe
from ktse.refinement.dense_crf import FOR_SEEDS, crf_scores
from ktse.refinement.mask_voting import boxes, peaks, vote
from ktse.refinement.par import GROWTH, pixel_adaptive_refinement
from ktse.refinement.random_walk import random_walk, walk_scores

Refiner = Callable[[Image.Image, Tensor], Tensor]
"""RGB image and (K, h, w) scores, K at least 1, to (K, h', w') scores; float in 0..1, on the scores' device."""


class Refined(NamedTuple):
    """An image and its refined scores.

    Attributes:
        image: RGB.
        keys: (K,) int32, its tagged classes 0..C-1.
        scores: (K, h, w) float32 in 0..1.
    """

    image: Image.Image
    keys: np.ndarray
    scores: np.ndarray


Refine = Callable[[str], Refined]
"""The refined scores of an image of a run, by its name."""

CRF_THRESHOLD = 0.5
"""Where crf_class_scores cut into background and classes as the CRF does."""

SAM_POINTS = 4
"""Places of a class, at most, that a SAM is asked about."""

WALK_STEPS = 256
"""Steps of the random walk (published)."""

WALK_RADIUS = 5
"""A step of the random walk leads to pixels, at a quarter of the image's size, closer than this (published)."""

PEAK = 0.5
"""Power of its peak that "even" divides a class's score by. Before PAR each peak is 1; how much of it is left after it
depends on the size of the thing and on the texture around it, so that one threshold does not suit all images. Divided
by the whole peak, scores no longer say in which images a class is weak (docs/measurements/small-things.md)."""

LEAST_PEAK = 1e-5
"""Peaks below this are of no class."""

LEAST = 1e-3
"""Background score that the CRF is given at least."""


def soft_refiner(
    recipe: RefineRecipe, fabric: Fabric, network: AffinityNetwork | None, sam: Sam | None = None
) -> Refiner:
    """The refiners before the CRF, one after another.

    Args:
        recipe: the chain and its settings.
        fabric: device and precision.
        network: the trained boundary network, if the chain holds irn.
        sam: the network that suggests masks, if the chain holds sam.

    Returns:
        refiner whose scores have the recipe's stride, and no size at all where there is no class.
    """

    def refine(image: Image.Image, scores: Tensor) -> Tensor:
        size = (-(-image.height // recipe.stride), -(-image.width // recipe.stride))
        if len(scores) == 0:
            return scores.new_zeros((0, *size))
        scores = scores.to(fabric.device)
        for name in recipe.method:
            if name == "par":
                scores = _flow(image, scores, size, recipe)
            elif name == "even":
                scores = _even(scores)
            elif name == "irn" and network is not None:
                scores = _walk(image, scores, network, fabric, recipe)
            elif name == "sam" and sam is not None:
                scores = _vote(image, _resized(scores, size), sam, fabric)
        return _resized(scores, size)

    return refine


def _resized(scores: Tensor, size: tuple[int, int]) -> Tensor:
    return interpolate(scores[None], size, mode="bilinear", align_corners=False)[0]


def _flow(image: Image.Image, scores: Tensor, size: tuple[int, int], recipe: RefineRecipe) -> Tensor:
    picture = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].to(scores.device).float() / 255
    small = interpolate(picture, size, mode="bilinear", align_corners=False, antialias=True)
    refined = pixel_adaptive_refinement(small, _resized(scores, size)[None], recipe.iterations)[0]
    return (refined / GROWTH**recipe.iterations).clamp(0, 1)


def _even(scores: Tensor) -> Tensor:
    return scores / scores.amax(dim=(1, 2), keepdim=True).clamp(min=LEAST_PEAK) ** PEAK


def _walk(image: Image.Image, scores: Tensor, network: AffinityNetwork, fabric: Fabric, recipe: RefineRecipe) -> Tensor:
    edge = boundary(network, image, fabric)
    maps = _resized(scores, (edge.shape[0], edge.shape[1]))
    walked = random_walk(maps, edge, radius=WALK_RADIUS, beta=recipe.walk_power, steps=WALK_STEPS)
    return walk_scores(walked, (image.height, image.width))


def _vote(image: Image.Image, scores: Tensor, sam: Sam, fabric: Fabric) -> Tensor:
    scores = scores / scores.amax(dim=(1, 2), keepdim=True).clamp(min=LEAST_PEAK)  # as CAMs are
    with fabric.autocast():
        candidates = sam(image, peaks(scores, SAM_POINTS), boxes(scores), (scores.shape[1], scores.shape[2]))
    return vote(scores, candidates)


@torch.no_grad()
def boundary(network: AffinityNetwork, image: Image.Image, fabric: Fabric) -> Tensor:
    """The boundary map of an image, from the mean logit of the image and its mirror image.

    Returns:
        (ceil(H / 4), ceil(W / 4)) float32 in 0..1.
    """
    tensor = to_tensor(image, network.mean, network.std)
    batch = torch.stack([tensor, tensor.flip(-1)]).to(fabric.device, memory_format=torch.channels_last)
    with fabric.autocast():
        edge: Tensor = network(batch).edge
    return ((edge[0] + edge[1].flip(-1)) / 2).sigmoid()


def crf_class_scores(image: np.ndarray, scores: np.ndarray, background: float) -> np.ndarray:
    """Class scores after the dense CRF, such that CRF_THRESHOLD cuts them exactly where the CRF decides.

    Args:
        image: (H, W, 3) uint8.
        scores: (K, H, W) float in 0..1.
        background: background score.

    Returns:
        (K, H, W) float32 in 0..1: the class's probability against background and the strongest class.

    Raises:
        RunError: the extra is not installed.
    """
    if len(scores) == 0:
        return scores
    # Where nothing scores at all, a background score of 0 would leave nothing to divide by.
    planes = np.concatenate([np.full_like(scores[:1], max(background, LEAST)), scores])
    after = crf_scores(image, planes / planes.sum(axis=0), FOR_SEEDS)
    classes: np.ndarray = after[1:] / (after[:1] + after[1:].max(axis=0))
    return classes


def as_stored(scores: np.ndarray) -> np.ndarray:
    """Scores of float in 0..1 as the run folder keeps them: uint8, of which 255 stands for 1."""
    stored: np.ndarray = (scores * 255).round().astype(np.uint8)
    return stored
