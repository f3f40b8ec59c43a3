"""PAR: pixel-adaptive refinement (Ru et al., AFA, CVPR 2022), in plain torch, batched over images and maps."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import interpolate, pad

DILATIONS = (1, 2, 4, 8, 12, 24)
_DIRECTIONS = ((-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1))
GROWTH = 1.01  # sum of a pixel's weights: 1 for colour, 0.01 for distance
_SHARPNESS = 0.3


def offsets(dilations: tuple[int, ...] = DILATIONS) -> list[tuple[int, int]]:
    """(dy, dx) of every neighbour, dilation by dilation."""
    return [(dy * d, dx * d) for d in dilations for dy, dx in _DIRECTIONS]


def neighbours(image: Tensor, shifts: list[tuple[int, int]]) -> list[Tensor]:
    """Shifted copies of an image, its edge pixels repeated outwards.

    Args:
        image: (B, K, H, W).
        shifts: N pairs (dy, dx).

    Returns:
        N views (B, K, H, W) of one padded image.
    """
    height, width = image.shape[-2:]
    reach = max(max(abs(dy), abs(dx)) for dy, dx in shifts)
    padded = pad(image, [reach] * 4, mode="replicate")
    return [padded[..., reach + dy : reach + dy + height, reach + dx : reach + dx + width] for dy, dx in shifts]


@torch.no_grad()
def affinity(image: Tensor, dilations: tuple[int, ...] = DILATIONS) -> Tensor:
    """Weight of each neighbour of each pixel, from colour and, weakly, from distance.

    One neighbour at a time, so that no (B, 3, N, H, W) tensor arises.

    Args:
        image: (B, 3, H, W) float in 0..1.
        dilations: distances of the neighbours in pixels.

    Returns:
        (B, N, H, W) float, each neighbour contiguous in memory; the weights of a pixel sum to GROWTH.
    """
    shifts = offsets(dilations)
    around = neighbours(image, shifts)
    mean, variance = torch.zeros_like(image), torch.zeros_like(image)
    for neighbour in around:
        mean += neighbour / len(shifts)
    for neighbour in around:
        variance += (neighbour - mean).square_() / (len(shifts) - 1)
    scale = (variance.sqrt() + 1e-8).mul_(_SHARPNESS).square_().reciprocal_() / -image.shape[1]
    colour = image.new_empty(len(shifts), len(image), *image.shape[-2:])
    for neighbour, similarity in zip(around, colour, strict=True):
        torch.sum((neighbour - image).square_().mul_(scale), dim=1, out=similarity)
    distance = torch.tensor([math.hypot(dy, dx) for dy, dx in shifts], dtype=image.dtype, device=image.device)
    position = -((distance / (distance.std() + 1e-8) / _SHARPNESS) ** 2)
    weights = colour.softmax(dim=0).add_((GROWTH - 1) * position.softmax(dim=0)[:, None, None, None])
    return weights.transpose(0, 1)


@torch.no_grad()
def pixel_adaptive_refinement(
    image: Tensor, maps: Tensor, iterations: int = 10, dilations: tuple[int, ...] = DILATIONS
) -> Tensor:
    """Let every map flow along similar colours.

    Linear in the maps, so that any number of them (classes, thresholds) shares one pass.

    Args:
        image: (B, 3, H, W) float in 0..1.
        maps: (B, K, h, w) float, first brought to H x W (bilinear, corners aligned).
        iterations: how often each pixel becomes the weighted sum of its neighbours.
        dilations: distances of the neighbours in pixels.

    Returns:
        (B, K, H, W) float; a constant map comes back GROWTH**iterations times as large.
    """
    maps = interpolate(maps.float(), image.shape[-2:], mode="bilinear", align_corners=True)
    weights = affinity(image.float(), dilations)[:, :, None].unbind(dim=1)
    shifts = offsets(dilations)
    for _ in range(iterations):
        around = neighbours(maps, shifts)
        maps = torch.zeros_like(maps)
        for neighbour, weight in zip(around, weights, strict=True):
            maps.addcmul_(neighbour, weight)
    return maps
