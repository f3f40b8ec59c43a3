"""What the training of a segmentation model is: its images, its plan, its losses."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader

from ktse.data.dataset import TaggedImages
from ktse.data.masks import Corrections
from ktse.data.transforms import TrainingTransform
from ktse.errors import CollapseError
from ktse.features.store import FrozenFeatures
from ktse.files import label_type
from ktse.models.segmenter import Segmenter
from ktse.models.weights import normalisation
from ktse.recipe import ComputeRecipe, SegmentRecipe
from ktse.run_folder import RunFolder
from ktse.segmentation.beco import LabelledViews, co_training, paste
from ktse.segmentation.learner import Learner
from ktse.segmentation.soundness import LEAST_CONTRAST, contrast
from ktse.stages.masked_images import NoisyBatch, NoisyMasks, collate_noisy, mask_to_learn
from ktse.stages.seen_images import SeenMasks, collate_masks
from ktse.training.batches import epoch_batches, make_loader, repeated
from ktse.training.task import EpochEnd, EpochPlan, State, poly

JITTER, MOMENTUM = 0.2, 0.9
"""Strength of changes of brightness, contrast and saturation, in which the views of two networks differ; of SGD."""

PROBED = 4
"""Crops of training images on which it is watched whether the encoder still tells images apart."""


class SegmentTask:
    """The segmentation model as a training task.

    Args:
        run: run folder with masks.
        data: images.
        recipe: the settings.
        learner: the networks.
        corrections: masks that a person has corrected, in place of the run's own.
        compute: random numbers, precision and processes.
        seen: what the frozen backbone sees in the images, if that is what is learned from.
    """

    def __init__(
        self,
        run: RunFolder,
        data: TaggedImages,
        recipe: SegmentRecipe,
        learner: Learner,
        corrections: Corrections,
        compute: ComputeRecipe,
        seen: FrozenFeatures | None = None,
    ) -> None:
        self.data, self.recipe, self.learner, self.compute = data, recipe, learner, compute
        self.corrections = corrections
        self.module: nn.Module = learner
        self.ignored = int(np.iinfo(label_type(len(data.classes))).max)
        if seen is not None:
            mask = partial(mask_to_learn, run, data, corrections)
            self.images_and_masks: SeenMasks | NoisyMasks = SeenMasks(seen, mask, compute.random_seed)
            self._collate: Callable[[Any], NoisyBatch] = partial(collate_masks, ignored=self.ignored)
            self._workers = seen.workers(compute.workers)
            return
        mean, std = normalisation(learner.networks[0]).values()
        transform = TrainingTransform(recipe.long_side, recipe.crop, JITTER, mean, std, self.ignored)
        views = len(learner.networks)
        noisy = NoisyMasks(run, data, corrections, transform, compute.random_seed, views)
        self.images_and_masks, self._collate, self._workers = noisy, collate_noisy, compute.workers
        self._probe = collate_noisy([noisy[index] for index in data.training.tolist()[:PROBED]]).views[0]
        self._contrast_before = self._contrast()

    def _contrast(self) -> float:
        """Contrast of the encoder that has least of it; the same on every device."""
        learner, probe = self.learner, cast(Tensor, self._probe).to(next(self.learner.parameters()).device)
        learner.eval()
        with torch.no_grad():
            return min(contrast(cast(Segmenter, network).deepest(probe)) for network in learner.networks)

    def images(self) -> list[int]:
        """Indices of the training images, as often as an epoch has them."""
        return repeated(self.data.training.tolist(), self.recipe.least_images)

    def name(self, index: int) -> str:
        """The name of an image."""
        return self.data.ids[index]

    def plan(self, state: State) -> EpochPlan | None:
        """Every epoch alike but for the warm-up of BECO, the learning rate falling to its end."""
        recipe, epochs = self.recipe, self._epochs
        if state.epoch >= epochs:
            return None
        end, scale = recipe.end_lr / recipe.lr, state.memory.get("lr_scale", 1.0)

        def lr(progress: float) -> float:
            return float(scale * (end + (1 - end) * poly((state.epoch + progress) / epochs)))

        terms, phase = {"cross_entropy": 1.0}, "segment"
        if recipe.method == "beco":
            terms, phase = {**terms, "agreement": 1.0}, "beco" if self._online(state) else "warmup"
        loader = partial(self.loader, state.epoch)
        return EpochPlan(phase, recipe.batch_size, lambda _: terms, lr, MOMENTUM, loader, epochs)

    @property
    def _epochs(self) -> int:
        return self.recipe.passes(len(self.data.training))

    def _online(self, state: State) -> bool:
        return state.epoch >= self.recipe.beco.warmup

    def crops(self, count: int) -> DataLoader[Any]:
        """About so many images as in an epoch after the last."""
        size = self.recipe.batch_size
        batches = epoch_batches(self.images(), size, self.compute.random_seed, self._epochs)
        return self.loader(self._epochs, batches[: math.ceil(count / size)])

    def loader(self, epoch: int, batches: list[list[int]]) -> DataLoader[Any]:
        """The images of given batches, as this epoch shows them."""
        self.images_and_masks.epoch = epoch
        return make_loader(self.images_and_masks, batches, self._workers, self._collate)

    def losses(
        self, module: nn.Module, batch: NoisyBatch, weights: Mapping[str, float], state: State
    ) -> dict[str, Tensor]:
        """Cross entropy with the masks, and for two networks their agreement; 0 if no pixel counts."""
        if self.recipe.method == "beco":
            terms = self._beco(module, batch, state)
        else:
            (logits,) = module(batch.views)
            loss = cross_entropy(logits, batch.label, ignore_index=self.ignored, reduction="sum")
            terms = {"cross_entropy": loss / (batch.label != self.ignored).sum().clamp(min=1)}
        state.count(loss=sum(weights[name] * value.item() for name, value in terms.items()), batches=1)
        return terms

    def _beco(self, module: nn.Module, batch: NoisyBatch, state: State) -> dict[str, Tensor]:
        beco, online, sure = self.recipe.beco, None, None
        if self._online(state) and beco.mix > 0:
            module.eval()
            with torch.no_grad():
                probability, online = torch.stack(module(batch.views)).mean(dim=0).softmax(dim=1).max(dim=1)
            module.train()
            sure = probability > beco.online_threshold
        views = cast(tuple[Tensor, ...], batch.views)
        labelled = LabelledViews(views, batch.label, batch.trust, torch.zeros_like(batch.label, dtype=torch.bool))
        labelled = paste(labelled, online, sure, self.ignored, beco.mix)
        return co_training(module(labelled.views), labelled, self.ignored, beco.boundary_weight)

    def watch(self, state: State) -> None:
        """Look whether the encoder still tells images apart; one that stays as it is always does."""
        if self.recipe.frozen_stages == -1:
            return
        contrast_now = self._contrast()
        self.module.train()
        if contrast_now < LEAST_CONTRAST * self._contrast_before:  # never so where there was none, as of blank images
            raise CollapseError(
                f"training collapsed in epoch {state.epoch + (state.step > 0)}: what the encoder tells one image from "
                f"another by has {contrast_now / self._contrast_before:.1%} of its strength left",
                hint="Lower segment.lr, or set segment.clip, the largest norm of the gradient (now "
                f"{self.recipe.clip:g}; 0: no limit). The masks are finished: ktse evaluate and ktse export use them.",
            )

    def end_epoch(self, state: State) -> EpochEnd:
        """Say the mean loss."""
        return EpochEnd(f"epoch {state.epoch} of {self._epochs}: loss {self.mean_loss(state):.3f}")

    def mean_loss(self, state: State) -> float:
        """Mean loss of the batches since the epoch began."""
        return state.totals["loss"] / state.totals["batches"]
