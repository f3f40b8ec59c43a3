"""Background thresholds without truth: what each idea chooses, and what that costs against the best threshold.

    OMP_NUM_THREADS=1 python benchmarks/thresholds.py RUN [RUN ...] --images 150 [--quick]

A run needs true masks and the stages up to refine; the true masks measure, and choose nothing. With --quick, ideas that
need the network (scales, tags) are left out. Rows:

- labels: how well colours explain the labels, thresholds near the ends distrusted; the one that ktse uses.
- labels, prior P: the same, distrusted by the power P; 0: no threshold distrusted.
- objects: how well they explain what is object and what background.
- edges, sum and mean: contrast of the image along the boundaries of the masks, all of it, or per boundary.
- Otsu; mixture: where two normal distributions fitted to all scores cross.
- stability: where the masks change least, relative to their size, when the threshold moves by 0.05.
- scales: chance-corrected agreement (Cohen's kappa) of the masks of the smallest and the largest scale of the CAMs.
- tags: how well the classifier knows the tags from the inside of the masks alone, and not from their outside.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

import numpy as np
import torch
from lightning_fabric import Fabric
from PIL import Image
from torch.nn.functional import binary_cross_entropy_with_logits

from ktse.data.transforms import long_side_size, to_tensor
from ktse.job import Job
from ktse.models.cam_head import CamNetwork
from ktse.quality.metrics import ThresholdSweep
from ktse.refinement.cutting import enlarge
from ktse.refinement.threshold import (
    BINS,
    boundary_contrast,
    colour_regions,
    explained_labels,
    explained_share,
    explained_threshold,
)
from ktse.run_folder import RunFolder
from ktse.runtime.fabric import make_fabric
from ktse.stages.classify import load_network
from ktse.stages.seed import image_cams

STEPS = np.arange(1, 10) / 10
"""Thresholds that are tried where each costs a pass through the network."""


def score_histogram(scores: np.ndarray, bins: int = BINS) -> np.ndarray:
    """Histogram of each pixel's largest score.

    Args:
        scores: (K, h, w) float in 0..1.
        bins: number of equal bins on 0..1.

    Returns:
        (bins,) int64; zeros if K is 0.
    """
    if len(scores) == 0:
        return np.zeros(bins, dtype=np.int64)
    index = np.clip((scores.max(axis=0).astype(np.float32) * bins).astype(np.int64), 0, bins - 1)
    return np.bincount(index.ravel(), minlength=bins)


def otsu(histogram: np.ndarray) -> float:
    """The threshold in 0..1 that splits a histogram into two classes of smallest spread (Otsu, 1979).

    Args:
        histogram: (bins,) counts over 0..1.

    Returns:
        0..1; 0.5 if all counts are in one bin.
    """
    weight = histogram.astype(np.float64)
    values = (np.arange(len(weight)) + 0.5) / len(weight)
    below, above = weight.cumsum()[:-1], weight[::-1].cumsum()[::-1][1:]
    total = (weight * values).cumsum()
    with np.errstate(invalid="ignore", divide="ignore"):
        mean_below, mean_above = total[:-1] / below, (total[-1] - total[:-1]) / above
        between = np.where((below > 0) & (above > 0), below * above * (mean_below - mean_above) ** 2, 0.0)
    if between.max() <= 0:
        return 0.5
    # Empty bins between two groups are all equally good: take the middle of them.
    best = np.flatnonzero(between >= between.max() * (1 - 1e-12))
    return float((best.mean() + 1) / len(weight))


def mixture(histogram: np.ndarray, iterations: int = 200) -> float:
    """Where two normal distributions, fitted to a histogram by expectation maximisation, are equally likely."""
    values = (np.arange(len(histogram)) + 0.5) / len(histogram)
    cut = values < otsu(histogram)
    share = np.stack([cut, ~cut]).astype(float)
    for _ in range(iterations):
        weight = share * histogram
        size = weight.sum(axis=1, keepdims=True) + 1e-9
        mean = (weight * values).sum(axis=1, keepdims=True) / size
        spread = np.sqrt((weight * (values - mean) ** 2).sum(axis=1, keepdims=True) / size) + 1e-3
        likely = size * np.exp(-((values - mean) ** 2) / (2 * spread**2)) / spread
        share = likely / (likely.sum(axis=0) + 1e-30)
    return float(values[np.argmax((share[1] > share[0]) & (values > mean[0]))])


def kappa(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Cohen's kappa of the masks of two score maps at every threshold."""
    places = [np.clip((scores.max(axis=0) * BINS).astype(int), 0, BINS - 1).ravel() for scores in (first, second)]
    one, two, both = (
        np.bincount(place, minlength=BINS)[::-1].cumsum()[::-1] / place.size for place in (*places, np.minimum(*places))
    )
    expected = one * two + (1 - one) * (1 - two)
    agreed = 1 - one - two + 2 * both
    return np.where(expected < 0.999, (agreed - expected) / np.maximum(1 - expected, 1e-3), 0.0)


