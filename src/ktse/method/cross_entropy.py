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
    """Cross entropy of the positive part of scores that is first brought to the label's size (bilinear).

    Each class counts at each pixel. But a class that is nowhere positive in an image adds exp(0) to the sum at each of
    its pixels, and learns nothing there, so that it is only counted: time grows with the classes that a network sees in
    an image. Memory does not grow, as bands of rows are enlarged one after the other, and once more for the gradient.

    Args:
        scores: (B, K, h, w) float, signed.
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
        for image, signed in enumerate(scores):
            seen, place = _seen(signed, label[image])
            others = len(signed) - len(seen)
            for rows, large in _bands(signed[seen].clamp(min=0), label.shape[1:]):
                sums = large.logsumexp(dim=1)
                log_sum[image, rows] = torch.logaddexp(sums, sums.new_tensor(others).log()) if others else sums
                chosen[image, rows] = large.gather(1, place[rows, None])[:, 0]
        ctx.save_for_backward(scores, label, log_sum)
        return (log_sum - chosen).masked_fill_(label < 0, 0)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        scores, label, log_sum = ctx.saved_tensors
        weight = gradients[0].masked_fill(label < 0, 0)[:, :, None]
        result = torch.zeros_like(scores)
        for image, signed in enumerate(scores):
            seen, place = _seen(signed, label[image])
            small = signed[seen].clamp(min=0)
            down, across = _enlarging(small, label.shape[1:])
            wide = small.new_zeros(len(down.T), len(small) * len(across))
            for rows, large in _bands(small, label.shape[1:]):
                share = large.sub_(log_sum[image, rows, None]).exp_().mul_(weight[image, rows])
                share.scatter_add_(1, place[rows, None], -weight[image, rows])
                wide.addmm_(down[rows].T, share.flatten(1))
            result[image, seen] = wide.view(-1, len(small), len(across)).transpose(0, 1) @ across
        return result.masked_fill_(scores <= 0, 0), None


def _seen(signed: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
    """The classes (A,) that an image shows or is labelled with, and where among them is that of each pixel.

    A class whose scores are no numbers is among them, so that the loss is none either. On a device that would have to
    wait for the answer, all of them.
    """
    label = label.clamp(min=0)
    if signed.device.type != "cpu":
        return torch.arange(len(signed), device=signed.device), label
    flat = label.flatten()
    seen = ~(signed.amax(dim=(1, 2)) <= 0) | (flat.bincount(minlength=len(signed)) > 0)
    return seen.nonzero()[:, 0], (seen.cumsum(0) - 1).index_select(0, flat).view_as(label)


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
