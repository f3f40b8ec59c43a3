"""Fused masks at several weights of the model: what they are worth, and what the label-free measure says of them.

    python benchmarks/fusing.py RUN [--masks DIR] [--images 200] [--weights 0 0.1 0.2 0.3 0.4 0.6 1]

RUN has masks, a segmentation model, and true masks (its own, or --masks). Nothing in it is changed. Prints the mIoU of
the fused masks and the share of them that the colours of the images explain, on the same images, drawn by chance. The
weight that `predict.fuse: auto` takes is the one with the largest share; the best mIoU is that of an oracle.
"""

from __future__ import annotations

import argparse
import os
import platform
from pathlib import Path

import numpy as np
import torch

from ktse.data.masks import open_truth
from ktse.job import Job
from ktse.prediction.predictor import Predictor
from ktse.quality.metrics import Confusion
from ktse.refinement.bands import enlarged_rows
from ktse.run_folder import RunFolder
from ktse.segmentation.fusion import fuse
from ktse.stages.fused import WEIGHTS, explained
from ktse.stages.predict import TorchModel


def main() -> None:
    """Fuse and measure, and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--masks", type=Path, default=None, help="true masks, if the run has none")
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--weights", nargs="+", type=float, default=[*WEIGHTS, 0.6, 1.0])
    arguments = parser.parse_args()
    run = RunFolder.existing(arguments.run)
    job = Job(run, run.read_recipe())
    data, truth = job.data, open_truth(arguments.masks, job.given.images) if arguments.masks else job.given.truth
    if truth is None:
        raise SystemExit("the run has no true masks: give --masks")
    known = [index for index, name in enumerate(data.ids) if name in truth.paths and data.tags[index].any()]
    sample = np.sort(np.random.default_rng(0).permutation(known)[: arguments.images]).tolist()
    recipe = job.recipe.predict
    predictor = Predictor(TorchModel(run.path("segment", "model.safetensors"), job.recipe.compute.precision), recipe)
    threshold = float(run.summary("masks")["threshold"])
    confusions = {weight: Confusion(len(data.classes)) for weight in arguments.weights}
    shares: dict[float, list[float]] = {weight: [] for weight in arguments.weights}
    for index in sample:
        image, stored = data.read(index), run.scores(data.ids[index])
        probabilities = predictor.predict(image, probabilities=True).probabilities
        scores, true = enlarged_rows(stored.scores, image.size[::-1], 0, image.height), truth.read(data.ids[index])
        labels = [fuse(stored.keys, scores, threshold, probabilities, weight) for weight in arguments.weights]
        found = explained(image, labels, stored.scores.shape[:0:-1])
        for weight, label, share in zip(arguments.weights, labels, found, strict=True):
            confusions[weight].add(true, label)
            shares[weight].append(float(share))
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}")
    print(f"{run.root.name}: {len(sample)} images with a true mask and a tag, long side {recipe.long_side}\n")
    print("| weight of the model | mIoU % | explained % | against the mask, ± standard error |\n|---|---|---|---|")
    first = np.array(shares[arguments.weights[0]])
    for weight, confusion in confusions.items():
        gain = 100 * (np.array(shares[weight]) - first)
        error = gain.std(ddof=1) / np.sqrt(len(gain))
        mean = 100 * np.mean(shares[weight])
        print(f"| {weight:g} | {100 * confusion.miou:.1f} | {mean:.2f} | {gain.mean():+.2f} ± {error:.2f} |")


if __name__ == "__main__":
    main()
