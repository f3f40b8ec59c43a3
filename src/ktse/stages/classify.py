"""classify: train the CAM network on tags with the KTSE objective."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.utils.data import DataLoader

from ktse.data.dataset import TaggedImages
from ktse.data.transforms import TrainingTransform
from ktse.errors import CollapseError
from ktse.features.store import FrozenFeatures, KeptFeatures
from ktse.method.objective import Batch, Objective
from ktse.models.backbone import Backbone, part_of_network
from ktse.models.cam_head import CamHead, CamNetwork
from ktse.models.feature_head import LEVELS
from ktse.models.weights import load_into, load_tensors, normalisation, require_header, save_model
from ktse.recipe import COMPUTE, ClassifyRecipe, ComputeRecipe
from ktse.run_folder import RunFolder
from ktse.runtime.console import say
from ktse.runtime.fabric import make_fabric
from ktse.stages.background import around, background_threshold
from ktse.stages.paired_images import PairedImages, collate
from ktse.stages.seen_images import SeenImages, collate_seen
from ktse.training.batches import make_loader, repeated
from ktse.training.loop import GoingBack, fit_with_retries
from ktse.training.task import EpochEnd, EpochPlan, State, parameter_groups, poly

COLLAPSED = 0.8
"""Share of the warm-up's F1 of the tags below which training has collapsed."""

EMPTY = 0.5
"""Share of tagged classes without any positive activation above which it has collapsed."""

HIDDEN = 256
"""Channels between backbone and CAM (published)."""

WARMUP = "warmup.safetensors"
"""Checkpoint of the end of the warm-up."""

KEPT = "epoch-{:04d}.safetensors"
"""Checkpoint of an epoch that is kept because of keep_every."""

WENT_BACK = "going back to the end of the warm-up"
"""How the log says that training collapsed and was repeated."""


