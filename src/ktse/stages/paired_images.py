"""What the classification network is trained on: anchors, some with a paired image, in batches."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from ktse.data.dataset import TaggedImages
from ktse.data.transforms import TrainingTransform, seeded
from ktse.method.objective import Batch
from ktse.method.rivals import cutmix
from ktse.recipe import ObjectiveRecipe


class Sample(NamedTuple):
    """One image as a batch is made of it.

    Attributes:
        image: (3, H, W) float, normalised.
        tags: (C,) float, 0 or 1; of an image with a part of another (CutMix), those of either.
        mixed: (C,) float in 0..1, the share of the image that comes from an image with each tag.
        paired_image, paired_tags: the same of the paired image, if there is one.
    """

    image: Tensor
    tags: Tensor
    mixed: Tensor
    paired_image: Tensor | None = None
    paired_tags: Tensor | None = None


@dataclass(eq=False)
class PairedImages(Dataset[Sample]):
    """Anchor images, each with a paired image that shares a randomly chosen tag with it (paper, section 3.2).

    An anchor without tags is paired with any image. An anchor may draw itself.

    Args:
        data: images and tags.
        transform: augmentation.
        random_seed, epoch: with the index, they decide every random choice.
        recipe: how an anchor is paired, and how often it is mixed.
        anchors: the images that need a paired one.
        mix: whether images are mixed.
    """

    data: TaggedImages
    transform: TrainingTransform
    random_seed: int
    epoch: int
    recipe: ObjectiveRecipe
    anchors: Collection[int]
    mix: bool

    def __post_init__(self) -> None:
        self.training = training = self.data.training
        same_tag = self.anchors and self.recipe.partner == "same-tag"
        self.with_tag = [training[column] for column in self.data.tags[training].T] if same_tag else []

    def __getitem__(self, index: int) -> Sample:
        with seeded(self.random_seed, self.epoch, index):
            # The anchor first, so that it is the same crop whether or not a term needs pairs.
            image, tags = self._sample(index)
            paired = self._sample(self._partner(index)) if index in self.anchors else (None, None)
            mixed = tags
            if self.mix and self.recipe.cutmix > 0 and float(torch.rand(())) < self.recipe.cutmix:
                image, mixed = cutmix(image, tags, *self._sample(_any(self.training)))
            return Sample(image, (mixed > 0).float(), mixed, *paired)

    def _sample(self, index: int) -> tuple[Tensor, Tensor]:
        image, _ = self.transform(self.data.read(index, self.transform.long_side[1]))
        return image, torch.from_numpy(self.data.tags[index]).float()

    def _partner(self, index: int) -> int:
        tags = np.flatnonzero(self.data.tags[index])
        if not self.with_tag or len(tags) == 0:
            return _any(self.training)
        return _any(self.with_tag[tags[int(torch.randint(len(tags), ()))]])


def _any(indices: np.ndarray) -> int:
    return int(indices[int(torch.randint(len(indices), ()))])


def collate(samples: list[Sample], share: float) -> Batch:
    """Make a batch in which the first images, at least one when the share is not 0, have a paired image."""
    images, tags, mixed = (torch.stack(column) for column in list(zip(*samples, strict=True))[:3])
    count = min(len(samples), math.ceil(share * len(samples)))
    pairs = [sample[3:] for sample in samples[:count] if sample.paired_image is not None]
    paired, paired_tags = map(torch.stack, zip(*pairs, strict=True)) if pairs else (images[:0], tags[:0])
    return Batch(_last(images), tags, _last(paired), paired_tags, None if torch.equal(mixed, tags) else mixed)


def _last(images: Tensor) -> Tensor:
    return images.contiguous(memory_format=torch.channels_last)
