"""PAR, the pseudo-label and the random walk as their descriptions read (Ru et al. 2022; Ahn et al. 2019)."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import conv2d, interpolate, pad

DILATIONS = (1, 2, 4, 8, 12, 24)
UNDECIDED = -1


def neighbours_by_convolution(maps: Tensor) -> Tensor:
    """(1, C, H, W) to (1, C, 48, H, W): eight one-hot 3x3 kernels at every dilation."""
    kernel = torch.zeros(8, 1, 3, 3)
    for number, place in enumerate(place for place in range(9) if place != 4):
        kernel[number, 0, place // 3, place % 3] = 1
    _, channels, height, width = maps.shape
    found = [
        conv2d(pad(maps, [d] * 4, mode="replicate").transpose(0, 1), kernel, dilation=d).view(
            1, channels, 8, height, width
        )
        for d in DILATIONS
    ]
    return torch.cat(found, dim=2)


def plain_par(image: Tensor, maps: Tensor, iterations: int = 10) -> Tensor:
    """PAR as its description reads, for one image."""
    maps = interpolate(maps, image.shape[-2:], mode="bilinear", align_corners=True)
    around = neighbours_by_convolution(image)
    spread = around.std(dim=2, keepdim=True)
    colour = (-((((around - image[:, :, None]).abs() / (spread + 1e-8)) / 0.3) ** 2)).mean(dim=1, keepdim=True)
    distance = torch.tensor(
        [d * (math.sqrt(2) if corner else 1) for d in DILATIONS for corner in (1, 0, 1, 0, 0, 1, 0, 1)]
    )
    distance = distance.view(1, 1, 48, 1, 1).expand_as(colour)
    position = -((distance / (distance.std(dim=2, keepdim=True) + 1e-8) / 0.3) ** 2)
    weights = colour.softmax(dim=2) + 0.01 * position.softmax(dim=2)
    for _ in range(iterations):
        maps = (neighbours_by_convolution(maps) * weights).sum(dim=2)
    return maps


def plain_pseudo_label(cam: Tensor, image: Tensor, tags: Tensor) -> Tensor:
    """The pseudo-label as its description reads: one image and one background score at a time."""
    size, half = image.shape[-2:], (image.shape[-2] // 2, image.shape[-1] // 2)
    labels = []
    for picture, activation, tagged in zip(image.split(1), torch.relu(cam).split(1), tags, strict=True):
        normal = activation / (activation.amax(dim=(2, 3), keepdim=True) + 1e-5)
        large = interpolate(normal, size, mode="bilinear", align_corners=False)
        keys = torch.cat([torch.zeros(1, dtype=torch.long), tagged.nonzero()[:, 0] + 1])
        said = []
        for background in (0.3, 0.15):
            planes = torch.cat([torch.full_like(large[:, :1], background), large], dim=1)
            small = interpolate(planes, half, mode="bilinear", align_corners=False)[:, keys].softmax(dim=1)
            refined = plain_par(interpolate(picture, half, mode="bilinear", align_corners=False), small)
            full = interpolate(refined, size, mode="bilinear", align_corners=False)
            said.append(keys[full.argmax(dim=1)])
        label = said[0].clone()
        label[(said[0] == 0) & (said[1] > 0)] = UNDECIDED
        labels.append(label)
    return torch.cat(labels)


def plain_walk(scores: Tensor, edge: Tensor, radius: int = 5, beta: int = 10, doublings: int = 8) -> Tensor:
    """The random walk as its description reads: a dense matrix, squared eight times. Denormals are flushed."""
    torch.set_flush_denormal(True)
    height, width = edge.shape
    number = torch.arange(height * width).view(height, width)
    matrix = torch.eye(height * width)
    for dy in range(radius):
        for dx in range(1 - radius, radius):
            if dy * dy + dx * dx >= radius * radius or (dy, dx) <= (0, 0):
                continue
            rows, left = slice(0, height - dy), max(0, -dx)
            here = number[rows, left : left + width - abs(dx)]
            way = [
                edge[y : y + height - dy, left + x : left + x + width - abs(dx)]
                for y in range(dy + 1)
                for x in range(min(0, dx), max(0, dx) + 1)
                if (dy * x - dx * y) ** 2 / (dy * dy + dx * dx) < 1
            ]
            affinity = (1 - torch.stack(way).amax(dim=0)).flatten()
            source, target = here.flatten(), here.flatten() + dy * width + dx
            matrix[source, target] = affinity
            matrix[target, source] = affinity
    matrix = matrix**beta
    matrix = matrix / matrix.sum(dim=0, keepdim=True)
    for _ in range(doublings):
        matrix = matrix @ matrix
    return ((scores * (1 - edge)).flatten(1) @ matrix).view_as(scores)
