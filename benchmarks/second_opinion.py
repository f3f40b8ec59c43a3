"""Which of two masks is better: the choice of the measure without truth, and that of a few true masks.

    python benchmarks/second_opinion.py RUN --masks DIR [--images 150] [--counts 5 10 20 40]

Other masks are made from the true ones (grown, shrunk, moved, half of them empty) and compared with those of the run,
class by class. Without truth, the class goes to the masks that the colours of the images explain better
(explained_share); with truth, to the masks whose IoU is higher on a few images drawn by chance, if at least two of them
show it. All figures are the mIoU over the classes, background aside, in per cent; value k of a mask is line k of the
run's classes.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from ktse.data.dataset import TaggedImages
from ktse.data.masks import Truth, open_truth
from ktse.job import Job
from ktse.refinement.calibration import LEAST_SHOWN
from ktse.refinement.threshold import colour_regions, explained_share
from ktse.run_folder import RunFolder
from recipe import spread

DRAWS = 100


def filtered(label: np.ndarray, by: ImageFilter.Filter, *, inside: bool) -> np.ndarray:
    """A label map in which each class has been grown into the background, or shrunk."""
    found = np.zeros_like(label) if inside else label.copy()
    for value in np.unique(label[label > 0]):
        moved = np.asarray(Image.fromarray((label == value).astype(np.uint8)).filter(by)) > 0
        found[moved & ((label == value) if inside else (label == 0))] = value
    return found


def opinions(own: np.ndarray, true: np.ndarray, rng: np.random.Generator) -> Iterator[tuple[str, np.ndarray]]:
    """Masks of other methods, by name; the run's own first."""
    step = max(2, round(max(true.shape) / 100))
    yield "the run's own", own
    yield "true", true
    yield "grown by 1 %", filtered(true, ImageFilter.MaxFilter(2 * step + 1), inside=False)
    yield "grown by 3 %", filtered(true, ImageFilter.MaxFilter(6 * step + 1), inside=False)
    yield "shrunk by 1 %", filtered(true, ImageFilter.MinFilter(2 * step + 1), inside=True)
    yield "moved by 2 %", np.roll(true, 2 * step, axis=1)
    yield "moved by 6 %", np.roll(true, 6 * step, axis=1)
    yield "half of them empty", true * (rng.random() < 0.5)


def counted(
    run: RunFolder, data: TaggedImages, truth: Truth, indices: list[int]
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Of each opinion: (N, C, 2) intersection and union, and (C,) mean of what colours explain."""
    rng, shape = np.random.default_rng(0), (len(indices), len(data.classes), 2)
    overlap: dict[str, np.ndarray] = {}
    explained: dict[str, np.ndarray] = {}
    for row, index in enumerate(indices):
        name = data.ids[index]
        true = truth.read(name)
        known = true != np.iinfo(true.dtype).max
        size = run.scores(name).scores.shape[:0:-1]
        regions = colour_regions(np.array(data.read(index).resize(size, Image.Resampling.BOX)))
        for other, label in opinions(run.mask(name), np.where(known, true, 0), rng):
            counts = overlap.setdefault(other, np.zeros(shape))
            shares = explained.setdefault(other, np.zeros(shape[1]))
            for key in np.flatnonzero(data.tags[index]):
                said, there = (label == key + 1) & known, true == key + 1
                counts[row, key] = (said & there).sum(), (said | there).sum()
                small = Image.fromarray((label == key + 1).astype(np.uint8)).resize(size, Image.Resampling.NEAREST)
                shares[key] += explained_share(regions, np.asarray(small, dtype=np.float32)[None])[-1]
    return overlap, explained


def iou(counts: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """(C,) IoU in per cent over some images; NaN for a class that none of them shows."""
    both, either = counts[rows].sum(axis=0).T
    return np.where(either > 0, 100 * both / np.maximum(1, either), np.nan)


def chosen_by_truth(own: np.ndarray, other: np.ndarray, count: int) -> list[float | None]:
    """MIoU over the images that did not choose, of many draws of those that did."""
    found: list[float | None] = []
    for draw in range(DRAWS):
        order = np.random.default_rng(draw).permutation(len(own))
        some, rest = order[:count], order[count:]
        shown = (own[some, :, 1] > 0).sum(axis=0) >= LEAST_SHOWN
        better = shown & (np.nan_to_num(iou(other, some)) > np.nan_to_num(iou(own, some)))
        found.append(float(np.nanmean(np.where(better, iou(other, rest), iou(own, rest)))))
    return found


def main() -> None:
    """Print a row for each opinion."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--masks", type=Path, required=True)
    parser.add_argument("--images", type=int, default=150)
    parser.add_argument("--counts", type=int, nargs="+", default=[5, 10, 20, 40])
    arguments = parser.parse_args()
    run = RunFolder.existing(arguments.run)
    data = Job(run, run.read_recipe()).data
    truth = open_truth(arguments.masks, data)
    known = [index for index in range(len(data)) if data.tags[index].any() and data.ids[index] in truth.paths]
    indices = sorted(np.random.default_rng(0).permutation(known)[: arguments.images].tolist())
    overlap, explained = counted(run, data, truth, indices)
    own, every = overlap["the run's own"], np.arange(len(indices))
    print(f"| other masks | mIoU | without truth | {' | '.join(f'{count} true masks' for count in arguments.counts)} |")
    print("|---" * (3 + len(arguments.counts)) + "|")
    for other, counts in overlap.items():
        free = np.where(explained[other] > explained["the run's own"], iou(counts, every), iou(own, every))
        cells = [spread(chosen_by_truth(own, counts, count)) for count in arguments.counts]
        print(f"| {other} | {np.nanmean(iou(counts, every)):.1f} | {np.nanmean(free):.1f} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
