"""What a recipe gives and costs: quality on images kept out of training, and processor time per image and stage.

    python benchmarks/recipe.py IMAGES --tags CSV --masks DIR --out DIR [--weights FILE] [--recipe fast]
                                [--random-seeds 0 1 2] [--set classify.epochs=9]

A recipe keeps a tenth of the images out; --set data.validation=0.3 keeps out more. Masks are used for measuring alone.
Value k of a mask is line k of the classes file (--set data.classes=FILE), or the k-th name in alphabetical order.
Each random seed is a run of its own, which is not repeated once it is finished.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import subprocess
import sys
import time
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
import torch

import ktse
from ktse.data.masks import Truth, open_truth
from ktse.files import read_json, read_label_map, write_json
from ktse.job import Job
from ktse.quality.metrics import Confusion
from ktse.run_folder import RunFolder

KINDS = {"masks": RunFolder.mask_path, "fused masks": RunFolder.fused_path, "predictions": RunFolder.prediction_path}


def one(folder: Path, arguments: argparse.Namespace, random_seed: int) -> dict[str, Any]:
    """Run the recipe with a random seed, unless that is done; what it took and what it gave."""
    stored = folder.with_suffix(".json")
    if not stored.is_file():
        settings = [f"--{setting}" for setting in arguments.set]
        command = [sys.executable, "-m", "ktse", "run", arguments.images, "--tags", arguments.tags, "--out", folder]
        command += ["--recipe", arguments.recipe, "--weights", arguments.weights, *settings]
        command += [f"--compute.random_seed={random_seed}"]
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        subprocess.run([str(word) for word in command], check=True, stdout=subprocess.DEVNULL)
        after, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic() - start
        processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        write_json(stored, {"wall": wall, "processor": processor, **measured(RunFolder(folder), arguments.masks)})
    return dict(read_json(stored))


def measured(run: RunFolder, masks: Path) -> dict[str, Any]:
    """Quality of each kind of result (mIoU in per cent), on all images with a mask and on those kept out."""
    data = Job(run, run.read_recipe()).data
    truth = open_truth(masks, data)
    apart = data.take(np.flatnonzero(data.validation)).ids
    found: dict[str, Any] = {"images": len(data), "seeds": ktse.evaluate(run.root, masks=masks)["seed"]["miou"]}
    for kind, path in KINDS.items():
        found[kind] = miou(run, path, truth, data.ids, len(data.classes))
        found[f"{kind}, kept out"] = miou(run, path, truth, apart, len(data.classes))
    return found


def miou(run: RunFolder, path: Any, truth: Truth, ids: tuple[str, ...], classes: int) -> float | None:
    """Mean IoU, in per cent, over images that have a true mask; None if there are none."""
    confusion, known = Confusion(classes), [name for name in ids if name in truth.paths]
    for name in known:
        confusion.add(truth.read(name), read_label_map(path(run, name)))
    return round(100 * confusion.miou, 2) if known else None


def spread(values: list[float | None]) -> str:
    """Mean, and the standard deviation of several."""
    known = [value for value in values if value is not None]
    if not known:
        return "-"
    return f"{mean(known):.1f}" + (f" ± {stdev(known):.1f}" if len(known) > 1 else "")


def main() -> None:
    """Run every random seed and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path)
    parser.add_argument("--tags", type=Path, required=True)
    parser.add_argument("--masks", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--weights", default="hub")
    parser.add_argument("--recipe", default="fast")
    parser.add_argument("--random-seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE")
    arguments = parser.parse_args()
    results = [one(arguments.out / f"{number}", arguments, number) for number in arguments.random_seeds]
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}")
    print(f"recipe {arguments.recipe} {' '.join(arguments.set)}, {results[0]['images']} images\n")
    print("| | all images | kept out of training |\n|---|---|---|")
    for kind in ("seeds", *KINDS):
        both = ([result.get(name) for result in results] for name in (kind, f"{kind}, kept out"))
        print(f"| {kind} | {' | '.join(map(spread, both))} |")
    for name in ("processor", "wall"):
        seconds = [result[name] / result["images"] for result in results]
        print(f"\n{name} seconds per image: {mean(seconds):.2f} (each {', '.join(f'{one:.2f}' for one in seconds)})")
    stages = [RunFolder(arguments.out / f"{number}").manifest() for number in arguments.random_seeds]
    print("\n| stage | wall seconds per image |\n|---|---|")
    for stage in stages[0]:
        taken = mean(manifest[stage]["seconds"] for manifest in stages) / results[0]["images"]
        print(f"| {stage} | {taken:.3f} |")


if __name__ == "__main__":
    main()
