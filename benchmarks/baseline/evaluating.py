"""A sweep of thresholds and CAMs over scales, one at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate, relu


def sweep(
    images: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]], classes: int, thresholds: np.ndarray
) -> np.ndarray:
    """Confusion (T, C+1, C+1): for each threshold, cut each image's scores and count."""
    found = np.zeros((len(thresholds), classes + 1, classes + 1), dtype=np.int64)
    for number, threshold in enumerate(thresholds):
        for truth, keys, scores in images:
            planes = np.concatenate([np.full((1, *truth.shape), threshold, scores.dtype), scores])
            label = np.concatenate([[0], keys + 1])[planes.argmax(axis=0)]
            found[number] += np.bincount(
                truth.ravel() * (classes + 1) + label.ravel(), minlength=(classes + 1) ** 2
            ).reshape(classes + 1, classes + 1)
    return found


def multi_scale(
    cams: Callable[[Tensor], Tensor], views: Sequence[Tensor], keys: Tensor, size: tuple[int, int]
) -> Tensor:
    """CAMs (K, H, W) of an image and its mirror at each scale: every class enlarged and summed, then the tagged."""
    total = torch.zeros(1, *size)
    for view in views:
        for mirrored in (False, True):
            cam = cams(view.flip(-1)[None] if mirrored else view[None])
            large = relu(interpolate(cam, size, mode="bilinear", align_corners=False))
            total = total + (large.flip(-1) if mirrored else large)[0]
    kept = total[keys]
    return kept / (kept.amax(dim=(1, 2), keepdim=True) + 1e-5)
