"""Whether the comparison of seed.source sees, without truth, when the terms after the warm-up do harm.

    OMP_NUM_THREADS=1 python benchmarks/harm.py RUN [RUN ...] --images 64

Every run needs true masks and a warm-up. Prints the contrast that masks gather along their boundaries, the trained
network against the end of its warm-up, with its interval, and the true change in mIoU on the same images.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ktse.devices import make_fabric
from ktse.metrics import THRESHOLDS, ThresholdSweep
from ktse.pipeline import Job
from ktse.recipe import RefineRecipe
from ktse.refinement.comparison import compare_contrast
from ktse.refinement.cutting import enlarge
from ktse.refinement.threshold import BINS, boundary_contrast, choose_threshold, explained_share, score_histogram
from ktse.run_folder import RunFolder
from ktse.stages.classify import load_network, load_warmup
from ktse.stages.refiners import soft_refiner
from ktse.stages.seed import image_cams


def compare(root: Path, images: int) -> str:
    """One row of the table."""
    run = RunFolder.existing(root)
    job = Job(run, run.read_recipe())
    data, truth, recipe = job.data, job.truth, job.recipe.seed
    warm = load_warmup(run)
    if warm is None or truth is None:
        return f"| {root.name} | no warm-up, nothing after it, or no true masks |"
    names = {name: index for index, name in enumerate(data.ids) if name in truth.paths and data.tags[index].any()}
    sample = np.random.default_rng(0).permutation(sorted(names))[:images]
    fabric = make_fabric(recipe.precision)
    refiner = soft_refiner(RefineRecipe(), fabric, None)
    curves, best, cut, pixels = [], [], [], np.zeros(0)
    for network in (warm, load_network(run)):
        placed = network.to(fabric.device)
        sweep, parts = ThresholdSweep(len(data.classes), THRESHOLDS), []
        histogram, explained, sizes = np.zeros(BINS, dtype=np.int64), np.zeros(BINS), []
        for name in sample:
            image, keys, true = data.read(names[name]), np.flatnonzero(data.tags[names[name]]), truth.read(name)
            cam, _ = image_cams(placed, image, keys, recipe, fabric)
            scores = refiner(image, torch.from_numpy(cam.astype(np.float32))).cpu().numpy()
            small = np.array(image.resize(scores.shape[:0:-1], Image.Resampling.BOX))
            parts.append(boundary_contrast(small, scores))
            explained += explained_share(small, scores)
            histogram += score_histogram(scores)
            sizes.append(scores[0].size)
            sweep.add(true, keys, enlarge(scores, (true.shape[0], true.shape[1])))
        threshold, _ = choose_threshold(histogram, explained, "auto")
        curves.append(np.stack([part[0] for part in parts]))
        pixels = np.array(sizes, dtype=np.float64)
        best.append(100 * np.nanmax(sweep.miou))
        cut.append(100 * sweep.miou[int(np.abs(THRESHOLDS - threshold).argmin())])
    found = compare_contrast(curves[0], curves[1], pixels)
    low, high, middle = (100 * value / found.first for value in (found.low, found.high, found.second - found.first))
    names_of = {"first": "warm-up", "second": "final", "unclear": "unclear"}
    return (
        f"| {root.name} | {len(sample)} | {middle:+.1f} % ({low:+.1f} to {high:+.1f}) | {names_of[found.better]} "
        f"| {best[0]:.1f} | {best[1] - best[0]:+.1f} | {cut[1] - cut[0]:+.1f} |"
    )


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--images", type=int, default=64)
    arguments = parser.parse_args()
    print(
        "| run | images | contrast, final against warm-up | said to be better | mIoU of the warm-up, oracle "
        "| change in mIoU, oracle | change, threshold without truth |\n|---|---|---|---|---|---|---|"
    )
    for root in arguments.runs:
        print(compare(root, arguments.images), flush=True)


if __name__ == "__main__":
    main()