class ClassifyTask:
    """The classification network as a training task: warm-up on tags, then the whole objective."""

    def __init__(
        self,
        data: TaggedImages,
        recipe: ClassifyRecipe,
        network: CamNetwork,
        compute: ComputeRecipe,
        seen: FrozenFeatures | None = None,
    ) -> None:
        self.data, self.recipe, self.network, self.compute, self.seen = data, recipe, network, compute, seen
        self.objective = Objective(network, recipe.objective, network.mean, network.std)
        self.module: nn.Module = self.objective
        mean, std = normalisation(network).values()
        self.transform = TrainingTransform(recipe.long_side, recipe.crop, 0.0, mean, std)
        self.terms = dataclasses.asdict(recipe.objective.weights)
        self.plain = {"classification": recipe.objective.weights.classification}

    def images(self) -> list[int]:
        """Indices of the training images."""
        return repeated(self.data.training.tolist(), self.recipe.least_images)

    def name(self, index: int) -> str:
        """The name of an image."""
        return self.data.ids[index]

    def plan(self, state: State) -> EpochPlan | None:
        """Warm-up with the classification loss alone, then all terms, ramped in."""
        recipe = self.recipe
        if state.epoch >= recipe.epochs:
            return None
        start: int | None = state.memory.get("warmup_ended", 0 if recipe.warmup == 0 else None)
        self.network.freeze_batch_norm(recipe.batch_norm == "frozen" or start is not None)
        if (found := state.memory.get("threshold")) is not None:
            self.objective.background = around(found)
        scale = 1.0 if start is None else recipe.lr_after * state.memory.get("lr_scale", 1.0)

        def weights(progress: float) -> Mapping[str, float]:
            if start is None:
                return self.plain
            grown = min(1.0, (state.epoch + progress - start + 1e-3) / recipe.ramp) if recipe.ramp > 0 else 1.0
            return {name: value if name == "classification" else value * grown for name, value in self.terms.items()}

        def lr(progress: float) -> float:
            done = state.epoch + progress
            if recipe.schedule == "warmup-batch" and start is not None:  # by steps: a larger batch needs fewer
                done = start + (done - start) * recipe.warmup_batch_size / recipe.batch_size
            return scale * poly(done / recipe.epochs)

        loader = partial(self._loader, state.epoch, start is not None)
        if start is None:
            return EpochPlan("warmup", recipe.warmup_batch_size, weights, lr, recipe.momentum, loader, recipe.epochs)
        return EpochPlan("ktse", recipe.batch_size, weights, lr, recipe.momentum_after, loader, recipe.epochs)

    def _loader(self, epoch: int, whole: bool, batches: list[list[int]]) -> DataLoader[Any]:
        recipe, random_seed = self.recipe.objective, self.compute.random_seed
        if self.seen is not None:
            dataset = SeenImages(self.seen, self.recipe.levels, random_seed, epoch)
            return make_loader(dataset, batches, self.seen.workers(self.compute.workers), collate_seen)
        used = any(self.terms[name] for name in ("transfer", "stitched_background", "stitched_foreground"))
        share = recipe.pairs if whole and used else 0.0
        anchors = {index for batch in batches for index in batch[: math.ceil(share * len(batch))]}
        pairs = PairedImages(self.data, self.transform, random_seed, epoch, recipe, anchors, whole)
        return make_loader(pairs, batches, self.compute.workers, partial(collate, share=share))

    def losses(self, module: nn.Module, batch: Batch, weights: Mapping[str, float], state: State) -> dict[str, Tensor]:
        """The objective's terms; counts right and wrong tags on the way, of images that are not mixed."""
        terms = module(batch, weights)
        with torch.no_grad():
            kept = slice(None) if batch.mixed is None else (batch.mixed == batch.tags).all(dim=1)
            said, true, strongest = (value[kept] for value in (terms.logits > 0, batch.tags > 0, terms.strongest))
            state.count(said=said.sum(), true=true.sum(), right=(said & true).sum(), images=len(true))
            state.count(exact=(said == true).all(dim=1).sum(), empty=(true & (strongest <= 0)).sum())
        return dict(terms.losses)

    def watch(self, state: State) -> None:
        """Compare with the end of the warm-up: tags forgotten or CAMs swallowed by the background are a collapse."""
        if "warmup_ended" not in state.memory:
            return
        found, before = _sums(state.totals), state.memory["warm"]
        when = f"in epoch {state.epoch + (state.step > 0)}"
        noise = 1 / math.sqrt(max(1.0, state.totals["true"]))  # two standard errors of a share, at most
        if found["f1"] < COLLAPSED * before["f1"] - noise:
            text = f"the tags' F1 fell from {before['f1']:.1%} to {found['f1']:.1%}"
        elif found["empty"] - noise > EMPTY > before["empty"]:
            text = f"tagged classes without any activation rose from {before['empty']:.1%} to {found['empty']:.1%}"
        else:
            return
        raise CollapseError(
            f"training collapsed {when}: {text}",
            hint="Lower classify.lr_after, or the weights of the terms (classify.objective.weights), or raise "
            "classify.warmup; classify.warmup equal to classify.epochs gives a plain CAM.",
        )

    def end_epoch(self, state: State) -> EpochEnd:
        """Judge how well the tags are known, and end the warm-up when its time is over."""
        recipe, memory, found = self.recipe, state.memory, _sums(state.totals)
        text = (
            f"epoch {state.epoch} of {recipe.epochs}: tag F1 {found['f1']:.1%}, all tags right on "
            f"{found['exact']:.1%} of crops, no activation for {found['empty']:.1%} of tags"
        )
        every = recipe.keep_every
        kept = KEPT.format(state.epoch) if every and state.epoch % every == 0 else ""
        if "warmup_ended" in memory:
            return EpochEnd(text + self._find_threshold(state), keep=kept)
        if state.epoch < recipe.warmup:
            return EpochEnd(text, keep=kept)
        memory |= {"warmup_ended": 0 if recipe.warmup == 0 else state.epoch, "warm": found}
        return EpochEnd(f"{text}; warm-up ended{self._find_threshold(state)}", keep=WARMUP)

    def _find_threshold(self, state: State) -> str:
        """Let the pseudo-label's background scores follow the CAMs; says around which threshold they lie."""
        recipe = self.recipe
        if recipe.objective.background == "fixed" or state.epoch >= recipe.epochs:
            return ""
        middle = round(sum(recipe.long_side) / 2)
        found = background_threshold(self.network, self.data, middle, recipe.objective.par_iterations, self.seen)
        if found is None:
            return ", no threshold found for the pseudo-label"
        state.memory["threshold"] = found
        return f", threshold {found:.2f} for the pseudo-label"


def _sums(totals: Mapping[str, float]) -> dict[str, float]:
    """F1 of the tags, share of images with all tags right, share of tags without activation."""
    f1 = 2 * totals["right"] / max(1.0, totals["said"] + totals["true"])
    exact, empty = totals["exact"] / max(1.0, totals["images"]), totals["empty"] / max(1.0, totals["true"])
    return {"f1": f1, "exact": exact, "empty": empty}


