"""What tags are worth: how many drawn masks a supervised model needs to equal the model that learned from tags.

    python benchmarks/worth.py RUN --masks DIR --out DIR [--counts 10 20 50 100 200] [--random-seeds 0 1 2]

RUN is a finished run of a recipe that learns from features. The same head starts from random values and learns from so
many true masks of images that the run trains on, drawn by chance. All measures are of predictions without tags, for
images that no training has seen, and for all images whose mask was not drawn. Value k of a mask is line k of the run's
classes.
"""

from __future__ import annotations

import argparse
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from corrections import shows_a_tag

from ktse.data.dataset import TaggedImages
from ktse.data.masks import Corrections, Truth, open_truth
from ktse.job import Job
from ktse.models.segmenter import Segmenter, describe
from ktse.models.weights import save_model
from ktse.quality.metrics import Confusion
from ktse.run_folder import RunFolder
from ktse.runtime.fabric import make_fabric
from ktse.stages.predict import run_predictor
from ktse.stages.segment import features_to_learn_from, initial_weights, rule_of, to_train
from ktse.stages.segment_task import SegmentTask
from ktse.training.batches import repeated
from ktse.training.loop import fit
from recipe import spread

STEPS = 200


def supervised(job: Job, truth: Truth, indices: list[int], random_seed: int, out: Path) -> Path:
    """A model of the run's kind that has learned from true masks alone; where it is."""
    run, recipe, compute = job.run, job.recipe.segment, replace(job.recipe.compute, random_seed=random_seed)
    data = job.data.take(np.array(sorted(indices)))
    data = replace(data, validation=np.zeros(len(data), dtype=bool))
    once = len(repeated(data.training.tolist(), recipe.least_images))
    recipe = replace(recipe, epochs=max(1, round(STEPS * recipe.batch_size / once)), most_images=0)
    fabric = make_fabric(compute.precision)
    torch.manual_seed(random_seed)
    network = Segmenter(recipe.architecture, recipe.encoder, len(data.classes), initial_weights(run, recipe))
    learner, groups = to_train([network], recipe)
    seen = features_to_learn_from(run, data, recipe, learner, compute, fabric)
    masks = Corrections(truth.paths, truth.drawn).only(data.ids)
    task = SegmentTask(run, data, recipe, learner, masks, compute, seen)
    shutil.rmtree(out, ignore_errors=True)
    fit(task, groups, fabric, out, random_seed=random_seed, clip=recipe.clip, label="worth", rule=rule_of(recipe))
    path = out / "model.safetensors"
    save_model(path, network.state_dict(), describe(recipe, network, data.classes))
    return path


def measured(job: Job, truth: Truth, model: Path, indices: list[int]) -> float:
    """MIoU in per cent of predictions."""
    recipe, confusion = job.recipe, Confusion(len(job.data.classes))
    predictor, read = run_predictor(job.run, job.data, model, recipe.predict, recipe.segment, recipe.compute)
    for index in indices:
        confusion.add(truth.read(job.data.ids[index]), predictor.predict(read(index, 0)).label)
    return 100 * confusion.miou


def usable(data: TaggedImages, truth: Truth) -> tuple[list[int], list[int]]:
    """Images with a true mask: those that may be drawn, and those that are kept out of training."""
    known = [index for index in range(len(data)) if data.ids[index] in truth.paths]
    drawable = [i for i in known if not data.validation[i] and data.tags[i].any() and shows_a_tag(data, truth, i)]
    return drawable, [index for index in known if data.validation[index]]


def main() -> None:
    """Print a row for each number of masks, and one for the model from tags."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--masks", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--counts", type=int, nargs="+", default=[10, 20, 50, 100, 200])
    parser.add_argument("--random-seeds", type=int, nargs="+", default=[0, 1, 2])
    arguments = parser.parse_args()
    run = RunFolder.existing(arguments.run)
    job = Job(run, run.read_recipe())
    truth = open_truth(arguments.masks, job.data)
    drawable, apart = usable(job.data, truth)
    own = run.path("segment", "model.safetensors")
    print(f"| learned from | kept out, {len(apart)} images | all others |\n|---|---|---|", flush=True)
    print(f"| tags | {measured(job, truth, own, apart):.1f} | {measured(job, truth, own, [*drawable, *apart]):.1f} |")
    for count in arguments.counts:
        if count > len(drawable):
            break
        found: list[tuple[float, float]] = []
        for seed in arguments.random_seeds:
            drawn = np.random.default_rng(seed).permutation(drawable)[:count].tolist()
            model = supervised(job, truth, drawn, seed, arguments.out / f"{count}-{seed}")
            others = sorted({*drawable, *apart} - set(drawn))
            found.append((measured(job, truth, model, apart), measured(job, truth, model, others)))
        cells = [spread(list(values)) for values in zip(*found, strict=True)]
        print(f"| {count} masks | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
