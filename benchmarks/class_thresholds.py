"""What a few true masks gain: one threshold for all classes against one for each, on all other images.

    OMP_NUM_THREADS=1 python benchmarks/class_thresholds.py RUN --masks DIR [--images 240]

RUN is a finished run. Masks are drawn at random among the images with tags, eight times for each number of masks; the
others are measured, at the size of the stored scores. Value k of a mask is line k of the run's classes.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from statistics import mean, stdev

import numpy as np
from PIL import Image

from ktse.data.masks import open_truth
from ktse.job import Job
from ktse.quality.metrics import THRESHOLDS, Confusion, ThresholdSweep
from ktse.refinement.calibration import calibrate
from ktse.refinement.cutting import cut
from ktse.run_folder import RunFolder
from ktse.stages.levels import levelled

DRAWS = 8


def main() -> None:
    """Print one row for each number of masks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--masks", type=Path, required=True)
    parser.add_argument("--images", type=int, default=240)
    arguments = parser.parse_args()
    run = RunFolder.existing(arguments.run)
    data = Job(run, run.read_recipe()).data
    truth = open_truth(arguments.masks, data)
    tagged = sorted(name for row, name in zip(data.tags, data.ids, strict=True) if row.any() and name in truth.paths)
    names = np.random.default_rng(0).permutation(tagged)[: arguments.images].tolist()
    classes, keys, scores, masks, counts = len(data.classes), {}, {}, {}, {}
    for name in names:
        keys[name], scores[name] = run.scores(name)[:2]
        size = scores[name].shape[:0:-1]
        masks[name] = np.asarray(Image.fromarray(truth.read(name)).resize(size, Image.Resampling.NEAREST))
        sweep = ThresholdSweep(classes, THRESHOLDS)
        sweep.add(masks[name], keys[name], scores[name].astype(np.float32) / 255)
        counts[name] = sweep.counts
    print(
        f"{run.root}: {len(names)} images\n\n| masks | one threshold | one for each class | better |\n|---|---|---|---|"
    )
    for number in (5, 10, 20):
        common, each = [], []
        for draw in range(DRAWS):
            given = set(np.random.default_rng(draw).permutation(names)[:number])
            found = calibrate([counts[name] for name in names if name in given], THRESHOLDS)
            one, own = Confusion(classes), Confusion(classes)
            for name in names:
                if name not in given:
                    level = levelled(scores[name], found.threshold, np.array(found.own)[keys[name]])
                    for confusion, stored in ((one, scores[name]), (own, level)):
                        label = cut(keys[name], stored.astype(np.float32) / 255, found.threshold, classes)
                        confusion.add(masks[name], label)
            common.append(100 * one.miou)
            each.append(100 * own.miou)
        better = sum(a > b for a, b in zip(each, common, strict=True))
        cells = [f"{mean(values):.1f} ± {stdev(values):.1f}" for values in (common, each)]
        print(f"| {number} | {' | '.join(cells)} | {better} of {DRAWS} |", flush=True)


if __name__ == "__main__":
    main()
