"""What a prediction's confidence is worth: its rank correlation with the true mIoU, beside the mean over all pixels.

    OMP_NUM_THREADS=1 python benchmarks/confidence.py RUN [RUN ...] --images 200 [--masks DIR]

A run needs a segmentation model and true masks. Images are drawn at random from those that have one: of images kept out
of training, if there are any. The true mIoU of an image is the mean over the classes that it holds or is said to hold.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from ktse.data.masks import open_truth
from ktse.job import Job
from ktse.prediction.predictor import Predictor
from ktse.quality.metrics import Confusion
from ktse.refinement.confidence import rank_correlation
from ktse.run_folder import RunFolder
from ktse.stages.predict import TorchModel


def measure(root: Path, images: int, masks: Path | None) -> None:
    """Print a row of the table."""
    run = RunFolder.existing(root)
    job = Job(run, run.read_recipe())
    data, truth = job.data, open_truth(masks, job.given.images) if masks else job.given.truth
    if truth is None:
        raise SystemExit(f"{root} was made without true masks: give --masks")
    kept_out = data.validation.any()
    known = [i for i, name in enumerate(data.ids) if name in truth.paths and (data.validation[i] or not kept_out)]
    predictor = Predictor(
        TorchModel(run.path("segment", "model.safetensors"), job.recipe.compute.precision), job.recipe.predict
    )
    found = []
    for index in np.random.default_rng(0).permutation(known)[:images].tolist():
        said = predictor.predict(data.read(index), probabilities=True)
        if said.probabilities is None:
            raise ValueError("probabilities were asked for")
        confusion = Confusion(len(data.classes))
        confusion.add(truth.read(data.ids[index]), said.label)
        found.append((confusion.miou_said, said.confidence, said.probabilities.max(axis=0).mean()))
    true, confidence, mean = np.array(found).T
    worth = [rank_correlation(values, true) for values in (confidence, mean)]
    print(f"| {root.name} | {len(found)}{' kept out' if kept_out else ''} | ", end="")
    print(" | ".join("–" if value is None else f"{value:.2f}" for value in worth), "|", flush=True)


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--masks", type=Path, default=None, help="true masks, if the run has none")
    arguments = parser.parse_args()
    print("| run | images | confidence | mean over all pixels |\n|---|---|---|---|")
    for root in arguments.runs:
        measure(root, arguments.images, arguments.masks)


if __name__ == "__main__":
    main()
