"""segment: train a segmentation model on the masks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, Dataset

from ktse.data.sample import TaggedImages
from ktse.data.transforms import TrainingTransform, seeded
from ktse.devices import make_fabric
from ktse.errors import RecipeError, RunError
from ktse.models.segmenter import Segmenter, describe
from ktse.recipe import SegmentRecipe
from ktse.run_folder import RunFolder, label_type, read_label_map
from ktse.training import EpochEnd, EpochPlan, State, fit, make_loader, parameter_groups, poly
from ktse.weights import load_into, load_tensors, save_tensors


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


class SegmentTask:
    """The segmentation model as a training task."""

    def __init__(self, run: RunFolder, data: TaggedImages, recipe: SegmentRecipe, model: Segmenter) -> None:
        self.run, self.data, self.recipe = run, data, recipe
        self.module: nn.Module = model
        self.ignored = int(np.iinfo(label_type(len(data.classes))).max)
        self.transform = TrainingTransform(
            recipe.long_side, recipe.crop, recipe.jitter, model.mean.tolist(), model.std.tolist(), self.ignored
        )

    def images(self) -> list[int]:
        """Indices of the training images."""
        return [int(index) for index in self.data.training]

    def plan(self, state: State) -> EpochPlan | None:
        """Every epoch alike, the learning rate falling to zero."""
        recipe = self.recipe
        if state.epoch >= recipe.epochs:
            return None
        return EpochPlan(
            phase="segment", batch_size=recipe.batch_size, weights=lambda _: {"cross_entropy": 1.0},
            lr=lambda progress: poly((state.epoch + progress) / recipe.epochs, recipe.power),
            momentum=recipe.momentum, loader=partial(self._loader, state.epoch),
        )  # fmt: skip

    def _loader(self, epoch: int, batches: list[list[int]]) -> DataLoader[Any]:
        dataset = MaskedImages(self.run.mask_path, self.data, self.transform, self.recipe.seed, epoch)
        return make_loader(dataset, batches, self.recipe.workers, collate)

    def losses(
        self, module: nn.Module, batch: MaskBatch, weights: Mapping[str, float], state: State
    ) -> dict[str, Tensor]:
        """Cross entropy over decided pixels; 0 if there is none."""
        loss = cross_entropy(module(batch.image), batch.label, ignore_index=self.ignored, reduction="sum")
        mean = loss / (batch.label != self.ignored).sum().clamp(min=1)
        state.totals["loss"] = state.totals.get("loss", 0.0) + mean.item()
        state.totals["batches"] = state.totals.get("batches", 0.0) + 1
        return {"cross_entropy": mean}

    def watch(self, state: State) -> None:
        """A cross entropy on fixed labels does not collapse; that it stays a number is seen to by the loop."""

    def end_epoch(self, state: State) -> EpochEnd:
        """Say the mean loss."""
        return EpochEnd(f"epoch {state.epoch}: loss {state.totals['loss'] / state.totals['batches']:.3f}")


def segment(run: RunFolder, data: TaggedImages, recipe: SegmentRecipe) -> None:
    """Write segment/model.safetensors; an interrupted call goes on where it stopped."""
    folder = run.path("segment")
    fabric = make_fabric(recipe.precision)
    torch.manual_seed(recipe.seed)
    model = Segmenter(recipe.architecture, recipe.encoder, len(data.classes), initial_weights(run, recipe))
    if recipe.batch_norm == "frozen":
        model.freeze_batch_norm()
    groups = parameter_groups(model.encoder, model.rest(), recipe.lr, recipe.head_lr, recipe.weight_decay)
    task = SegmentTask(run, data, recipe, model)
    fit(task, groups, fabric, folder, seed=recipe.seed, clip=recipe.clip, label="segment")
    if fabric.global_rank == 0:
        save_tensors(folder / "model.safetensors", model.state_dict(), describe(recipe, model, data.classes))
    fabric.barrier()


def initial_weights(run: RunFolder, recipe: SegmentRecipe) -> str:
    """The recipe's weights; for "classify" the file of the classification network.

    Raises:
        RecipeError: its backbone is not the encoder.
    """
    if recipe.weights != "classify":
        return recipe.weights
    path = run.path("classify", "model.safetensors")
    backbone = load_tensors(path)[1]["backbone"]
    if backbone != recipe.encoder:
        raise RecipeError(
            f"segment.weights is 'classify', but the classification network is {backbone!r} and the encoder "
            f"is {recipe.encoder!r}",
            hint=f"Set segment.encoder to {backbone}, or segment.weights to hub, none or a file.",
        )
    return str(path)


def load_model(path: Path) -> tuple[Segmenter, tuple[str, ...]]:
    """A segmentation model in evaluation mode, and its classes, from a file that says everything in its header.

    Raises:
        RunError: the file is missing, damaged, or of something else.
    """
    tensors, header = load_tensors(path)
    if "architecture" not in header:
        raise RunError(f"{path} is not a segmentation model", hint="Give segment/model.safetensors of a run.")
    model = Segmenter(header["architecture"], header["encoder"], len(header["classes"]), "none")
    model.mean, model.std = torch.tensor(header["mean"]), torch.tensor(header["std"])
    load_into(model, tensors, path)
    return model.eval(), tuple(header["classes"])
