"""What size of object masks show: the IoU of each class in each image, by the size that it has in cells of the CAM.

    OMP_NUM_THREADS=1 python benchmarks/object_sizes.py RUN --masks DIR [RUN --masks DIR ...]

RUN is a finished run. The size is the root of the class's true pixels in the image, in cells of the finest CAM. Value k
of a mask is line k of the run's classes.
"""

from __future__ import annotations

import argparse
from itertools import pairwise
from pathlib import Path

import numpy as np

from ktse.data.masks import open_truth
from ktse.job import Job
from ktse.models.backbone import finest_stride
from ktse.run_folder import RunFolder

EDGES = (0.0, 1.0, 2.0, 4.0, 8.0, float("inf"))
USABLE = 0.25


def measured(run: RunFolder, masks: Path) -> np.ndarray:
    """(N, 2) size in cells and IoU of every tagged class that an image shows."""
    recipe = run.read_recipe()
    data, stage = Job(run, recipe).data, recipe.classify
    truth, found = open_truth(masks, data), []
    stride = finest_stride(stage.backbone, stage.output_stride, stage.levels)
    for tags, name in zip(data.tags, data.ids, strict=True):
        if not tags.any() or name not in truth.paths:
            continue
        true, mask = truth.read(name), run.mask(name)
        cell = max(true.shape) / (recipe.seed.long_side * max(recipe.seed.scales)) * stride
        for value in np.flatnonzero(tags) + 1:
            inside, said = true == value, mask == value
            if inside.any():
                found.append((np.sqrt(inside.sum()) / cell, (inside & said).sum() / (inside | said).sum()))
    return np.array(found)


def main() -> None:
    """Print a table for each run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, nargs="+")
    parser.add_argument("--masks", type=Path, action="append", required=True, help="as many as runs, in their order")
    arguments = parser.parse_args()
    for folder, masks in zip(arguments.run, arguments.masks, strict=True):
        found = measured(RunFolder.existing(folder), masks)
        print(f"\n{folder}\n\n| cells | classes in images | mean IoU | with an IoU of {USABLE:.0%} or more |")
        print("|---|---|---|---|")
        for least, most in pairwise(EDGES):
            iou = found[(found[:, 0] >= least) & (found[:, 0] < most), 1]
            if len(iou):
                print(f"| {least:g} to {most:g} | {len(iou)} | {100 * iou.mean():.0f} | {(iou >= USABLE).sum()} |")


if __name__ == "__main__":
    main()
