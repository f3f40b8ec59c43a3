"""What twenty corrected masks teach: quality of a run before and after, on images that nobody has corrected.

    python benchmarks/corrections.py RUN --masks DIR --out DIR [--count 20] [--random-seeds 0 1 2]

RUN is a finished run. Its images are corrected by their true masks, those first that the review page shows first, or,
for comparison, as many by chance; copies of the run learn from them. All measures are of the other images: all of
them, and those that the run keeps out of training. Value k of a mask is line k of the run's classes.
"""

from __future__ import annotations

import argparse
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np

import ktse
from ktse.data.dataset import TaggedImages
from ktse.data.masks import Truth, open_truth
from ktse.files import read_label_map, write_label_map
from ktse.job import Job
from ktse.quality.metrics import Confusion
from ktse.reviewing.order import by_gain
from ktse.run_folder import RunFolder
from recipe import spread

KINDS = {"predictions": RunFolder.prediction_path, "fused masks": RunFolder.fused_path}


def chosen(run: RunFolder, data: TaggedImages, truth: Truth, count: int, random_seed: int | None) -> list[str]:
    """Images to correct: the first of the review page, or some by chance; all have tags, a true mask, and train."""
    order = by_gain(data, run.confidence("masks"), ())
    fine = [i for i in order if data.ids[i] in truth.paths and not data.validation[i] and shows_a_tag(data, truth, i)]
    if random_seed is not None:
        fine = np.random.default_rng(random_seed).permutation(fine).tolist()
    return [data.ids[index] for index in fine[:count]]


def shows_a_tag(data: TaggedImages, truth: Truth, index: int) -> bool:
    """Whether a true mask has a pixel of its image's tags; another one is no correction."""
    return bool(np.isin(truth.read(data.ids[index]), np.flatnonzero(data.tags[index]) + 1).any())


def measured(run: RunFolder, data: TaggedImages, truth: Truth, without: set[str]) -> dict[str, float | None]:
    """MIoU in per cent of predictions and fused masks, on all other images and on those kept out of training."""
    apart = {data.ids[index] for index in np.flatnonzero(data.validation)}
    found = {}
    for kind, path in KINDS.items():
        for group, names in {"": set(data.ids) - without, ", kept out": apart - without}.items():
            confusion = Confusion(len(data.classes))
            for name in sorted(names & truth.paths.keys()):
                confusion.add(truth.read(name), read_label_map(path(run, name)))
            found[kind + group] = 100 * confusion.miou if confusion.counts.any() else None
    return found


def corrected(run: RunFolder, out: Path, truth: Truth, names: list[str]) -> tuple[RunFolder, float, float]:
    """A copy of the run that has learned from corrections; wall and processor seconds of learning."""
    copy, drawn = out / "run", out / "corrections"
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(run.root, copy)
    for name in names:
        write_label_map(drawn / f"{name}.png", truth.read(name))
    wall, processor = time.monotonic(), time.process_time()
    ktse.adapt(copy, corrections=drawn)
    spent = time.monotonic() - wall, time.process_time() - processor
    ktse.predict(copy)
    return RunFolder(copy), *spent


def main() -> None:
    """Print a table: quality before, after the page's own choice, and after a choice by chance."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--masks", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--random-seeds", type=int, nargs="+", default=[0, 1, 2])
    arguments = parser.parse_args()
    run = RunFolder.existing(arguments.run)
    data = Job(run, run.read_recipe()).data
    truth = open_truth(arguments.masks, data)
    choices: dict[str, list[list[str]]] = {
        "the page's first": [chosen(run, data, truth, arguments.count, None)],
        "by chance": [chosen(run, data, truth, arguments.count, seed) for seed in arguments.random_seeds],
    }
    rows: dict[str, list[dict[str, Any]]] = {"before": [measured(run, data, truth, set())]}
    for title, selections in choices.items():
        for number, names in enumerate(selections):
            after, wall, processor = corrected(run, arguments.out / f"{title[:3]}-{number}", truth, names)
            found = measured(after, data, truth, set(names))
            rows.setdefault(title, []).append({**found, "wall s": wall, "processor s": processor})
    columns = list(rows["by chance"][0])
    print(f"| {arguments.count} corrected | {' | '.join(columns)} |\n|---|{'---|' * len(columns)}")
    for title, values in rows.items():
        cells = [spread([one.get(column) for one in values]) for column in columns]
        print(f"| {title} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
