"""Whether it is known where a class ends: by how much its masks depend on the threshold, and their true IoU.

    python benchmarks/edges.py RUN --masks DIR [RUN --masks DIR ...]

RUN is a finished run. The first number is the one that the verdict looks at (docs/measurements/verdicts.md): how many
times smaller the mask of an image would be, were the threshold half way to the highest score. Value k of a mask is line
k of the run's classes.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from ktse.data.masks import open_truth
from ktse.job import Job
from ktse.quality.metrics import Confusion
from ktse.run_folder import RunFolder
from ktse.stages.facts import MaskFacts
from ktse.stages.levels import levelled_scores


def main() -> None:
    """Print a row for each class of each run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, nargs="+")
    parser.add_argument("--masks", type=Path, action="append", required=True, help="as many as runs, in their order")
    arguments = parser.parse_args()
    print("| run | class | times smaller: median (quartiles) | images | IoU |\n|---|---|---|---|---|")
    for folder, masks in zip(arguments.run, arguments.masks, strict=True):
        run = RunFolder.existing(folder)
        data = Job(run, run.read_recipe()).data
        truth, threshold = open_truth(masks, data), float(run.summary("masks")["threshold"])
        found, confusion = MaskFacts(len(data.classes)), Confusion(len(data.classes))
        for name, tags in zip(data.ids, data.tags, strict=True):
            if tags.any():
                found.add_scores(*levelled_scores(run, name)[:2], threshold)
            if name in truth:
                confusion.add(truth.read(name), run.mask(name))
        for index, name in enumerate(data.classes):
            values = np.array(found.shrinks[index] or [np.nan])
            low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
            iou = 100 * confusion.iou[index + 1]
            print(f"| {run.root.name} | {name} | {middle:.1f} ({low:.1f} to {high:.1f}) | {len(values)} | {iou:.0f} |")


if __name__ == "__main__":
    main()
