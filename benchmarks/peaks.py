"""What masks are worth where a class's score is divided by a power of its peak after PAR, for several powers.

    OMP_NUM_THREADS=1 python benchmarks/peaks.py RUN [RUN ...] --images 300

A run needs true masks and the stage seed. Seeds are refined again by PAR at the run's stride; each class's scores are
divided by their largest value to a power. For each power: mIoU at the threshold that ktse finds without truth (as
refine does), mIoU at the best threshold, and both thresholds.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.nn.functional import interpolate

from ktse.job import Job
from ktse.quality.metrics import ThresholdSweep
from ktse.recipe.masks import REFINE_PIXELS
from ktse.refinement.cutting import enlarge
from ktse.refinement.par import GROWTH, pixel_adaptive_refinement
from ktse.refinement.threshold import BINS, colour_regions, explained_labels, explained_threshold
from ktse.run_folder import RunFolder

POWERS = (0.0, 0.25, 0.5, 0.75, 1.0)


def compare(root: Path, images: int) -> None:
    """Print one row of the table for each power."""
    run = RunFolder.existing(root)
    job = Job(run, run.read_recipe())
    data, truth, recipe = job.data, job.given.truth, job.recipe.refine
    if truth is None:
        raise SystemExit(f"{root} was made without true masks")
    names = {name: index for index, name in enumerate(data.ids) if name in truth.paths and data.tags[index].any()}
    sample = np.random.default_rng(0).permutation(sorted(names))[:images]
    sweeps = [ThresholdSweep(len(data.classes), np.arange(BINS) / BINS) for _ in POWERS]
    explained = np.zeros((len(POWERS), BINS))
    for name in sample:
        image, seed, true = data.read(names[name], pixels=REFINE_PIXELS), run.seed(name), truth.read(name)
        size = (-(-image.height // recipe.stride), -(-image.width // recipe.stride))
        picture = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 255
        small = interpolate(picture, size, mode="bilinear", align_corners=False, antialias=True)
        cam = torch.from_numpy(seed.cam.astype(np.float32))[None]
        cam = interpolate(cam, size, mode="bilinear", align_corners=False)
        flown = pixel_adaptive_refinement(small, cam, recipe.iterations)[0] / GROWTH**recipe.iterations
        regions = colour_regions(np.array(image.resize(size[::-1], Image.Resampling.BOX)))
        for place, power in enumerate(POWERS):
            peak = flown.amax(dim=(1, 2), keepdim=True).clamp(min=1e-5)
            scores = (flown / peak**power).clamp(0, 1).numpy()
            sweeps[place].add(true, seed.keys, enlarge(scores, (true.shape[0], true.shape[1])))
            explained[place] += explained_labels(regions, scores)
    print(f"\n{root}: {len(sample)} images\n\n| power | found | best | thresholds |\n|---|---|---|---|")
    for power, sweep, curve in zip(POWERS, sweeps, explained, strict=True):
        miou, found = 100 * sweep.miou, explained_threshold(curve) or 0.5
        best = int(np.nanargmax(miou))
        print(
            f"| {power:g} | {miou[int(found * BINS)]:.1f} | {miou[best]:.1f} | {found:.2f}, {best / BINS:.2f} |",
            flush=True,
        )


def main() -> None:
    """Print a Markdown table for each run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--images", type=int, default=300)
    arguments = parser.parse_args()
    for run in arguments.runs:
        compare(run, arguments.images)


if __name__ == "__main__":
    main()
