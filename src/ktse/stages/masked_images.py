"""Images with label maps to learn from: plain ones, and pseudo-masks with how far each pixel is to be believed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, cast

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
    """Images (3, H, W), normalised, with int64 label maps (H, W), such as their pseudo-masks."""

    def __init__(
        self,
        path: Callable[[str], Path],
        data: TaggedImages,
        transform: TrainingTransform,
        random_seed: int,
        epoch: int,
    ) -> None:
        self.path, self.data, self.transform, self.random_seed, self.epoch = path, data, transform, random_seed, epoch

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        label = read_label_map(self.path(self.data.ids[index]))
        with seeded(self.random_seed, self.epoch, index):
            image, mask = self.transform(self.data.read(index, self.transform.long_side[1]), label)
        return image, cast(Tensor, mask)


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
    """The same with a first dimension of B; a view may also be what a frozen backbone sees in the images."""

    views: tuple[Tensor | list[Tensor], ...]
    label: Tensor
    trust: Tensor


def mask_to_learn(run: RunFolder, data: TaggedImages, corrections: Corrections, index: int) -> np.ndarray:
    """The mask of an image, or what a person has made of it, (H, W)."""
    name = data.ids[index]
    return corrections.read(name, label_type(len(data.classes))) if name in corrections else run.mask(name)


@dataclass(eq=False)
class NoisyMasks(Dataset[NoisySample]):
    """Pseudo-masks, and corrected ones in their place, as targets of the segmentation model.

    Args:
        run: run folder with masks.
        data: images.
        corrections: masks that a person has corrected.
        transform: augmentation.
        random_seed: with the epoch and the index, it decides every random choice.
        views: copies of an image that are seen at once; with two, doubtful pixels are marked.
    """

    run: RunFolder
    data: TaggedImages
    corrections: Corrections
    transform: TrainingTransform
    random_seed: int
    views: int
    epoch: int = 0

    def __getitem__(self, index: int) -> NoisySample:
        """Everything about one image, augmented by (random_seed, epoch, index)."""
        name, kind = self.data.ids[index], label_type(len(self.data.classes))
        corrected, label = name in self.corrections, mask_to_learn(self.run, self.data, self.corrections, index)
        if self.views > 1 and not corrected:
            trust = self.run.confident(name)
        else:
            known = CERTAIN if corrected else TRUSTED
            trust = np.where(label == np.iinfo(kind).max, DOUBTFUL, known).astype(np.uint8)
        with seeded(self.random_seed, self.epoch, index):
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
