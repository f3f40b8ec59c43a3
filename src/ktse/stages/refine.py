"""refine: from CAMs to masks, by PAR and a background threshold that needs no truth."""

from __future__ import annotations

import csv

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ktse.console import say, track
from ktse.data.sample import TaggedImages
from ktse.errors import CollapseError
from ktse.processes import my_share, rank, wait_for_all
from ktse.recipe import RefineRecipe
from ktse.refinement.par import pixel_adaptive_refinement
from ktse.refinement.threshold import choose_threshold, score_histogram
from ktse.run_folder import RunFolder, atomic, label_type, read_npz, write_json, write_label_map, write_npz

EMPTY_REFUSED = 0.5
"""Share of tagged images without any foreground above which masks are refused."""

EMPTY_WARNED = 0.1
STABILITY = 0.15
"""Relative change of the threshold under which a trustworthy mask hardly changes."""


def refine_scores(image: Tensor, cam: Tensor, recipe: RefineRecipe) -> Tensor:
    """Soft scores at the refinement's size.

    Args:
        image: (3, H, W) float in 0..1.
        cam: (K, h, w) float in 0..1.
        recipe: method, iterations, stride.

    Returns:
        (K, ceil(H / stride), ceil(W / stride)) float in 0..1.
    """
    size = (-(-image.shape[-2] // recipe.stride), -(-image.shape[-1] // recipe.stride))
    if len(cam) == 0:
        return cam.new_zeros((0, *size))
    if recipe.method == "none":
        return interpolate(cam[None], size, mode="bilinear", align_corners=False)[0]
    small = interpolate(image[None], size, mode="bilinear", align_corners=False, antialias=True)
    large = interpolate(cam[None], size, mode="bilinear", align_corners=False)
    refined = pixel_adaptive_refinement(small, large, recipe.iterations)[0]
    return (refined / 1.01**recipe.iterations).clamp(0, 1)


def cut(keys: np.ndarray, scores: np.ndarray, threshold: float, band: float, classes: int) -> np.ndarray:
    """Label map from scores: the strongest class above the threshold, else background.

    Args:
        keys: (K,) class indices 0..C-1.
        scores: (K, H, W) float in 0..1; K may be 0.
        threshold: background threshold.
        band: half width of the band around the threshold that is undecided.
        classes: number of classes C.

    Returns:
        (H, W) uint8 or uint16 (see label_type).
    """
    kind = label_type(classes)
    if len(keys) == 0:
        return np.zeros(scores.shape[1:], dtype=kind)
    best = scores.max(axis=0)
    label = np.where(best > threshold, keys[scores.argmax(axis=0)] + 1, 0).astype(kind)
    if band > 0:
        label[np.abs(best - threshold) <= band] = np.iinfo(kind).max
    return label


def stability(scores: np.ndarray, threshold: float) -> float:
    """How little the foreground changes when the threshold moves by 15 % either way: IoU of the two masks, 0..1."""
    if len(scores) == 0:
        return 1.0
    best = scores.max(axis=0)
    large, small = best > threshold * (1 - STABILITY), best > threshold * (1 + STABILITY)
    return float(small.sum() / large.sum()) if large.any() else 0.0


def enlarge(scores: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Stored scores (K, h, w), uint8 or float16, as float32 in 0..1 at (height, width)."""
    tensor = torch.from_numpy(scores.astype(np.float32) / (255 if scores.dtype == np.uint8 else 1))
    if len(tensor) == 0:
        return np.zeros((0, *size), dtype=np.float32)
    large: np.ndarray = interpolate(tensor[None], size, mode="bilinear", align_corners=False)[0].numpy()
    return large


def refine(run: RunFolder, data: TaggedImages, recipe: RefineRecipe) -> None:
    """Write masks/ID.npz (refined scores), then masks/ID.png, confidence.csv and summary.json.

    Raises:
        CollapseError: the CAMs hold nothing to make masks from.
    """
    histogram = _refine_all(run, data, recipe)
    if rank() > 0:
        return
    threshold, source = choose_threshold(histogram, recipe.threshold)
    rows, empty, tagged = [], 0, 0
    for index in track(range(len(data)), "cut masks", total=len(data)):
        name, size = data.ids[index], data.read(index).size[::-1]
        stored = read_npz(run.mask_scores_path(name))
        scores = enlarge(stored["scores"], size)
        label = cut(stored["keys"], scores, threshold, recipe.undecided, len(data.classes))
        write_label_map(run.mask_path(name), label)
        open_pixels = label == np.iinfo(label.dtype).max
        foreground = float(((label > 0) & ~open_pixels).mean())
        rows.append((name, stability(scores, threshold), float(open_pixels.mean()), foreground))
        tagged += bool(len(stored["keys"]))
        empty += bool(len(stored["keys"])) and foreground == 0
    warnings = _judge(empty, tagged)
    with atomic(run.path("masks", "confidence.csv")) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("id", "confidence", "undecided", "foreground"))
        writer.writerows((name, *(f"{value:.4f}" for value in values)) for name, *values in rows)
    write_json(
        run.path("masks", "summary.json"), {"threshold": threshold, "threshold_source": source, "warnings": warnings}
    )
    say(f"refine: threshold {threshold:.2f} ({source})")


def _refine_all(run: RunFolder, data: TaggedImages, recipe: RefineRecipe) -> np.ndarray:
    histogram = score_histogram(np.zeros((0, 1, 1)))
    mine = my_share(range(len(data)))
    missing = [index for index in mine if not run.mask_scores_path(data.ids[index]).is_file()]
    for index in track(missing, f"refine ({recipe.method})", total=len(mine), done=len(mine) - len(missing)):
        image = torch.from_numpy(np.array(data.read(index))).permute(2, 0, 1).float() / 255
        seed = read_npz(run.seed_path(data.ids[index]))
        scores = refine_scores(image, torch.from_numpy(seed["cam"].astype(np.float32)), recipe)
        stored = (scores * 255).round().to(torch.uint8).numpy()
        write_npz(run.mask_scores_path(data.ids[index]), keys=seed["keys"], scores=stored)
    wait_for_all()
    for name in data.ids:
        histogram += score_histogram(read_npz(run.mask_scores_path(name))["scores"].astype(np.float32) / 255)
    return histogram


def _judge(empty: int, tagged: int) -> list[str]:
    share = empty / max(1, tagged)
    if share > EMPTY_REFUSED:
        raise CollapseError(
            f"{empty} of {tagged} tagged images got a mask without any object: the CAMs have collapsed",
            hint="Look at report.html and classify/metrics.jsonl; then lower classify.lr_after, raise classify.warmup, "
            "or take a plain CAM (classify.warmup equal to classify.epochs).",
        )
    return [f"{empty} of {tagged} tagged images got a mask without any object."] if share > EMPTY_WARNED else []
