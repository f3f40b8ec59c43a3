"""Whether the comparison of seed.source sees, without truth, when the terms after the warm-up do harm.

    OMP_NUM_THREADS=1 python benchmarks/harm.py RUN [RUN ...] --images 64

Every run needs true masks and a warm-up. Prints how well colours explain the masks of the trained network against those
of the end of its warm-up, with its interval; the same of the contrast along boundaries, an older rule; and the true
change in mIoU on the same images.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ktse.pipeline import Job
from ktse.quality.metrics import THRESHOLDS, ThresholdSweep
from ktse.recipe import RefineRecipe
from ktse.refinement.comparison import compare
from ktse.refinement.cutting import enlarge
from ktse.refinement.threshold import (
    boundary_contrast,
    choose_threshold,
    colour_regions,
    explained_share,
)
from ktse.run_folder import RunFolder
from ktse.runtime.fabric import make_fabric
from ktse.stages.classify import load_network, load_warmup
from ktse.stages.refiners import soft_refiner
from ktse.stages.seed import image_cams


def one(root: Path, images: int) -> str:
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
    explained, contrast, best, cut = [], [], [], []
    for network in (warm, load_network(run)):
        placed, sweep = network.to(fabric.device), ThresholdSweep(len(data.classes), THRESHOLDS)
        shares, edges = [], []
        for name in sample:
            image, keys, true = data.read(names[name]), np.flatnonzero(data.tags[names[name]]), truth.read(name)
            cam, _ = image_cams(placed, image, keys, recipe, fabric)
            scores = refiner(image, torch.from_numpy(cam.astype(np.float32))).cpu().numpy()
            small = np.array(image.resize(scores.shape[:0:-1], Image.Resampling.BOX))
            shares.append(explained_share(colour_regions(small), scores))
            edges.append(boundary_contrast(small, scores)[0] / scores[0].size)
            sweep.add(true, keys, enlarge(scores, (true.shape[0], true.shape[1])))
        explained.append(np.stack(shares))
        contrast.append(np.stack(edges))
        threshold = choose_threshold(explained[-1].sum(axis=0), "auto").value
        best.append(100 * np.nanmax(sweep.miou))
        cut.append(100 * sweep.miou[int(np.abs(THRESHOLDS - threshold).argmin())])
    return (
        f"| {root.name} | {len(sample)} | {words(*explained)} | {words(*contrast)} "
        f"| {best[0]:.1f} | {best[1] - best[0]:+.1f} | {cut[1] - cut[0]:+.1f} |"
    )


def words(first: np.ndarray, second: np.ndarray) -> str:
    """The difference of two networks, its interval, and which is called better."""
    found = compare(first, second)
    low, high, middle = (100 * value / found.first for value in (found.low, found.high, found.second - found.first))
    better = {"first": "warm-up", "second": "final", "unclear": "unclear"}[found.better]
    return f"{middle:+.1f} % ({low:+.1f} to {high:+.1f}) | {better}"


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--images", type=int, default=64)
    arguments = parser.parse_args()
    print(
        "| run | images | explained, final against warm-up | said to be better | contrast | would be said "
        "| mIoU of the warm-up, oracle | change in mIoU, oracle | change, threshold without truth |\n"
        + "|---" * 9
        + "|"
    )
    for root in arguments.runs:
        print(one(root, arguments.images), flush=True)


if __name__ == "__main__":
    main()
