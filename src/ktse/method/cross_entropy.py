"""Cross entropy over all classes at the size of an image, without holding a plane of that size for each class."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import interpolate

BAND = {"cpu": 1 << 21}
"""Scores that are enlarged at a time: few enough for a processor's cache."""

LARGE_BAND = 1 << 26
"""The same on a device whose memory is fast and whose calls are slow."""


def enlarged_cross_entropy(scores: Tensor, label: Tensor) -> Tensor:
    """Cross entropy of scores that are first brought to the label's size (bilinear, corners not aligned).

    Each class counts at each pixel, so that time grows with the classes; memory does not, because bands of rows are
    enlarged one after the other, and once more for the gradient.

    Args:
        scores: (B, K, h, w) float.
        label: (B, H, W) int64, 0..K-1; below 0 costs nothing.

    Returns:
        (B, H, W) float.
    """
    with torch.autocast(scores.device.type, enabled=False):
        loss: Tensor = _EnlargedCrossEntropy.apply(scores, label)
    return loss


class _EnlargedCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, scores: Tensor, label: Tensor) -> Tensor:
        log_sum = torch.empty_like(label, dtype=scores.dtype)
        chosen = torch.empty_like(log_sum)
        for image, small in enumerate(scores):
            for rows, large in _bands(small, label.shape[1:]):
                log_sum[image, rows] = large.logsumexp(dim=1)
                chosen[image, rows] = large.gather(1, label[image, rows, None].clamp(min=0))[:, 0]
        ctx.save_for_backward(scores, label, log_sum)
        return (log_sum - chosen).masked_fill_(label < 0, 0)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        scores, label, log_sum = ctx.saved_tensors
        weight = gradients[0].masked_fill(label < 0, 0)[:, :, None]
        result = torch.empty_like(scores)
        for image, small in enumerate(scores):
            down, across = _enlarging(small, label.shape[1:])
            wide = small.new_zeros(len(down.T), len(small) * len(across))
            for rows, large in _bands(small, label.shape[1:]):
                share = large.sub_(log_sum[image, rows, None]).exp_().mul_(weight[image, rows])
                share.scatter_add_(1, label[image, rows, None].clamp(min=0), -weight[image, rows])
                wide.addmm_(down[rows].T, share.flatten(1))
            result[image] = wide.view(-1, len(small), len(across)).transpose(0, 1) @ across
        return result, None


def _bands(small: Tensor, size: tuple[int, ...]) -> Iterator[tuple[slice, Tensor]]:
    """Rows of an image of K classes, and their scores at full size, (rows, K, W)."""
    down, across = _enlarging(small, size)
    wide = (small @ across.T).transpose(0, 1).flatten(1)
    step = max(1, BAND.get(small.device.type, LARGE_BAND) // (len(small) * size[1]))
    for first in range(0, size[0], step):
        rows = slice(first, first + step)
        yield rows, (down[rows] @ wide).view(-1, len(small), size[1])


def _enlarging(small: Tensor, size: tuple[int, ...]) -> list[Tensor]:
    """The weights (H, h) and (W, w) by which rows and columns are enlarged."""
    units = (torch.eye(length, dtype=small.dtype, device=small.device)[None] for length in small.shape[1:])
    return [
        interpolate(unit, full, mode="linear", align_corners=False)[0].T for unit, full in zip(units, size, strict=True)
    ]
