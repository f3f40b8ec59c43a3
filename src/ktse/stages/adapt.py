"""adapt: let the segmentation model learn from the masks that a person has corrected.

The model goes on from what the tags have taught it, for a few steps, in which most images are corrected ones. So a
handful of right masks is not lost among many rough ones, and is learned within half a minute.

Corrected masks then say how masks and model are best fused. They would flatter a model that has learned from them, so
that two more models learn from half of them each, for fewer steps, and are judged by the other half.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from lightning_fabric import Fabric
from PIL import Image

from ktse.data.dataset import TaggedImages
from ktse.data.masks import Corrections
from ktse.files import label_type, write_json
from ktse.models.segmenter import Segmenter, describe
from ktse.models.weights import require_finite, save_model
from ktse.quality.metrics import Confusion
from ktse.recipe import COMPUTE, ComputeRecipe, PredictRecipe, SegmentRecipe
from ktse.run_folder import RunFolder
from ktse.runtime.console import say
from ktse.runtime.fabric import make_fabric
from ktse.runtime.words import many
from ktse.stages.calibration import calibrated_threshold
from ktse.stages.fused import PIXELS, Fusing, fused_labels
from ktse.stages.predict import run_predictor
from ktse.stages.segment import features_to_learn_from, load_model, rule_of, to_train
from ktse.stages.segment_task import MOMENTUM, SegmentTask
from ktse.training.batches import mostly
from ktse.training.loop import fit
from ktse.training.task import EpochEnd, EpochPlan, State, poly

EPOCHS, STEPS = 10, 10
"""Epochs, and steps of each, whatever the number of images; each epoch shows an image mirrored or not."""

SHARE = 0.9
"""Share of corrected images in a batch."""

SLOWER = 0.75
"""Where the learning rate begins, times segment.lr."""

JUDGES = 6
"""Corrected masks from which on they say how masks and model are fused."""

JUDGED_EPOCHS = 4
"""Epochs of the models that are judged."""

WEIGHTS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 1.0)
"""Weights of the model in fused masks that are compared: up to all, since it has learned from right masks."""

ALIKE = 0.01
"""Difference of mIoU below which a handful of masks does not tell one weight from another."""


class AdaptTask(SegmentTask):
    """A short training on corrected images, and on some of the others, so that nothing is forgotten."""

    epochs, epoch = EPOCHS, 0

    def images(self) -> list[int]:
        """Indices of the images of an epoch; none without a corrected image."""
        corrected = corrected_images(self.data, self.corrections)
        others = sorted(set(self.data.training.tolist()) - set(corrected))
        count = STEPS * self.recipe.batch_size if corrected else 0
        return mostly(corrected, others, SHARE, count, self.compute.random_seed + self.epoch)

    def plan(self, state: State) -> EpochPlan | None:
        """Every epoch alike, the learning rate falling to nothing; none without a corrected image."""
        self.epoch = state.epoch
        if state.epoch >= self.epochs or not self.images():
            return None
        terms = {"cross_entropy": 1.0} | ({"agreement": 1.0} if self.recipe.method == "beco" else {})
        loader = partial(self.loader, state.epoch)

        def lr(progress: float) -> float:
            return SLOWER * poly((state.epoch + progress) / self.epochs)

        return EpochPlan("adapt", self.recipe.batch_size, lambda _: terms, lr, MOMENTUM, loader, self.epochs)

    def end_epoch(self, state: State) -> EpochEnd:
        """Say the mean loss of the first and the last."""
        first_or_last = state.epoch in (1, self.epochs)
        text = f"epoch {state.epoch} of {self.epochs}: loss {self.mean_loss(state):.3f}"
        return EpochEnd(text if first_or_last else "")


def corrected_images(data: TaggedImages, corrections: Corrections) -> list[int]:
    """Indices of the training images that a person has corrected."""
    return [index for index in data.training.tolist() if data.ids[index] in corrections]


def adapt(
    run: RunFolder,
    data: TaggedImages,
    recipe: SegmentRecipe,
    corrections: Corrections,
    compute: ComputeRecipe = COMPUTE,
) -> None:
    """Write adapt/model.safetensors, and adapt/fusing.json; an interrupted call goes on where it stopped.

    Args:
        run: run folder with masks and a segmentation model.
        data: images.
        recipe: the settings of the segmentation model.
        corrections: masks that a person has corrected; those of images that are kept out of training are not used.
        compute: random numbers, precision and processes.

    Raises:
        DataError: some corrections cannot be used; nothing is trained.
        CollapseError: training collapsed; the model without corrections stays.
    """
    names = [data.ids[index] for index in corrected_images(data, corrections)]
    rest = len(corrections) - len(names)
    apart = f"; {many(rest, 'is of an image', 'are of images')} kept out of training" if rest else ""
    say(f"adapt: {many(len(names), 'corrected mask')}{apart}")
    lesson = Lesson(run, data, recipe, corrections.only(names), compute, make_fabric(compute.precision))
    lesson.learn(names, run.path("adapt"), EPOCHS)
    if len(names) >= JUDGES:
        lesson.choose_fusing(names)
    lesson.fabric.barrier()


@dataclass(frozen=True)
class Lesson:
    """What a run's model learns from corrected masks.

    Attributes:
        run: run folder with masks and a segmentation model.
        data: images.
        recipe: the settings of the segmentation model.
        corrections: of training images.
        compute: random numbers, precision and processes.
        fabric: device and precision.
    """

    run: RunFolder
    data: TaggedImages
    recipe: SegmentRecipe
    corrections: Corrections
    compute: ComputeRecipe
    fabric: Fabric

    def learn(self, names: Sequence[str], folder: Path, epochs: int) -> None:
        """Train the model of segment on with the corrections of these images, and write it into a folder."""
        run, data, recipe, compute = self.run, self.data, self.recipe, self.compute
        model, _ = load_model(run.own(run.path("segment", "model.safetensors")))
        networks = [model] if isinstance(model, Segmenter) else [model.first, model.second]
        learner, groups = to_train(networks, recipe)
        seen = features_to_learn_from(run, data, recipe, learner, compute, self.fabric)
        task = AdaptTask(run, data, recipe, learner, self.corrections.only(names), compute, seen)
        task.epochs = epochs
        key: dict[str, Any] = {"key": run.key("adapt")}
        seed, rule = compute.random_seed, rule_of(recipe)
        fit(task, groups, self.fabric, folder, random_seed=seed, clip=recipe.clip, label="adapt", rule=rule, **key)
        result = learner.result()
        require_finite(result.state_dict())
        if self.fabric.global_rank == 0:
            save_model(folder / "model.safetensors", result.state_dict(), describe(recipe, result, data.classes) | key)
        self.fabric.barrier()

    def choose_fusing(self, names: Sequence[str]) -> None:
        """Write adapt/fusing.json: thresholds and the model's weight with which fused masks meet corrections best."""
        fusing, confusions = self._levels(), [Confusion(len(self.data.classes)) for _ in WEIGHTS]
        halves = names[::2], names[1::2]
        for number, (taught, judges) in enumerate((halves, halves[::-1])):
            folder = self.run.path("adapt", f"half-{number}")
            self.learn(taught, folder, JUDGED_EPOCHS)
            if self.fabric.global_rank == 0:
                self._judge(folder / "model.safetensors", fusing, judges, confusions)
        if self.fabric.global_rank > 0:
            return
        for folder in self.run.path("adapt").glob("half-*"):
            shutil.rmtree(folder)
        if not confusions[0].counts.any():  # undecided everywhere, corrections judge nothing
            return
        scores = [round(confusion.miou, 4) for confusion in confusions]
        found: dict[str, Any] = {"weight": middle_of_best(scores)}
        found["weight_source"] = f"where {many(len(names), 'corrected mask')} are met best"
        found |= {"threshold": fusing.threshold, "own": fusing.own, "images": len(names)}
        found |= {"miou": dict(zip(map(str, WEIGHTS), scores, strict=True)), "key": self.run.key("adapt")}
        write_json(self.run.path("adapt", "fusing.json"), found)

    def _levels(self) -> Fusing:
        """The thresholds that suit corrected masks, unless masks to calibrate with, or the dense CRF, decide."""
        summary = self.run.summary("masks")
        if summary["threshold_kind"] in ("calibrated", "crf"):
            return Fusing(float(summary["threshold"]), 0.0)
        suited = calibrated_threshold(self.data, self.corrections, self.run.scores)
        levelled = 0 < suited.threshold < 1 and any(value != suited.threshold for value in suited.own)
        return Fusing(suited.threshold, 0.0, suited.own if levelled else ())

    def _judge(self, model: Path, fusing: Fusing, names: Sequence[str], confusions: Sequence[Confusion]) -> None:
        """Compare fused masks of images, at each weight, with what a person has drawn."""
        how = PredictRecipe(scales=(1.0,), flip=False, long_side=self.recipe.long_side[1])
        predictor, read = run_predictor(self.run, self.data, model, how, self.recipe, self.compute)
        places = {name: index for index, name in enumerate(self.data.ids)}
        for name in names:
            image = read(places[name], PIXELS)
            _, labels = fused_labels(self.run, name, image, predictor, fusing, WEIGHTS)
            true = self.corrections.read(name, label_type(len(self.data.classes)))
            drawn = np.array(Image.fromarray(true).resize(image.size, Image.Resampling.NEAREST))
            for confusion, label in zip(confusions, labels, strict=True):
                confusion.add(drawn, label)


def middle_of_best(scores: Sequence[float]) -> float:
    """The middle one of the weights that are as good as the best one, as far as a handful of masks can tell.

    Args:
        scores: mIoU in 0..1 at each of WEIGHTS.
    """
    good = [weight for weight, score in zip(WEIGHTS, scores, strict=True) if score >= max(scores) - ALIKE]
    return good[len(good) // 2]
