"""Pairs of near pixels (IRN; Ahn et al., CVPR 2019): affinity across a boundary map, labels from a seed, losses."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

EPSILON = 1e-5


def path(dy: int, dx: int) -> list[tuple[int, int]]:
    """The way from a pixel to the one (dy, dx) away: all pixels between them less than one pixel off the line.

    Returns:
        (y, x) relative to the first pixel, both ends included.
    """
    ys, xs = range(min(0, dy), max(0, dy) + 1), range(min(0, dx), max(0, dx) + 1)
    return [(y, x) for y in ys for x in xs if (dy * x - dx * y) ** 2 < dy * dy + dx * dx]


def displacements(radius: int) -> list[tuple[int, int]]:
    """(dy, dx) of the pixels closer than a radius, one of each opposite two, those with the shortest way first."""
    reach = range(1 - radius, radius)
    near = [(dy, dx) for dy in reach for dx in reach if dy * dy + dx * dx < radius * radius and (dy, dx) > (0, 0)]
    return sorted(near, key=lambda displacement: len(path(*displacement)))


def seen_from(maps: Tensor, dy: int, dx: int, y: int, x: int) -> Tensor:
    """The maps (y, x) away from every pixel whose partner (dy, dx) away lies inside.

    Args:
        maps: (..., H, W).
        dy: rows of a displacement, 0 or more.
        dx: columns of a displacement.
        y: row of a step of its path.
        x: column of a step of its path.

    Returns:
        view (..., H - dy, W - |dx|); empty where no partner lies inside.
    """
    height, width, left = max(0, maps.shape[-2] - dy), max(0, maps.shape[-1] - abs(dx)), max(0, -dx)
    return maps[..., y : y + height, left + x : left + x + width]


def _sources(maps: Tensor, radius: int, dy: int = 0, dx: int = 0) -> Tensor:
    """The maps (dy, dx) away from every pixel that has all of its partners inside, as (..., pixels)."""
    rim = radius - 1
    height, width = maps.shape[-2] - rim, maps.shape[-1] - 2 * rim
    if height < 1 or width < 1:
        raise ValueError(f"a map of {maps.shape[-2]}x{maps.shape[-1]} is too small for pairs of radius {radius}")
    return maps[..., dy : dy + height, rim + dx : rim + dx + width].flatten(-2)


def pair_affinity(edge: Tensor, radius: int) -> Tensor:
    """Affinity of pixel pairs: 1 - the strongest boundary on the way (IRN, equation 6).

    Args:
        edge: (B, H, W) float in 0..1, boundary map.
        radius: pairs are closer than this.

    Returns:
        (B, P, S) float in 0..1: P displacements, S pixels that have all of their partners inside, row by row.

    Raises:
        ValueError: the map is too small for any such pixel.
    """
    # Only the place of the strongest boundary is kept for the gradient, not every way: an order of magnitude less.
    width = edge.shape[-1]
    number = _sources(torch.arange(edge[0].numel(), device=edge.device).view(edge.shape[-2:]), radius)
    found = []
    for dy, dx in displacements(radius):
        steps = path(dy, dx)
        with torch.no_grad():
            strongest = torch.stack([_sources(edge, radius, y, x) for y, x in steps]).max(dim=0).indices
            offsets = torch.tensor([y * width + x for y, x in steps], device=edge.device)
        found.append(edge.flatten(1).gather(1, number + offsets[strongest]))
    return 1 - torch.stack(found, dim=1)


class PairLabels(NamedTuple):
    """What a label map says about each pair, (B, P, S) bool each; none of them where a pixel is undecided."""

    background: Tensor
    foreground: Tensor
    different: Tensor


def pair_labels(label: Tensor, radius: int, undecided: int = 255) -> PairLabels:
    """Labels of the pairs of pair_affinity: both background, both the same class, or different.

    Args:
        label: (B, H, W) integer, 0 background.
        radius: pairs are closer than this.
        undecided: label that says nothing.

    Raises:
        ValueError: as pair_affinity.
    """
    here = _sources(label, radius)[:, None]
    there = torch.stack([_sources(label, radius, dy, dx) for dy, dx in displacements(radius)], dim=1)
    decided = (here != undecided) & (there != undecided)
    same = decided & (here == there)
    return PairLabels(same & (here == 0), same & (here > 0), decided & (here != there))


class IrnTerms(NamedTuple):
    """IRN's loss terms, scalars; a term without any pair is 0.

    The published loss is half their sum.
    """

    same: Tensor
    different: Tensor
    displacement_foreground: Tensor
    displacement_background: Tensor


def irn_terms(edge: Tensor, displacement: Tensor, labels: PairLabels, radius: int) -> IrnTerms:
    """IRN's loss terms (section 4.3): affinity of pairs, and displacements that meet at the object's middle.

    Args:
        edge: (B, H, W) float in 0..1, boundary map.
        displacement: (B, 2, H, W) float, pixels (dy, dx) from each pixel to its object's middle.
        labels: labels of the pairs.
        radius: pairs are closer than this.

    Raises:
        ValueError: as pair_affinity.
    """
    affinity = pair_affinity(edge, radius)
    near = -(affinity + EPSILON).log()
    same = (_mean(near, labels.background) + _mean(near, labels.foreground)) / 2
    different = _mean(-(1 + EPSILON - affinity).log(), labels.different)
    towards = displacements(radius)
    here = _sources(displacement, radius)[:, :, None]
    there = torch.stack([_sources(displacement, radius, dy, dx) for dy, dx in towards], dim=2)
    apart = here - there
    # Two pixels of one object point to the same middle: what they say differs by the way between them.
    way = torch.tensor(towards, dtype=apart.dtype, device=apart.device).T[None, :, :, None]
    return IrnTerms(
        same,
        different,
        _mean((apart - way).abs(), labels.foreground[:, None].expand_as(apart)),
        _mean(apart.abs(), labels.background[:, None].expand_as(apart)),
    )


def _mean(values: Tensor, chosen: Tensor) -> Tensor:
    return (values * chosen).sum() / (chosen.sum() + EPSILON)
