"""What a handful of masks is worth: drawn from a run's true masks, calibrated with, and measured on all the others.

    OMP_NUM_THREADS=1 python benchmarks/calibrate.py RUN [RUN ...] --draws 100

Prints, for each number of masks, the true loss in mIoU against the best threshold for the other images, and what the
masks said about it themselves.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from ktse.job import Job
from ktse.quality.metrics import THRESHOLDS, ThresholdSweep, intersection_over_union
from ktse.refinement.calibration import calibrate
from ktse.refinement.cutting import enlarge
from ktse.run_folder import RunFolder


def tallies(root: Path, images: int) -> tuple[list[np.ndarray], float]:
    """Confusion of each image at every threshold, and the threshold that the run chose without truth."""
    run = RunFolder.existing(root)
    job = Job(run, run.read_recipe())
    truth = job.given.truth
    if truth is None:
        raise SystemExit(f"{root} was made without true masks")
    names = [name for name in job.data.ids if name in truth.paths]
    chosen = np.random.default_rng(0).permutation(len(names))[:images]
    counts = []
    for place in chosen:
        true, stored = truth.read(names[place]), run.scores(names[place])
        sweep = ThresholdSweep(len(job.data.classes), THRESHOLDS)
        sweep.add(true, stored.keys, enlarge(stored.scores, (true.shape[0], true.shape[1])))
        counts.append(sweep.counts)
    return counts, float(run.summary("masks")["threshold"])


def curve(counts: Any) -> np.ndarray:
    """The mIoU at every threshold, in percent."""
    return 100 * np.asarray(np.nanmean(intersection_over_union(counts), axis=1))


def main() -> None:
    """Print a Markdown table for each run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--masks", type=int, nargs="+", default=[1, 3, 5, 10, 20])
    parser.add_argument("--draws", type=int, default=100)
    parser.add_argument("--images", type=int, default=700, help="images that are used at most")
    arguments = parser.parse_args()
    for root in arguments.runs:
        counts, without = tallies(root, arguments.images)
        total = np.sum(counts, axis=0)
        whole = curve(total)
        place = int(np.abs(THRESHOLDS - without).argmin())
        print(f"\n{root.name}: {len(counts)} images, best mIoU {whole.max():.1f} at {THRESHOLDS[whole.argmax()]:.2f};")
        print(f"the threshold without truth, {without:.2f}, loses {whole.max() - whole[place]:.1f}\n")
        print(
            "| masks | loss, mean | loss, 95 of 100 | said: expected | said: at most | best in interval | loss kept |"
        )
        print("|---|---|---|---|---|---|---|")
        rng = np.random.default_rng(1)
        for number in arguments.masks:
            losses, said, bounds, inside = [], [], [], []
            for _ in range(arguments.draws):
                drawn = rng.choice(len(counts), number, replace=False)
                found = calibrate([counts[index] for index in drawn], THRESHOLDS, samples=300)
                rest = curve(total - np.sum([counts[index] for index in drawn], axis=0))
                losses.append(rest.max() - rest[int(np.searchsorted(THRESHOLDS, found.threshold))])
                if found.low is not None and found.high is not None:
                    said.append(100 * (found.loss or 0))
                    bounds.append(100 * (found.loss_high or 0))
                    inside.append(found.low <= THRESHOLDS[rest.argmax()] <= found.high)
            line = f"| {number} | {np.mean(losses):.1f} | {np.quantile(losses, 0.95):.1f} "
            if said:
                kept = np.mean(np.array(losses) <= np.array(bounds))
                line += f"| {np.mean(said):.1f} | {np.mean(bounds):.1f} | {np.mean(inside):.0%} | {kept:.0%} |"
            else:
                line += "| - | - | - | - |"
            print(line, flush=True)


if __name__ == "__main__":
    main()
