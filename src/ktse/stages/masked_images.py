"""Images with label maps to learn from: plain ones, and pseudo-masks with what is known about their quality."""

from __future__ import annotations

import csv
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
from ktse.errors import RunError
from ktse.files import label_type, read_json, read_label_map, read_npz
from ktse.recipe import SegmentRecipe
from ktse.run_folder import RunFolder
from ktse.segmentation.targets import CERTAIN, DOUBTFUL, TRUSTED, soft_targets


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
        trust: (H, W) int64, see ktse.segmentation.targets; more outside of the image.
        weight: what the image counts.
        keys: (K,) int64, labels of the planes of `target`.
        target: (K, H, W) float32 probabilities; K is 0 for hard targets.
    """

    views: list[Tensor]
    label: Tensor
    trust: Tensor
    weight: float
    keys: Tensor
    target: Tensor


class NoisyBatch(NamedTuple):
    """The same with a first dimension of B, but (B,) weights; planes that an image lacks are zero."""

    views: tuple[Tensor, ...]
    label: Tensor
    trust: Tensor
    weight: Tensor
    keys: Tensor
    target: Tensor


class NoisyMasks(Dataset[NoisySample]):
    """Pseudo-masks, and corrected ones in their place, as targets of the segmentation model.

    Args:
        run: run folder with masks.
        data: images.
        recipe: what the targets are and how they are weighted.
        corrections: masks that a person has corrected.
        transform: augmentation.
    """

    def __init__(
        self, run: RunFolder, data: TaggedImages, recipe: SegmentRecipe, corrections: Corrections,
        transform: TrainingTransform,
    ) -> None:  # fmt: skip
        self.run, self.data, self.recipe, self.transform = run, data, recipe, transform
        self.corrections = corrections
        self.kind = label_type(len(data.classes))
        self.views = 2 if recipe.method == "beco" else 1
        self.soft = recipe.targets == "soft"
        self.threshold = float(read_json(run.path("masks", "summary.json"))["threshold"]) if self.soft else 0.0
        # Which pixels are confident is read only where something is made of it.
        self.by_pixel = recipe.method == "beco" or recipe.confidence_weight in ("pixel", "both")
        self.weights = image_weights(run, data, recipe, corrections)
        self.epoch = 0

    def __getitem__(self, index: int) -> NoisySample:
        """Everything about one image, augmented by (seed, epoch, index)."""
        name, scores, keys = self.data.ids[index], None, np.zeros(0, dtype=np.int64)
        ignored = int(np.iinfo(self.kind).max)
        corrected = name in self.corrections
        label = self.corrections.read(name, self.kind) if corrected else self.run.mask(name)
        if self.by_pixel and not corrected:
            trust = self.run.confident(name).astype(np.uint8)
        else:
            trust = np.where(label == ignored, DOUBTFUL, CERTAIN if corrected else TRUSTED).astype(np.uint8)
        if self.soft and not corrected:
            stored = read_npz(self.run.scores_path(name))
            keys, scores = stored["keys"].astype(np.int64) + 1, torch.from_numpy(stored["scores"]).float() / 255
        with seeded(self.recipe.seed, self.epoch, index):
            views, (out, trusted), planes = self.transform.together(
                self.data.read(index, self.transform.long_side[1]), [label, trust], scores, self.views
            )
        if self.soft and corrected:
            known = torch.unique(out[out != ignored])
            keys, target = known.numpy(), (out == known[:, None, None]).float()
        elif self.soft:
            keys, target = np.concatenate([[0], keys]), soft_targets(planes.clamp(0, 1), self.threshold)
        else:
            target = planes
        return NoisySample(views, out, trusted, self.weights[name], torch.from_numpy(keys), target)


def collate_noisy(samples: list[NoisySample]) -> NoisyBatch:
    """Stack samples, images channels last, and fill up the planes of each image to the largest number."""
    planes = max(len(sample.keys) for sample in samples)
    keys = torch.zeros((len(samples), planes), dtype=torch.int64)
    target = torch.zeros((len(samples), planes, *samples[0].label.shape))
    for place, sample in enumerate(samples):
        keys[place, : len(sample.keys)] = sample.keys
        target[place, : len(sample.keys)] = sample.target
    views = zip(*(sample.views for sample in samples), strict=True)
    return NoisyBatch(
        tuple(torch.stack(view).contiguous(memory_format=torch.channels_last) for view in views),
        torch.stack([sample.label for sample in samples]),
        torch.stack([sample.trust for sample in samples]),
        torch.tensor([sample.weight for sample in samples], dtype=torch.float32),
        keys,
        target,
    )


def image_weights(
    run: RunFolder, data: TaggedImages, recipe: SegmentRecipe, corrections: Corrections
) -> dict[str, float]:
    """What each training image counts: 1 on average, before corrected masks count `correction_weight` times.

    Raises:
        RunError: the run has no confidences.
    """
    names = [data.ids[index] for index in data.training]
    confidence = dict.fromkeys(names, 1.0)
    if recipe.confidence_weight in ("image", "both"):
        path = run.path("masks", "confidence.csv")
        if not path.is_file():
            raise RunError(f"{path} does not exist", hint="Do the stage refine again, which writes it.")
        with path.open(newline="", encoding="utf-8") as file:
            said = {row["id"]: float(row["confidence"]) for row in csv.DictReader(file)}
        confidence = {name: 1.0 if name in corrections else said[name] for name in names}
    mean = sum(confidence.values()) / max(1, len(names)) or 1.0
    strong = {name: recipe.correction_weight if name in corrections else 1.0 for name in names}
    return {name: strong[name] * confidence[name] / mean for name in names}