@torch.no_grad()
def tag_fit(
    network: CamNetwork, image: Image.Image, scores: np.ndarray, tags: np.ndarray, long_side: int, fabric: Fabric
) -> np.ndarray:
    """Minus the cross entropy of the tags seen inside the masks alone, and of no tags outside alone, at STEPS."""
    size = long_side_size(image.size, long_side) if long_side else image.size
    whole = to_tensor(image, network.mean, network.std, size)[None].to(fabric.device)
    best = torch.from_numpy(enlarge(scores, (size[1], size[0])).max(axis=0)).to(fabric.device)
    wanted = torch.from_numpy((tags > 0).astype(np.float32))[None]
    found = []
    for step in STEPS:
        with fabric.autocast():
            logits = [network(whole * mask)[1].float().cpu() for mask in ((best > step), (best <= step))]
        losses = (
            binary_cross_entropy_with_logits(logits[0], wanted),
            binary_cross_entropy_with_logits(logits[1], torch.zeros_like(wanted)),
        )
        found.append(-float(sum(losses)))
    return np.array(found)


def compare(root: Path, images: int, *, quick: bool) -> None:
    """Print the table of one run."""
    run = RunFolder.existing(root)
    job = Job(run, run.read_recipe())
    data, truth, recipe = job.data, job.given.truth, job.recipe.seed
    if truth is None:
        raise SystemExit(f"{root} was made without true masks")
    names = {name: index for index, name in enumerate(data.ids) if name in truth.paths and data.tags[index].any()}
    sample = np.random.default_rng(0).permutation(sorted(names))[:images]
    fabric = make_fabric(job.recipe.compute.precision)
    network = load_network(run).to(fabric.device)
    sweep = ThresholdSweep(len(data.classes), np.arange(BINS) / BINS)
    histogram, explained, edges = np.zeros(BINS, dtype=np.int64), np.zeros((2, BINS)), np.zeros((2, BINS))
    agreement, fit = np.zeros(BINS), np.zeros(len(STEPS))
    ends = [dataclasses.replace(recipe, scales=(scale,)) for scale in (min(recipe.scales), max(recipe.scales))]
    for name in sample:
        image, keys, true = data.read(names[name]), np.flatnonzero(data.tags[names[name]]), truth.read(name)
        scores = run.scores(name).scores.astype(np.float32) / 255
        small = np.array(image.resize(scores.shape[:0:-1], Image.Resampling.BOX))
        sweep.add(true, keys, enlarge(scores, (true.shape[0], true.shape[1])))
        histogram += score_histogram(scores)
        regions = colour_regions(small)
        explained += np.stack([explained_labels(regions, scores), explained_share(regions, scores)])
        edges += boundary_contrast(small, scores)
        if quick:
            continue
        agreement += kappa(*(image_cams(network, image, keys, end, fabric)[0].astype(np.float32) for end in ends))
        fit += tag_fit(network, image, scores, data.tags[names[name]], recipe.long_side, fabric)
    above = histogram[::-1].cumsum()[::-1]
    step = round(0.05 * BINS)
    kept = above[2 * step :] / np.maximum(1, above[: -2 * step])
    usual = slice(step, BINS - 3 * step)  # neither end: there, nothing is left to change
    found = {
        "labels": explained_threshold(explained[0]) or 0.0,
        **{f"labels, prior {power:g}": explained_threshold(explained[0], power) or 0.0 for power in (0, 0.1, 0.8)},
        "always 0.4": 0.4,
        "objects": explained[1].argmax() / BINS,
        "edges, sum": edges[0].argmax() / BINS,
        "edges, mean": np.where(edges[1] > 0.02 * edges[1].max(), edges[0] / np.maximum(1, edges[1]), -9).argmax()
        / BINS,
        "Otsu": otsu(histogram),
        "mixture": mixture(histogram),
        "stability": (kept[usual].argmax() + 2 * step) / BINS,
    }
    if not quick:
        found["tags"] = STEPS[fit.argmax()]
    if len(recipe.scales) > 1 and not quick:
        found["scales"] = agreement.argmax() / BINS
    miou = 100 * sweep.miou
    best = int(np.nanargmax(miou))
    print(f"\n{root.name}: {len(sample)} images, best mIoU {miou[best]:.1f} at {best / BINS:.2f}\n")
    print("| idea | threshold | mIoU lost |\n|---|---|---|")
    for name, threshold in found.items():
        print(f"| {name} | {threshold:.2f} | {miou[best] - miou[min(BINS - 1, int(threshold * BINS))]:.1f} |")


def main() -> None:
    """Print a Markdown table for each run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--images", type=int, default=150)
    parser.add_argument("--quick", action="store_true", help="without the ideas that need the network")
    arguments = parser.parse_args()
    for root in arguments.runs:
        compare(root, arguments.images, quick=arguments.quick)


if __name__ == "__main__":
    main()
