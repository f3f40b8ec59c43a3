"""segment: train a segmentation model on the masks."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader

from ktse.data.dataset import TaggedImages
from ktse.data.masks import Corrections
from ktse.data.transforms import TrainingTransform
from ktse.errors import CollapseError, RecipeError, RunError
from ktse.features.store import FrozenFeatures
from ktse.files import label_type, write_json
from ktse.models.backbone import Backbone
from ktse.models.segmenter import Segmenter, SegmenterPair, describe
from ktse.models.weights import load_into, load_tensors, normalisation, require_finite, require_header, save_model
from ktse.quality.metrics import Confusion
from ktse.recipe import COMPUTE, ComputeRecipe, SegmentRecipe
from ktse.run_folder import RunFolder
from ktse.runtime.console import say
from ktse.runtime.fabric import make_fabric
from ktse.runtime.words import many
from ktse.segmentation.beco import LabelledViews, co_training, paste
from ktse.segmentation.learner import Learner
from ktse.segmentation.soundness import LEAST_CONTRAST, LEAST_LABELLED, contrast, labelled_share
from ktse.stages.masked_images import NoisyBatch, NoisyMasks, collate_noisy, mask_to_learn
from ktse.stages.seen_images import SeenMasks, collate_masks
from ktse.training.batches import epoch_batches, make_loader, repeated, with_strong
from ktse.training.loop import GoingBack, fit_with_retries
from ktse.training.task import EpochEnd, EpochPlan, State, parameter_groups, poly

CORRECTED = 0.5
"""Share of what is learned from that are corrected images, where there are any: they are few, and right."""

COMPARED = 64
"""Crops of training images on which the model is compared with the masks that it has learned from."""

JITTER, MOMENTUM = 0.2, 0.9
"""Strength of changes of brightness, contrast and saturation, in which the views of two networks differ; of SGD."""

PROBED = 4
"""Crops of training images on which it is watched whether the encoder still tells images apart."""

START = "start.safetensors"
"""Checkpoint from before the first step, kept until training has ended."""

WENT_BACK = "going back to the start"
"""How the log says that training collapsed and was repeated."""


class SegmentTask:
    """The segmentation model as a training task."""

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
        corrected = {index for index in data.training if data.ids[index] in corrections}
        self._once = with_strong(data.training.tolist(), corrected, CORRECTED)
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
        self._probe = collate_noisy([noisy[index] for index in self.images()[:PROBED]]).views[0]
        self._contrast_before = self._contrast()

    def _contrast(self) -> float:
        """Contrast of the encoder that has least of it; the same on every device."""
        learner, probe = self.learner, cast(Tensor, self._probe).to(next(self.learner.parameters()).device)
        learner.eval()
        with torch.no_grad():
            return min(contrast(cast(Segmenter, network).deepest(probe)) for network in learner.networks)

    def images(self) -> list[int]:
        """Indices of the training images, corrected ones several times."""
        return repeated(self._once, self.recipe.least_images)

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
        loader = partial(self._loader, state.epoch)
        return EpochPlan(phase, recipe.batch_size, lambda _: terms, lr, MOMENTUM, loader, epochs)

    @property
    def _epochs(self) -> int:
        count = len(self.data.training)  # as many images in all as without corrections
        return max(1, round(self.recipe.passes(count) * count / max(1, len(self._once))))

    def _online(self, state: State) -> bool:
        return state.epoch >= self.recipe.beco.warmup

    def crops(self, count: int) -> DataLoader[Any]:
        """About so many images as in an epoch after the last."""
        size = self.recipe.batch_size
        batches = epoch_batches(self.images(), size, self.compute.random_seed, self._epochs)
        return self._loader(self._epochs, batches[: math.ceil(count / size)])

    def _loader(self, epoch: int, batches: list[list[int]]) -> DataLoader[Any]:
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
        loss = state.totals["loss"] / state.totals["batches"]
        return EpochEnd(f"epoch {state.epoch} of {self._epochs}: loss {loss:.3f}")


def segment(
    run: RunFolder,
    data: TaggedImages,
    recipe: SegmentRecipe,
    corrections: Corrections | None = None,
    compute: ComputeRecipe = COMPUTE,
) -> None:
    """Write segment/model.safetensors and segment/summary.json; an interrupted call goes on where it stopped.

    Args:
        run: run folder with masks.
        data: images.
        recipe: the settings.
        corrections: masks that a person has corrected, learned from in place of the run's own.
        compute: random numbers, precision and processes.

    Raises:
        DataError: some corrections cannot be used; nothing is trained.
        CollapseError: training collapsed, and every retry did.
    """
    corrections = corrections or Corrections()
    if len(corrections):
        used = sum(data.ids[index] in corrections for index in data.training)
        rest = len(corrections) - used
        apart = f"; {many(rest, 'is of an image', 'are of images')} kept out of training" if rest else ""
        say(f"segment: {many(used, 'corrected mask')}{apart}")
    folder = run.path("segment")
    fabric = make_fabric(compute.precision)
    torch.manual_seed(compute.random_seed)
    start, networks = initial_weights(run, recipe), []
    for _ in range(2 if recipe.method == "beco" else 1):
        model = Segmenter(recipe.architecture, recipe.encoder, len(data.classes), start)
        if recipe.batch_norm == "frozen":
            model.freeze_batch_norm()
        model.freeze_stages(recipe.frozen_stages)
        networks.append(model)
    learner = Learner(networks)
    encoders = nn.ModuleList(model.encoder for model in networks)
    decoders = nn.ModuleList(model.rest() for model in networks)
    groups = parameter_groups(encoders, decoders, recipe.lr, recipe.head_lr, recipe.weight_decay)
    seen = None
    if recipe.on_features:
        seen = FrozenFeatures(
            run, data, cast(Backbone, networks[0].encoder), recipe.long_side[1], compute.cache, fabric
        )
        seen.fill(data.training.tolist(), "segment")
    task = SegmentTask(run, data, recipe, learner, corrections, compute, seen)
    back = GoingBack(recipe.retries, START, WENT_BACK)
    how: dict[str, Any] = {
        "random_seed": compute.random_seed,
        "rule": "adamw" if recipe.on_features else "sgd",
        "clip": recipe.clip,
    }
    how |= {"start": START if recipe.retries else "", "key": run.key("segment")}
    repeated = fit_with_retries(task, groups, fabric, folder, back, label="segment", **how)
    result = learner.result()
    require_finite(result.state_dict())
    if fabric.global_rank == 0:
        key = {"key": run.key("segment")}
        write_json(folder / "summary.json", {**_compare(task, result, fabric), "repeated": repeated, **key})
        save_model(folder / "model.safetensors", result.state_dict(), describe(recipe, result, data.classes) | key)
        (folder / START).unlink(missing_ok=True)
    fabric.barrier()


@torch.no_grad()
def _compare(task: SegmentTask, result: Segmenter | SegmenterPair, fabric: Fabric) -> dict[str, Any]:
    """Say how far the model, used as it will be, gives back the masks that it has learned from."""
    confusion, crops = Confusion(len(task.data.classes)), 0
    result.eval()
    for batch in task.crops(COMPARED):
        with fabric.autocast():
            label = result(fabric.to_device(batch.views[0])).argmax(dim=1)
        confusion.add(batch.label.numpy(), label.cpu().numpy())
        crops += len(label)
    if not confusion.counts.any():
        return {"warnings": []}  # masks that are undecided everywhere teach nothing to compare with
    labelled = labelled_share(confusion)
    say(f"segment: on {many(crops, 'crop')}, model and masks agree with an mIoU of {confusion.miou:.1%}")
    warnings = []
    if labelled < LEAST_LABELLED:
        warnings.append(
            f"The segmentation model is of no use: it labels {labelled:.1%} of the pixels that its masks label. "
            "Train it longer (segment.epochs), at a lower rate (segment.lr) or with smaller steps (segment.clip, the "
            f"largest norm of the gradient, is {task.recipe.clip:g}; 0: no limit). The masks are not touched."
        )
        say(f"segment: {warnings[0]}")
    return {"agreement": round(confusion.miou, 4), "crops": crops, "warnings": warnings}


def initial_weights(run: RunFolder, recipe: SegmentRecipe) -> str:
    """The recipe's weights; for "classify" the file of the classification network.

    Raises:
        RecipeError: its backbone is not the encoder.
    """
    if recipe.weights != "classify":
        return recipe.weights
    path = run.own(run.path("classify", "model.safetensors"))
    header = load_tensors(path)[1]
    require_header(path, header, "backbone")
    backbone = header["backbone"]
    if backbone != recipe.encoder:
        raise RecipeError(
            f"segment.weights is 'classify', but the classification network is {backbone!r} and the encoder "
            f"is {recipe.encoder!r}",
            hint=f"Set segment.encoder to {backbone}, or segment.weights to hub, none or a file.",
        )
    return str(path)


def load_model(path: Path) -> tuple[Segmenter | SegmenterPair, tuple[str, ...]]:
    """A segmentation model in evaluation mode, and its classes, from a file that says everything in its header.

    Raises:
        RunError: the file is missing, damaged, or of something else.
    """
    tensors, header = load_tensors(path)
    if "architecture" not in header:
        raise RunError(f"{path} is not a segmentation model", hint="Give segment/model.safetensors of a run.")
    require_header(path, header, "encoder classes mean std")
    built = header["architecture"], header["encoder"], len(header["classes"]), "none"
    networks = [Segmenter(*built) for _ in range(header.get("networks", 1))]
    for network in networks:
        network.mean, network.std = torch.tensor(header["mean"]), torch.tensor(header["std"])
    model = SegmenterPair(*networks) if len(networks) == 2 else networks[0]
    load_into(model, tensors, path)
    return model.eval(), tuple(header["classes"])
