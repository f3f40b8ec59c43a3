"""Ways of learning from noisy masks, at equal budget: segmentation models trained on the same masks of a finished run.

    python benchmarks/noisy_masks.py RUN [--out DIR] [--seeds 3] [--arms hard soft beco] [--set segment.epochs=12]

RUN has masks, images kept out of training (data.validation or a list), and true masks (its own, or --masks). Nothing
in it is changed. Prints the mIoU of predictions without tags on the images kept out, which no arm has seen, next to
that of the run's masks on the same images, which were made with tags, and that of the same model among these tags,
which tells apart whether it misses what is there or where it is. The budget is the number of times that a network
sees an image: BECO, which trains two networks, gets half of the epochs (unless --same-epochs), and a warm-up of at
most a third of them. Beyond that it computes labels without a gradient, which the measured seconds show. An arm that
is finished is not repeated.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import platform
import shutil
import time
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
import torch
import yaml

from ktse.data.dataset import TaggedImages
from ktse.data.masks import Truth, open_truth
from ktse.files import read_json, read_label_map, write_json
from ktse.job import Job
from ktse.quality.metrics import Confusion
from ktse.recipe import Recipe, SegmentRecipe
from ktse.recipe.load import merged, recipe_from_dict, to_dict
from ktse.run_folder import RunFolder
from ktse.stages.predict import predict
from ktse.stages.segment import segment

ARMS: dict[str, dict[str, Any]] = {
    "hard": {},
    "beco": {"method": "beco"},
    "beco without boundary": {"method": "beco", "beco.mix": 0.0, "beco.boundary_weight": 0.0},
    "beco, all of it warm-up": {"method": "beco", "beco.warmup": 1000},
}
"""Each arm with what it changes in the segment settings.

Without pasting there is no boundary; while all of it is warm-up, labels are the masks' and never the networks' own.
"""

SHARED = ("masks", "confident", "classify")


def recipe_of(base: Recipe, changes: dict[str, Any], same_epochs: bool) -> SegmentRecipe:
    """The settings of an arm at the budget of the run's own, or with as many epochs."""
    settings = {f"segment.{key}": value for key, value in {"method": "single", "corrections": "", **changes}.items()}
    recipe = recipe_from_dict(merged(to_dict(base), settings)).segment
    if recipe.method != "beco":
        return recipe
    epochs = recipe.epochs if same_epochs else max(1, recipe.epochs // 2)
    warmup = epochs if "beco.warmup" in changes else min(recipe.beco.warmup, epochs // 3)
    return dataclasses.replace(recipe, epochs=epochs, beco=dataclasses.replace(recipe.beco, warmup=warmup))


def one(
    run: RunFolder, folder: Path, data: TaggedImages, truth: Truth, base: Recipe, recipe: SegmentRecipe, seed: int
) -> Any:
    """Train and predict in a folder that shares the run's masks; the measures of an arm with one seed."""
    begun, stored = folder / "settings.json", folder / "result.json"
    compute = dataclasses.replace(base.compute, random_seed=seed)
    settings = {
        "segment": to_dict(recipe),
        "compute": to_dict(compute),
        "predict": to_dict(base.predict),
        "data": to_dict(base.data),
    }
    if begun.is_file() and read_json(begun) == settings:
        if stored.is_file():
            return read_json(stored)
    elif folder.exists():
        shutil.rmtree(folder)  # of other settings: neither to be believed nor gone on with
    write_json(begun, settings)
    for name in SHARED:
        if run.path(name).is_dir() and not (folder / name).exists():
            (folder / name).symlink_to(run.path(name).resolve())
    arm, start = RunFolder(folder), time.monotonic()
    segment(arm, data, recipe, compute=compute)
    seconds = time.monotonic() - start
    kept_out = data.take(np.flatnonzero(data.validation))
    predict(arm, kept_out, dataclasses.replace(base.predict, fuse=1.0), compute=compute)
    result = {
        "seconds": seconds, "miou": miou(arm.prediction_path, kept_out, truth),
        "among_tags": miou(arm.fused_path, kept_out, truth),
    }  # fmt: skip
    write_json(stored, result)
    return result


def miou(path: Any, data: TaggedImages, truth: Truth) -> float:
    """Mean IoU in per cent of the label maps of images that have a true mask."""
    confusion = Confusion(len(data.classes))
    for name in data.ids:
        if name in truth.paths:
            confusion.add(truth.read(name), read_label_map(path(name)))
    return 100 * confusion.miou


def spread(values: list[float]) -> str:
    """Mean, and the standard deviation of several."""
    return f"{mean(values):.1f}" + (f" ± {stdev(values):.1f}" if len(values) > 1 else "")


def main() -> None:
    """Train every arm with every seed and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--out", type=Path, default=None, help="without it, RUN-noisy-masks")
    parser.add_argument("--masks", type=Path, default=None, help="true masks, if the run has none")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=list(ARMS))
    parser.add_argument("--same-epochs", action="store_true", help="BECO trains for as many epochs as the others")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="segment and predict settings")
    arguments = parser.parse_args()
    run = RunFolder.existing(arguments.run)
    given = {key: yaml.safe_load(value) for key, value in (pair.split("=", 1) for pair in arguments.set)}
    job = Job(run, recipe_from_dict(merged(to_dict(run.read_recipe()), given)))
    data, truth = job.data, job.given.truth
    if arguments.masks:
        truth = open_truth(arguments.masks, job.given.images)
    kept_out = data.take(np.flatnonzero(data.validation))
    if truth is None or not truth.take(kept_out.ids).paths:
        raise SystemExit("no image that was kept out of training has a true mask")
    out = arguments.out or run.root.with_name(f"{run.root.name}-noisy-masks")
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}")
    print(
        f"{run.root.name}: {len(data.training)} images trained on, {len(truth.take(kept_out.ids).paths)} kept out and "
        f"measured; {job.recipe.segment.epochs} epochs, seeds {arguments.seeds} {' '.join(arguments.set)}\n"
    )
    print("| learned by | mIoU % without tags, kept out | against hard | among their tags | seconds |")
    print("|---|---|---|---|---|")
    print(f"| the masks themselves (with tags) | - | - | {miou(run.mask_path, kept_out, truth):.1f} | - |", flush=True)
    plain: list[float] = []
    for arm in arguments.arms:
        recipe = recipe_of(job.recipe, ARMS[arm], arguments.same_epochs)
        folder = out / arm.replace(",", "").replace(" ", "-")
        results = [
            one(run, folder / str(seed), data, truth, job.recipe, recipe, seed) for seed in range(arguments.seeds)
        ]
        found = [result["miou"] for result in results]
        plain = found if arm == "hard" else plain
        gain = spread([own - base for own, base in zip(found, plain, strict=True)]) if plain and arm != "hard" else "-"
        seconds = mean(result["seconds"] for result in results)
        tagged = spread([result["among_tags"] for result in results])
        print(f"| {arm} | {spread(found)} | {gain} | {tagged} | {seconds:.0f} |", flush=True)


if __name__ == "__main__":
    main()
