"""segment: train a segmentation model on the masks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, cast

import torch
from lightning_fabric import Fabric
from torch import nn

from ktse.data.dataset import TaggedImages
from ktse.data.masks import Corrections
from ktse.errors import RecipeError, RunError
from ktse.features.store import FrozenFeatures
from ktse.files import write_json
from ktse.models.backbone import Backbone
from ktse.models.segmenter import Segmenter, SegmenterPair, describe
from ktse.models.weights import load_into, load_tensors, require_finite, require_header, save_model
from ktse.quality.metrics import Confusion
from ktse.recipe import COMPUTE, ComputeRecipe, SegmentRecipe
from ktse.run_folder import RunFolder
from ktse.runtime.console import say
from ktse.runtime.fabric import make_fabric
from ktse.runtime.words import many
from ktse.segmentation.learner import Learner
from ktse.segmentation.soundness import LEAST_LABELLED, labelled_share
from ktse.stages.segment_task import SegmentTask
from ktse.training.loop import GoingBack, fit_with_retries
from ktse.training.task import parameter_groups

COMPARED = 64
"""Crops of training images on which the model is compared with the masks that it has learned from."""

START = "start.safetensors"
"""Checkpoint from before the first step, kept until training has ended."""

WENT_BACK = "going back to the start"
"""How the log says that training collapsed and was repeated."""


def segment(run: RunFolder, data: TaggedImages, recipe: SegmentRecipe, compute: ComputeRecipe = COMPUTE) -> None:
    """Write segment/model.safetensors and segment/summary.json; an interrupted call goes on where it stopped.

    Args:
        run: run folder with masks.
        data: images.
        recipe: the settings.
        compute: random numbers, precision and processes.

    Raises:
        CollapseError: training collapsed, and every retry did.
    """
    folder = run.path("segment")
    fabric = make_fabric(compute.precision)
    torch.manual_seed(compute.random_seed)
    start, networks = initial_weights(run, recipe), []
    for _ in range(2 if recipe.method == "beco" else 1):
        networks.append(Segmenter(recipe.architecture, recipe.encoder, len(data.classes), start))
    learner, groups = to_train(networks, recipe)
    seen = features_to_learn_from(run, data, recipe, learner, compute, fabric)
    if seen is not None:
        seen.fill(data.training.tolist(), "segment")
    task = SegmentTask(run, data, recipe, learner, Corrections(), compute, seen)
    back = GoingBack(recipe.retries, START, WENT_BACK)
    key, rule = {"key": run.key("segment")}, rule_of(recipe)
    how: dict[str, Any] = {"random_seed": compute.random_seed, "rule": rule, "clip": recipe.clip, **key}
    how |= {"start": START if recipe.retries else ""}
    repeated = fit_with_retries(task, groups, fabric, folder, back, label="segment", **how)
    result = learner.result()
    require_finite(result.state_dict())
    if fabric.global_rank == 0:
        write_json(folder / "summary.json", {**_compare(task, result, fabric), "repeated": repeated, **key})
        save_model(folder / "model.safetensors", result.state_dict(), describe(recipe, result, data.classes) | key)
        (folder / START).unlink(missing_ok=True)
    fabric.barrier()


def to_train(networks: Sequence[Segmenter], recipe: SegmentRecipe) -> tuple[Learner, list[dict[str, Any]]]:
    """Networks of which the recipe's part is trained, and the groups of its parameters."""
    for network in networks:
        if recipe.batch_norm == "frozen":
            network.freeze_batch_norm()
        network.freeze_stages(recipe.frozen_stages)
    encoders = nn.ModuleList(network.encoder for network in networks)
    decoders = nn.ModuleList(network.rest() for network in networks)
    groups = parameter_groups(encoders, decoders, recipe.lr, recipe.head_lr, recipe.weight_decay)
    return Learner(networks), groups


def features_to_learn_from(
    run: RunFolder,
    data: TaggedImages,
    recipe: SegmentRecipe,
    learner: Learner,
    compute: ComputeRecipe,
    fabric: Fabric,
) -> FrozenFeatures | None:
    """What the frozen backbone sees in images; None where images are learned from.

    Args:
        run: the run folder, which keeps features.
        data: images.
        recipe: the settings.
        learner: has the backbone.
        compute: how much may be kept.
        fabric: device and precision.
    """
    if not recipe.on_features:
        return None
    backbone = cast(Backbone, cast(Segmenter, learner.networks[0]).encoder)
    return FrozenFeatures(run, data, backbone, recipe.long_side[1], compute.cache, fabric)


def rule_of(recipe: SegmentRecipe) -> Literal["sgd", "adamw"]:
    """How weights follow gradients."""
    return "adamw" if recipe.on_features else "sgd"


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
