"""Images with label maps to learn from: plain ones, and pseudo-masks with how far each pixel is to be believed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from ktse.data.dataset import TaggedImages
from ktse.data.masks import Corrections
from ktse.data.transforms import TrainingTransform, seeded
from ktse.files import label_type, read_label_map
from ktse.run_folder import RunFolder
from ktse.segmentation.beco import CERTAIN, DOUBTFUL, TRUSTED


class MaskedImages(Dataset[tuple[Tensor, Tensor]]):
    """Images with label maps, such as their pseudo-masks."""

    def __init__(
        self, path: Callable[[str], Path], data: TaggedImages, transform: TrainingTransform, seed: int, epoch: int
    ) -> None:
        self.path, self.data, self.transform, self.seed, self.epoch = path, data, transform, seed, epoch

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        label = read_label_map(self.path(self.data.ids[index]))
        with seeded(self.seed, self.epoch, index):
            image, mask = self.transform(self.data.read(index, self.transform.long_side[1]), label)
        if mask is None:
            raise TypeError("a label map went in, but none came out")
        return image, mask


class MaskBatch(NamedTuple):
    """(B, 3, H, W) normalised images and (B, H, W) int64 labels."""

    image: Tensor
    label: Tensor


def collate(samples: list[tuple[Tensor, Tensor]]) -> MaskBatch:
    """Stack samples, images channels last."""
    image = torch.stack([sample[0] for sample in samples]).contiguous(memory_format=torch.channels_last)
    return MaskBatch(image, torch.stack([sample[1] for sample in samples]))


class NoisySample(NamedTuple):
    """One image.

    Attributes:
        views: (3, H, W) normalised, once for each network.
        label: (H, W) int64.
        trust: (H, W) int64, see ktse.segmentation.beco; more outside of the image.
    """

    views: list[Tensor]
    label: Tensor
    trust: Tensor


class NoisyBatch(NamedTuple):
    """The same with a first dimension of B."""

    views: tuple[Tensor, ...]
    label: Tensor
    trust: Tensor


class NoisyMasks(Dataset[NoisySample]):
    """Pseudo-masks, and corrected ones in their place, as targets of the segmentation model.

    Args:
        run: run folder with masks.
        data: images.
        corrections: masks that a person has corrected.
        transform: augmentation.
        seed: with the epoch and the index, it decides every random choice.
        views: copies of an image that are seen at once; with two, doubtful pixels are marked.
    """

    def __init__(
        self,
        run: RunFolder,
        data: TaggedImages,
        corrections: Corrections,
        transform: TrainingTransform,
        seed: int,
        views: int,
    ) -> None:
        self.run, self.data, self.corrections, self.transform = run, data, corrections, transform
        self.seed, self.views, self.epoch = seed, views, 0
        self.kind = label_type(len(data.classes))

    def __getitem__(self, index: int) -> NoisySample:
        """Everything about one image, augmented by (seed, epoch, index)."""
        name = self.data.ids[index]
        corrected = name in self.corrections
        label = self.corrections.read(name, self.kind) if corrected else self.run.mask(name)
        if self.views > 1 and not corrected:
            trust = self.run.confident(name)
        else:
            known = CERTAIN if corrected else TRUSTED
            trust = np.where(label == np.iinfo(self.kind).max, DOUBTFUL, known).astype(np.uint8)
        with seeded(self.seed, self.epoch, index):
            image = self.data.read(index, self.transform.long_side[1])
            views, (out, trusted) = self.transform.together(image, [label, trust], self.views)
        return NoisySample(views, out, trusted)


def collate_noisy(samples: list[NoisySample]) -> NoisyBatch:
    """Stack samples, images channels last."""
    views = zip(*(sample.views for sample in samples), strict=True)
    return NoisyBatch(
        tuple(torch.stack(view).contiguous(memory_format=torch.channels_last) for view in views),
        torch.stack([sample.label for sample in samples]),
        torch.stack([sample.trust for sample in samples]),
    )
