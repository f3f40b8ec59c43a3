"""The edge-aware random walk of IRN (Ahn et al., CVPR 2019, section 4.4) as repeated sparse products."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ktse.refinement.pairs import displacements, path, seen_from

STRIDE = 4
"""Pixels of the image per pixel of the boundary map."""

_WEAKEST = 1e-15
_FLOOR = 1e-20


def transition(edge: Tensor, radius: int = 5, beta: float = 10.0) -> Tensor:
    """The transition matrix: affinity (see pair_affinity) to the power beta, each row divided by its sum.

    Affinities below 1e-15, too weak to be seen in single precision after any walk, are left out.

    Args:
        edge: (H, W) float in 0..1, boundary map.
        radius: a step leads to pixels closer than this.
        beta: exponent of the affinity.

    Returns:
        (HW, HW) sparse CSR float32; at most 69 entries a row with radius 5.
    """
    height, width = edge.shape
    ways = displacements(radius)
    # Columns of a row in rising order, as CSR wants them.
    steps = sorted([(0, 0), *ways, *((-dy, -dx) for dy, dx in ways)])
    planes = edge.new_zeros((len(steps), height, width), dtype=torch.float32)
    planes[steps.index((0, 0))] = 1
    for dy, dx in ways:
        strongest = seen_from(edge, dy, dx, 0, 0)
        for y, x in path(dy, dx):
            strongest = torch.maximum(strongest, seen_from(edge, dy, dx, y, x))
        affinity = (1 - strongest.float()).pow(beta)
        affinity = affinity * (affinity >= _WEAKEST)
        seen_from(planes[steps.index((dy, dx))], dy, dx, 0, 0).copy_(affinity)
        seen_from(planes[steps.index((-dy, -dx))], dy, dx, dy, dx).copy_(affinity)
    planes /= planes.sum(dim=0)
    values = planes.flatten(1).T
    kept = values > 0
    # 32 bits, as the sparse libraries want them: with 64 they would be converted in every product.
    ends = torch.cat([kept.new_zeros(1, dtype=torch.int32), kept.sum(dim=1).cumsum(dim=0, dtype=torch.int32)])
    offsets = torch.tensor([dy * width + dx for dy, dx in steps], dtype=torch.int32, device=edge.device)
    columns = torch.arange(height * width, dtype=torch.int32, device=edge.device)[:, None] + offsets
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse (CSR|invariant)")
        return torch.sparse_csr_tensor(
            ends, columns.masked_select(kept), values.masked_select(kept), (height * width,) * 2
        )


@torch.no_grad()
def random_walk(maps: Tensor, edge: Tensor, *, radius: int = 5, beta: float = 10.0, steps: int = 256) -> Tensor:
    """Let every map flow wherever no boundary stands in the way.

    The same numbers as the published maps @ T ** steps, T dense and squared eight times, but with memory linear in the
    pixels. The affinity is symmetric, so that T's columns divided by their sums, which the published code applies from
    the right, are rows divided by their sums applied from the left: each pixel becomes a mean of its neighbours.

    Args:
        maps: (K, H, W) float, 0 or more.
        edge: (H, W) float in 0..1, boundary map.
        radius: a step leads to pixels closer than this.
        beta: exponent of the affinity.
        steps: number of steps.

    Returns:
        (K, H, W) float32.
    """
    device = edge.device
    if device.type == "mps":  # has no sparse products
        maps, edge = maps.cpu(), edge.cpu()
    matrix = transition(edge, radius, beta)
    start = (maps * (1 - edge)).float().flatten(1).T.contiguous()
    # Means of numbers from a floor on stay above it: far from the maps they would else fade to denormal numbers,
    # with which processors are many times slower.
    state = start + _FLOOR
    for _ in range(steps):
        state = matrix @ state
    return (state - _FLOOR).clamp(min=0).T.reshape(maps.shape).to(device)


def walk_scores(walked: Tensor, size: tuple[int, int]) -> Tensor:
    """Soft scores at the image's size, as published: enlarged, cut to the image, divided by the largest of all.

    Args:
        walked: (K, h, w) float, 0 or more, at one pixel for STRIDE of the image.
        size: (height, width) of the image, STRIDE * h and STRIDE * w at most.

    Returns:
        (K, height, width) float in 0..1; zeros if nothing is left after the walk.
    """
    if walked.numel() == 0:
        return walked.new_zeros((len(walked), *size))
    large = interpolate(walked[None], scale_factor=STRIDE, mode="bilinear", align_corners=False)[0]
    large = large[:, : size[0], : size[1]]
    # What random_walk leaves of a map of zeros is no signal.
    return large / large.max().clamp(min=_WEAKEST)
