"""refine: from CAMs to masks, by a chain of refiners and a background threshold that needs no truth."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from lightning_fabric import Fabric
from PIL import Image
from torch import Tensor

from ktse.data.dataset import TaggedImages
from ktse.data.image import image_size
from ktse.data.masks import Calibration, SecondOpinion
from ktse.errors import CollapseError
from ktse.files import label_type, write_json, write_label_map, write_npz, write_table
from ktse.models.sam import load_sam
from ktse.recipe import COMPUTE, ComputeRecipe, RefineRecipe
from ktse.recipe.masks import REFINE_PIXELS
from ktse.refinement.bands import bands
from ktse.refinement.confidence import Signs, confident_half, image_confidence, margins
from ktse.refinement.cutting import cut, enlarge
from ktse.refinement.threshold import BINS, boundary_contrast, choose_threshold, colour_regions, explained_labels
from ktse.run_folder import RunFolder, Scores
from ktse.runtime.claims import Part, SharedImages
from ktse.runtime.console import say, track
from ktse.runtime.fabric import make_fabric
from ktse.runtime.processes import my_share, rank, wait_for_all, world_size
from ktse.runtime.words import many
from ktse.runtime.workers import in_processes
from ktse.stages.affinity import load_affinity
from ktse.stages.calibration import calibrated_images, calibrated_threshold
from ktse.stages.levels import levelled_scores, write_levels
from ktse.stages.refiners import CRF_THRESHOLD, Refine, Refined, as_stored, crf_class_scores, soft_refiner
from ktse.stages.second_opinion import taken_classes, with_second_opinion

EMPTY_REFUSED = 0.5
"""Share of tagged images without any foreground above which masks are refused."""

EMPTY_WARNED = 0.1


class Cut(NamedTuple):
    """A mask that was cut from scores.

    Attributes:
        label: (H, W) label map.
        trusted: (H, W) bool, the confident half.
        separation: mean of each pixel's largest score inside the mask, less that outside.
    """

    label: np.ndarray
    trusted: np.ndarray
    separation: float


def refine(
    run: RunFolder,
    data: TaggedImages,
    recipe: RefineRecipe,
    calibration: Calibration | None = None,
    other: SecondOpinion | None = None,
    compute: ComputeRecipe = COMPUTE,
) -> None:
    """Write masks/ID.npz (refined scores), then masks/ID.png, confident/ID.png, confidence.csv and summary.json.

    Args:
        run: the run folder.
        data: images and tags.
        recipe: the chain and its settings.
        calibration: masks to choose the threshold by, if the user gave some.
        other: masks by another method, which are taken where those to calibrate with say that they are better.
        compute: precision and processes.

    Raises:
        CollapseError: the CAMs hold nothing to make masks from.
        RunError: the chain needs an extra or a stage that is not there.
    """
    with_crf = "crf" in recipe.method
    soft = run.soft_scores if with_crf else run.scores
    fabric = make_fabric(compute.precision)
    refined = _refined(run, data, recipe, fabric)
    if other is not None and calibration is not None:
        refined = with_second_opinion(run, data, other, calibration, refined)
    explained = _refine_all(run, data, recipe, refined)
    chosen = choose_threshold(explained, recipe.threshold)
    threshold, source, kind = chosen.value, chosen.source, str(chosen.kind)
    calibrated = None
    if calibration is not None:
        suited = calibrated_threshold(data, calibration, soft)
        calibrated = {**asdict(suited), "images": calibrated_images(data, calibration), "instead_of": threshold}
        threshold, source, kind = suited.threshold, suited.source, "calibrated"
        if not with_crf and rank() == 0:
            write_levels(run, threshold, suited.own)
        wait_for_all()  # every process cuts levelled scores
    place = min(BINS - 1, int(threshold * BINS))
    if with_crf:
        _crf_all(run, data, threshold, compute.workers)
        wait_for_all()
        source = f"where the dense CRF decides, given the background score {threshold:.2f} ({source})"
        threshold, kind = CRF_THRESHOLD, "crf"
    found = _cut_all(run, data, threshold, lambda name: soft(name).contrast[:, place], fabric)
    if rank() > 0:
        return
    tagged = [signs for signs in found.values() if signs.tags]
    warnings = _judge(sum(signs.foreground == 0 for signs in tagged), len(tagged))
    _write_confidence(run, found)
    summary = {"threshold": threshold, "threshold_source": source, "threshold_kind": kind}
    summary |= {"explained": explained.round(5).tolist(), "warnings": warnings, "calibration": calibrated}
    summary |= {"other": taken_classes(run), "key": run.key("refine")}
    write_json(run.path("masks", "summary.json"), summary)
    say(f"refine: threshold {threshold:.2f} ({source})")


def _cut_all(
    run: RunFolder, data: TaggedImages, threshold: float, contrast: Callable[[str], np.ndarray], fabric: Fabric
) -> dict[str, Signs]:
    """Cut and write the mask of every image, each process its share; what was found about all of them."""
    found, part = np.zeros((len(data), len(Signs._fields))), Part(run.root, "refine", "cut", run.key("refine"))
    images = SharedImages(len(data), lambda _: True, part)
    for index in track(images, "cut masks", total=images.total):
        name, stored = data.ids[index], levelled_scores(run, data.ids[index])
        size, keys = image_size(data.source(index))[::-1], stored.keys
        label, trusted, separation = _cut_mask(keys, stored.scores, size, threshold, len(data.classes))
        write_label_map(run.mask_path(name), label)
        write_label_map(run.confident_path(name), trusted.astype(np.uint8))
        excess, pairs = contrast(name)
        logits = run.seed(name).logits[keys]
        shares = [float((label == key + 1).mean()) for key in keys]
        mean, contrast_here = logits.mean() if len(logits) else 0.0, excess / max(1, pairs)
        found[index] = (len(logits), mean, contrast_here, separation, min(shares, default=0.0), sum(shares))
        images.tell(index, found[index].tolist())
    for index, signs in images.told.items():
        found[index] = signs
    if world_size() > 1:  # each process has filled in other rows
        found = np.asarray(cast(Tensor, fabric.all_reduce(torch.from_numpy(found), reduce_op="sum")).cpu())
    return {name: Signs(int(tags), *map(float, signs)) for name, (tags, *signs) in zip(data.ids, found, strict=True)}


def _cut_mask(keys: np.ndarray, stored: np.ndarray, size: tuple[int, int], threshold: float, classes: int) -> Cut:
    """Cut scores that are enlarged a few rows at a time."""
    label = np.empty(size, dtype=label_type(classes))
    best, margin = np.empty(size, dtype=np.uint16), np.empty(size, dtype=np.float32)
    sums, pixels = np.zeros(2), np.zeros(2, dtype=np.int64)  # outside and inside
    for rows, scores in bands(stored, size):
        label[rows] = cut(keys, scores, threshold, classes)
        strongest = scores.max(axis=0, initial=0)
        inside = (strongest > threshold).ravel().astype(np.int64)
        sums += np.bincount(inside, strongest.ravel(), 2)
        pixels += np.bincount(inside, minlength=2)
        background = np.full((1, *scores.shape[1:]), threshold, dtype=np.float32)
        best[rows], margin[rows] = margins(np.concatenate([background, scores]))
    outside_mean, inside_mean = sums / np.maximum(1, pixels)
    return Cut(label, confident_half(best, margin), float(inside_mean - outside_mean))


def _write_confidence(run: RunFolder, found: dict[str, Signs]) -> None:
    """Write confidence.csv. A mask without tags is empty by definition, and sure."""
    tagged = {name: signs for name, signs in found.items() if signs.tags}
    confidence = dict(zip(tagged, image_confidence(list(tagged.values())), strict=True))
    shown = ("foreground", "contrast", "separation", "smallest")
    rows = []
    for name, signs in found.items():
        values = (confidence.get(name, 1.0), *(getattr(signs, sign) for sign in shown))
        rows.append((name, *(f"{value:.4f}" for value in values)))
    write_table(run.path("masks", "confidence.csv"), ("id", "confidence", *shown), rows)


def _refined(run: RunFolder, data: TaggedImages, recipe: RefineRecipe, fabric: Fabric) -> Refine:
    """What refines the CAMs of an image, by all refiners but the CRF."""
    network = load_affinity(run).to(fabric.device) if "irn" in recipe.method else None
    sam = load_sam(recipe.sam_weights).to(fabric.device) if "sam" in recipe.method else None
    refiner = soft_refiner(recipe, fabric, network, sam)
    index = {name: place for place, name in enumerate(data.ids)}

    def refined(name: str) -> Refined:
        seed, image = run.seed(name), data.read(index[name], pixels=REFINE_PIXELS)
        return Refined(image, seed.keys, refiner(image, torch.from_numpy(seed.cam.astype(np.float32))).cpu().numpy())

    return refined


def _refine_all(run: RunFolder, data: TaggedImages, recipe: RefineRecipe, refined: Refine) -> np.ndarray:
    """Soft refinement of every image that has none yet; (bins,) mean of explained_labels over images with tags."""
    with_crf = "crf" in recipe.method
    path, stored = (run.soft_scores_path, run.soft_scores) if with_crf else (run.scores_path, run.scores)
    part = Part(run.root, "refine", "refine", run.key("refine"))
    images = SharedImages(len(data), lambda index: not path(data.ids[index]).is_file(), part)
    label = "+".join(name for name in recipe.method if name != "crf") or "none"
    for index in track(images, f"refine ({label})", total=images.total, done=images.total - len(images.left)):
        image, keys, scores = refined(data.ids[index])
        small = np.array(image.resize(scores.shape[:0:-1], Image.Resampling.BOX))
        contrast, explained = boundary_contrast(small, scores), explained_labels(colour_regions(small), scores)
        found = Scores(keys, as_stored(scores), contrast.astype(np.float32), explained.astype(np.float32))
        write_npz(path(data.ids[index]), **found._asdict())
    wait_for_all()
    total = sum((stored(name).explained for name in data.ids), np.zeros(BINS))
    return total / max(1, int(data.tags.any(axis=1).sum()))


def _crf_all(run: RunFolder, data: TaggedImages, background: float, workers: int) -> None:
    """Dense CRF, at the images' own size, of every image that has none yet."""
    left = [index for index in my_share(range(len(data))) if not run.scores_path(data.ids[index]).is_file()]

    def jobs() -> Iterator[tuple[Any, ...]]:
        for index in left:
            image = np.array(data.read(index, pixels=REFINE_PIXELS))
            scores = run.soft_scores(data.ids[index]).scores
            yield image, enlarge(scores, (image.shape[0], image.shape[1])), background

    results = in_processes(crf_class_scores, jobs(), workers)
    shown = track(left, "refine (crf)", total=len(data), done=len(data) - len(left))
    for index, scores in zip(shown, results, strict=True):
        keys = np.flatnonzero(data.tags[index]).astype(np.int32)
        write_npz(run.scores_path(data.ids[index]), keys=keys, scores=as_stored(scores))


def _judge(empty: int, tagged: int) -> list[str]:
    share = empty / max(1, tagged)
    without = f"{empty} of {many(tagged, 'tagged image')} got a mask without any object"
    if share > EMPTY_REFUSED:
        raise CollapseError(
            f"{without}: the CAMs have collapsed",
            hint="Look at report.html and classify/metrics.jsonl; then lower classify.lr_after, raise classify.warmup, "
            "or take a plain CAM (classify.warmup equal to classify.epochs).",
        )
    return [f"{without}."] if share > EMPTY_WARNED else []
