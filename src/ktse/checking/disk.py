"""How much disk a run folder takes, estimated before hours of training, good to a factor of about two."""

from __future__ import annotations

import dataclasses
import os
import shutil
from pathlib import Path
from typing import Any, cast

from ktse.errors import RunError
from ktse.recipe import Recipe
from ktse.recipe.masks import REFINE_PIXELS, SEED_PIXELS
from ktse.run_folder import RunFolder
from ktse.runtime.console import in_words, say

# Shares of the plain arrays that are left after compression, and bytes a pixel of the label maps, on photos.
CAM, SCORES = 0.7, 0.5
MASK, CONFIDENT, PREDICTION, LABEL = 0.02, 0.035, 0.015, 0.02

FEATURES = 2.0
"""Bytes of what is kept of a small frozen backbone's features, per pixel of a square image as it sees it."""

SMALL = 1000
"""Bytes of an archive's headers."""

CONTRAST = 1400
"""Bytes of what refine stores of an image besides scores."""

BLOCK = 4096
"""Bytes that a file system gives a file at a time."""

STEP = 450
"""Bytes of the log for a training step."""

REPORT = 4_000_000
"""Bytes of a report with its pictures."""


def maps_need(images: int, classes: int, pixels: int, tagged_pixels: int, recipe: Recipe) -> dict[str, int]:
    """Bytes of what a run keeps of every image, by folder. No score is kept at the image's own size.

    Scores of large images are bounded; images are taken to be about equally large.

    Args:
        images: number of images.
        classes: number of classes.
        pixels: of all images.
        tagged_pixels: the same, each image counted once for each of its tags.
        recipe: strides and stages.
    """
    mean = max(1.0, pixels / max(1, images))
    seeded, refined = (min(1.0, bound / mean) for bound in (SEED_PIXELS, REFINE_PIXELS))
    scores = SCORES * tagged_pixels * refined / recipe.refine.stride**2 + images * (CONTRAST + SMALL)
    seeds = CAM * 2 * tagged_pixels * seeded / recipe.seed.stride**2 + images * (4 * classes + SMALL)
    kept = {"seeds": [seeds], "masks": [scores, MASK * pixels], "confident": [CONFIDENT * pixels]}
    kept |= {"predictions": [PREDICTION * pixels]}
    kept |= {"fused": [MASK * pixels]} if recipe.predict.fuse else {}
    kept |= {"scores": [scores]} if "crf" in recipe.refine.method else {}
    kept |= {"affinity": [LABEL * pixels]} if "irn" in recipe.refine.method else {}
    if recipe.classify.on_features or recipe.segment.on_features:
        side = max(recipe.classify.long_side[1], recipe.segment.long_side[1])
        kept["features"] = [min(recipe.compute.cache * 10**9, FEATURES * images * side**2)]
    return {name: sum(_files(images, total) for total in totals) for name, totals in kept.items()}


def _files(count: int, total: float) -> int:
    """Bytes on disk of so many files, the last block of each half full on average."""
    return round(max(total + count * BLOCK / 2, count * BLOCK))


def networks_need(images: int, classes: int, recipe: Recipe) -> dict[str, int]:
    """Bytes of networks, checkpoints, logs and the report, by folder.

    Args:
        images: number of training images.
        classes: number of classes.
        recipe: networks and training.

    Raises:
        RecipeError: a network cannot be built.
    """
    from ktse.models.affinity import AffinityNetwork  # these load torch
    from ktse.models.segmenter import Segmenter
    from ktse.stages.affinity import OUTPUT_STRIDE
    from ktse.stages.classify import build

    names = tuple(map(str, range(classes)))
    classify, segment, affinity = recipe.classify, recipe.segment, recipe.affinity
    weights, trained = _bytes(build(dataclasses.replace(classify, weights="none"), names))
    later = classify.epochs - classify.warmup
    steps = images * (classify.warmup / classify.warmup_batch_size + later / classify.batch_size)
    # The last checkpoint and that of the warm-up's end; while one is written, both its versions.
    need = {"classify": 3 * (weights + trained) + weights + round(STEP * steps), "report": REPORT}
    weights, trained = _bytes(Segmenter(segment.architecture, segment.encoder, classes, "none"))
    networks = 2 if segment.method == "beco" else 1
    steps = images * segment.passes(images) / segment.batch_size
    start = weights if segment.retries else 0
    need["segment"] = networks * (2 * (weights + trained) + start + weights) + round(STEP * steps)
    if "irn" in recipe.refine.method:
        learns = affinity.backbone_lr > 0
        weights, trained = _bytes(AffinityNetwork(affinity.backbone, OUTPUT_STRIDE, "none", learns))
        need["affinity"] = 2 * (weights + trained) + weights
    return need


def _bytes(network: Any) -> tuple[int, int]:
    """Bytes of a network's weights, and of those that are trained, which have a momentum each."""
    trained = sum(weight.numel() * 4 for weight in network.parameters() if weight.requires_grad)
    return sum(value.numel() * 4 for value in network.state_dict().values()), cast(int, trained)


def check_disk(folder: Path, need: int) -> str:
    """Compare what a run folder needs, besides what it holds, with what the disk has left.

    Args:
        folder: the run folder; need not exist.
        need: bytes of the finished folder.

    Returns:
        one line for the user.

    Raises:
        RunError: not even half of it is there.
    """
    held = sum(os.path.getsize(Path(place) / name) for place, _, names in os.walk(folder) for name in names)  # noqa: PTH202
    exists = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(exists).free
    left = max(0, need - held)
    text = f"the run folder will take about {in_words(need)} of disk; {in_words(free)} are free"
    if free < left / 2:
        hint = "Make room, give --out on another disk, or raise seed.stride and refine.stride, which store less."
        raise RunError(text, where=str(exists), hint=hint)
    return text if free >= left else f"{text}: this may not be enough"


def say_disk(run: RunFolder, classes: tuple[str, ...], recipe: Recipe) -> None:
    """Say, after check and before hours of training, how much disk the run folder will take.

    Raises:
        RunError: there is far less.
    """
    checked, count = run.checked(), len(classes)
    need = maps_need(checked["images"], count, checked["pixels"], checked["tagged_pixels"], recipe)
    networks = networks_need(checked["images"] - checked["validation"], count, recipe)
    say(f"check: {check_disk(run.root, sum(need.values()) + sum(networks.values()))}")
