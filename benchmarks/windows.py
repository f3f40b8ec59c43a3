"""One threshold for each class, chosen in windows in proportion to its masks, against the one threshold of all.

    OMP_NUM_THREADS=1 python benchmarks/windows.py RUN [RUN ...] --images 200

A run needs true masks and the stages up to refine; the true masks measure, and choose nothing. For each threshold, the
window of a mask holds the pixels of the highest scores, ten times as many as the mask has. The chosen threshold is the
one at which the colours in the window tell most about what is inside the mask, as a share of what there is to tell.
A small thing counts as much as a large one; on the whole image, masks of less than 0.6 % count nothing.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from ktse.job import Job
from ktse.refinement.threshold import BINS, COLOURS, colour_regions, explained_labels, explained_threshold
from ktse.run_folder import RunFolder

WINDOW = 10
"""Pixels of a window per pixel of its mask."""

FEWEST = 8
"""Pixels inside, and outside, below which a mask says nothing."""


def entropy(counts: np.ndarray) -> np.ndarray:
    """Entropy in bits over the first axis."""
    share = counts / np.maximum(1, counts.sum(axis=0))
    found: np.ndarray = -(share * np.log2(np.where(share > 0, share, 1))).sum(axis=0)
    return found


def explained_in_window(regions: np.ndarray, score: np.ndarray) -> np.ndarray:
    """How well colours explain the mask of one class in its window, for all thresholds.

    Args:
        regions: (H, W) int64, colour_regions.
        score: (H, W) float in 0..1.

    Returns:
        (BINS,) float64, about 0..1.
    """
    place = regions * BINS + np.clip((score * BINS).astype(np.int64), 0, BINS - 1)
    counts = np.bincount(place.ravel(), minlength=COLOURS * BINS).reshape(COLOURS, BINS)
    inside = counts[:, ::-1].cumsum(axis=1)[:, ::-1]
    pixels = inside.sum(axis=0)
    wanted = np.minimum(WINDOW * pixels, pixels[0])
    lower = np.minimum([np.flatnonzero(pixels >= least)[-1] for least in wanted], np.arange(BINS))
    window = inside[:, lower]
    outside = window - inside
    sides = np.stack([outside.sum(axis=0), inside.sum(axis=0)])
    # A count of few pixels looks less random than it is (Miller, 1955).
    occupied = (inside > 0).sum(axis=0) + (outside > 0).sum(axis=0) - (window > 0).sum(axis=0) - (sides > 0).sum(axis=0)
    told = entropy(sides) + entropy(window) - entropy(np.concatenate([inside, outside]))
    told = told - (occupied + 1) / (2 * np.maximum(1, sides.sum(axis=0)) * np.log(2))
    return np.where(sides.min(axis=0) >= FEWEST, told / np.maximum(entropy(sides), 0.05), 0.0)


def iou(counts: np.ndarray, totals: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """IoU of each label, background first, with one threshold for each class.

    Args:
        counts: (C+1, C, BINS) pixels by true label, strongest class and its score.
        totals: (C+1,) pixels of each true label, those of images without tags too.
        thresholds: (C,) bins.
    """
    above = counts[..., ::-1].cumsum(axis=-1)[..., ::-1]
    said = np.stack([above[:, place, bin_] for place, bin_ in enumerate(thresholds)], axis=1)
    confusion = np.concatenate([(totals - said.sum(axis=1))[:, None], said], axis=1)
    right = np.diag(confusion)
    share: np.ndarray = 100 * right / np.maximum(1, confusion.sum(axis=0) + confusion.sum(axis=1) - right)
    return share


def compare(root: Path, images: int) -> None:
    """Print the table of one run."""
    run = RunFolder.existing(root)
    job = Job(run, run.read_recipe())
    data, truth, number = job.data, job.given.truth, len(job.data.classes)
    if truth is None:
        raise SystemExit(f"{root} was made without true masks")
    names = {name: index for index, name in enumerate(data.ids) if name in truth.paths and data.tags[index].any()}
    sample = np.random.default_rng(0).permutation(sorted(names))[:images]
    counts, together = np.zeros((number + 1, number, BINS), dtype=np.int64), np.zeros(BINS)
    apart = np.zeros((number, BINS))
    for name in sample:
        stored = run.scores(name)
        scores, size = stored.scores.astype(np.float32) / 255, stored.scores.shape[:0:-1]
        true = np.array(Image.fromarray(truth.read(name)).resize(size, Image.Resampling.NEAREST)).astype(np.int64)
        bins = np.clip((scores.max(axis=0) * BINS).astype(np.int64), 0, BINS - 1)
        place = ((true * number + stored.keys[scores.argmax(axis=0)]) * BINS + bins)[true <= number]
        counts += np.bincount(place, minlength=counts.size).reshape(counts.shape)
        regions = colour_regions(np.array(data.read(names[name]).resize(size, Image.Resampling.BOX)))
        together += explained_labels(regions, scores)
        for key, score in zip(stored.keys, scores, strict=True):
            apart[key] += explained_in_window(regions, score)
    totals = counts.sum(axis=(1, 2))
    one = np.full(number, int((explained_threshold(together) or 0.5) * BINS))
    each = np.array([int((explained_threshold(curve) or 0.5) * BINS) for curve in apart])
    best = one.copy()
    for place in range(number):
        tried = [iou(counts, totals, np.where(np.arange(number) == place, bin_, best)).mean() for bin_ in range(BINS)]
        best[place] = int(np.argmax(tried))
    found = [iou(counts, totals, thresholds) for thresholds in (one, each, best)]
    print(f"\n{root}: {len(sample)} images with tags\n\n| class | one | each | best |\n|---|---|---|---|")
    for place, name in enumerate(data.classes):
        cells = (f"{found[way][place + 1]:.0f} @ {ts[place] / BINS:.2f}" for way, ts in enumerate((one, each, best)))
        print(f"| {name} | {' | '.join(cells)} |")
    print(f"| mIoU | {' | '.join(f'{values.mean():.1f}' for values in found)} |", flush=True)


def main() -> None:
    """Print a Markdown table for each run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--images", type=int, default=200)
    arguments = parser.parse_args()
    for run in arguments.runs:
        compare(run, arguments.images)


if __name__ == "__main__":
    main()
