"""Images as a frozen backbone sees them, in batches: what is learned on features instead of images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import pad
from torch.utils.data import Dataset

from ktse.data.transforms import seeded
from ktse.features.store import FrozenFeatures
from ktse.method.objective import Batch
from ktse.stages.masked_images import NoisyBatch


class TaggedFeatures(NamedTuple):
    """One image: features (K, h, w), its picture (3, h', w') normalised as images are, and its tags (C,)."""

    features: Tensor
    picture: Tensor
    tags: Tensor


@dataclass(eq=False)
class SeenImages(Dataset[TaggedFeatures]):
    """What the head of a CAM network learns from; half of the images are mirrored.

    Args:
        seen: features of images.
        levels: how many of them, counted from the last, are joined.
        random_seed, epoch: with the index, they decide what is mirrored.
    """

    seen: FrozenFeatures
    levels: int
    random_seed: int
    epoch: int

    def __getitem__(self, index: int) -> TaggedFeatures:
        found, data = self.seen[index], self.seen.data
        features = found.joined(self.levels)[0]
        mean, std = (value.view(3, 1, 1).cpu() for value in (self.seen.backbone.mean, self.seen.backbone.std))
        picture = (found.picture - mean) / std
        with seeded(self.random_seed, self.epoch, index):
            if torch.rand(()) < 0.5:
                features, picture = features.flip(-1), picture.flip(-1)
        return TaggedFeatures(features, picture, torch.from_numpy(data.tags[index]).float())


@dataclass(eq=False)
class SeenMasks(Dataset[tuple[list[Tensor], Tensor]]):
    """What a head on a frozen backbone learns from: levels, and the mask, FINER times as large as the last level.

    Args:
        seen: features of images.
        mask: reads the label map (H, W) of an image.
        random_seed: with the epoch and the index, it decides what is mirrored.
    """

    seen: FrozenFeatures
    mask: Callable[[int], np.ndarray]
    random_seed: int
    epoch: int = 0

    def __getitem__(self, index: int) -> tuple[list[Tensor], Tensor]:
        found = self.seen[index]
        height, width = found.picture.shape[-2:]
        small = Image.fromarray(self.mask(index)).resize((width, height), Image.Resampling.NEAREST)
        levels, label = found.levels, torch.from_numpy(np.array(small).astype(np.int64))
        with seeded(self.random_seed, self.epoch, index):
            if torch.rand(()) < 0.5:
                levels, label = [level.flip(-1) for level in levels], label.flip(-1)
        return levels, label


def collate_masks(samples: Sequence[tuple[list[Tensor], Tensor]], ignored: int) -> NoisyBatch:
    """Fill all images up to the size of the largest; what is filled has the label `ignored`."""
    labels, _ = filled([label for _, label in samples], ignored)
    levels = [filled(level)[0] for level in zip(*(levels for levels, _ in samples), strict=True)]
    last = [level.contiguous(memory_format=torch.channels_last) for level in levels]
    return NoisyBatch((last,), labels, torch.zeros_like(labels))


def collate_seen(samples: Sequence[TaggedFeatures]) -> Batch:
    """Fill all images up to the size of the largest."""
    features, inside = filled([sample.features for sample in samples])
    image, _ = filled([sample.picture for sample in samples])
    tags = torch.stack([sample.tags for sample in samples])
    features = features.contiguous(memory_format=torch.channels_last)
    return Batch(image, tags, image[:0], tags[:0], features=features, inside=inside)


def filled(maps: Sequence[Tensor], value: float = 0.0) -> tuple[Tensor, Tensor]:
    """Maps (..., h, w) of different sizes as one tensor, filled up at the right and below.

    Returns:
        (B, ..., H, W), and (B, H, W) bool that says where it was not filled.
    """
    height, width = (max(one.shape[axis] for one in maps) for axis in (-2, -1))
    padding = [(0, width - one.shape[-1], 0, height - one.shape[-2]) for one in maps]
    ones = (one.new_ones(one.shape[-2:], dtype=torch.bool) for one in maps)
    inside = torch.stack([pad(one, size) for one, size in zip(ones, padding, strict=True)])
    return torch.stack([pad(one, size, value=value) for one, size in zip(maps, padding, strict=True)]), inside