def classify(run: RunFolder, data: TaggedImages, recipe: ClassifyRecipe, compute: ComputeRecipe = COMPUTE) -> None:
    """Train the CAM network; a collapse sends it back to the end of the warm-up with a quarter of the learning rate.

    Writes classify/model.safetensors; an interrupted call goes on where it stopped.

    Raises:
        CollapseError: every retry collapsed too.
    """
    folder = run.path("classify")
    fabric = make_fabric(compute.precision)
    torch.manual_seed(compute.random_seed)
    network = build(recipe, data.classes)
    seen = frozen_features(run, data, network, recipe, compute, fabric) if recipe.on_features else None
    if seen is not None:
        seen.fill(data.training.tolist(), "classify")
    task = ClassifyTask(data, recipe, network, compute, seen)
    groups = parameter_groups(network.backbone, network.head, recipe.lr, recipe.head_lr, recipe.weight_decay)
    back = GoingBack(recipe.retries, WARMUP, WENT_BACK)
    how = {"random_seed": compute.random_seed, "rule": recipe.optimizer, "key": run.key("classify")}
    fit_with_retries(task, groups, fabric, folder, back, label="classify", **how)
    header = {name: getattr(recipe, name) for name in ("backbone", "output_stride", "levels", "pooling", "long_side")}
    header |= {"key": run.key("classify"), "classes": list(data.classes), "hidden": HIDDEN, **normalisation(network)}
    header |= {"features": seen.made_by if seen is not None else ""}
    if fabric.global_rank == 0:
        save_model(folder / "model.safetensors", network.state_dict(), header)
    fabric.barrier()


def build(recipe: ClassifyRecipe, classes: tuple[str, ...]) -> CamNetwork:
    """The CAM network of a recipe with its initial weights.

    Where these are a whole CAM network of the same classes and the same width, its head comes along.
    """
    levels, signed = recipe.levels, recipe.levels > 1
    backbone = Backbone(recipe.backbone, recipe.output_stride, recipe.weights, recipe.frozen_stages, levels)
    head = CamHead(backbone.channels, len(classes), HIDDEN, recipe.pooling, signed=signed, dropout=recipe.dropout)
    network = CamNetwork(backbone, head)
    given, known = part_of_network(recipe.weights, "head.")
    shapes = [{name: value.shape for name, value in part.items()} for part in (given, head.state_dict())]
    if given and tuple(known) == classes and shapes[0] == shapes[1]:
        head.load_state_dict(given)
        say(f"classify: the head starts from {recipe.weights} too")
    return network


def frozen_features(
    run: RunFolder,
    data: TaggedImages,
    network: CamNetwork,
    recipe: ClassifyRecipe,
    compute: ComputeRecipe,
    fabric: Fabric,
) -> FrozenFeatures:
    """What a network's frozen backbone sees in the images, at the largest size that training would use."""
    backbone = Backbone(recipe.backbone, recipe.output_stride, "none", -1, max(LEVELS, recipe.levels))
    backbone.load_state_dict(network.backbone.state_dict())
    return FrozenFeatures(run, data, backbone, recipe.long_side[1], compute.cache, fabric)


def kept_features(run: RunFolder, data: TaggedImages) -> tuple[KeptFeatures | None, int]:
    """The features that a run's CAM network has learned from, None if it has learned from images; their longer side."""
    path = run.own(run.path("classify", "model.safetensors"))
    header = load_tensors(path)[1]
    require_header(path, header, "long_side")
    made_by = header.get("features", "")
    return KeptFeatures(run, data, made_by) if made_by else None, int(header["long_side"][1])


def load_network(run: RunFolder) -> CamNetwork:
    """The trained CAM network of a run.

    Raises:
        RunError: there is none.
    """
    path = run.own(run.path("classify", "model.safetensors"))
    tensors, header = load_tensors(path)
    require_header(path, header, "backbone output_stride levels classes hidden pooling")
    levels = header["levels"]
    backbone = Backbone(header["backbone"], header["output_stride"], "none", levels=levels)
    head = CamHead(backbone.channels, len(header["classes"]), header["hidden"], header["pooling"], signed=levels > 1)
    network = CamNetwork(backbone, head)
    load_into(network, tensors, path)
    network.freeze_batch_norm(True)
    return network.requires_grad_(False).eval()
