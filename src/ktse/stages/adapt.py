"""adapt: let the segmentation model learn from the masks that a person has corrected.

The model goes on from what the tags have taught it, for a few steps, in which most images are corrected ones. So a
handful of right masks is not lost among many rough ones, and is learned within half a minute.
"""

from __future__ import annotations

from functools import partial

from ktse.data.dataset import TaggedImages
from ktse.data.masks import Corrections
from ktse.files import write_json
from ktse.models.segmenter import Segmenter, describe
from ktse.models.weights import require_finite, save_model
from ktse.recipe import COMPUTE, ComputeRecipe, SegmentRecipe
from ktse.run_folder import RunFolder
from ktse.runtime.console import say
from ktse.runtime.fabric import make_fabric
from ktse.runtime.words import many
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


class AdaptTask(SegmentTask):
    """A short training on corrected images, and on some of the others, so that nothing is forgotten."""

    epoch = 0

    def images(self) -> list[int]:
        """Indices of the images of an epoch; none without a corrected image."""
        return images_of(self.epoch, self.data, self.corrections, self.recipe, self.compute)

    def plan(self, state: State) -> EpochPlan | None:
        """Every epoch alike, the learning rate falling to nothing; none without a corrected image."""
        self.epoch = state.epoch
        if state.epoch >= EPOCHS or not self.images():
            return None
        terms = {"cross_entropy": 1.0} | ({"agreement": 1.0} if self.recipe.method == "beco" else {})
        loader = partial(self.loader, state.epoch)

        def lr(progress: float) -> float:
            return SLOWER * poly((state.epoch + progress) / EPOCHS)

        return EpochPlan("adapt", self.recipe.batch_size, lambda _: terms, lr, MOMENTUM, loader, EPOCHS)

    def end_epoch(self, state: State) -> EpochEnd:
        """Say the mean loss of the first and the last."""
        text = f"epoch {state.epoch} of {EPOCHS}: loss {self.mean_loss(state):.3f}"
        return EpochEnd(text if state.epoch in (1, EPOCHS) else "")


def images_of(
    epoch: int, data: TaggedImages, corrections: Corrections, recipe: SegmentRecipe, compute: ComputeRecipe
) -> list[int]:
    """Indices of the images of an epoch, some of them several times; none without a corrected image."""
    corrected = corrected_images(data, corrections)
    others = sorted(set(data.training.tolist()) - set(corrected))
    count = STEPS * recipe.batch_size if corrected else 0
    return mostly(corrected, others, SHARE, count, compute.random_seed + epoch)


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
    """Write adapt/model.safetensors and adapt/summary.json; an interrupted call goes on where it stopped.

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
    corrected = len(corrected_images(data, corrections))
    rest = len(corrections) - corrected
    apart = f"; {many(rest, 'is of an image', 'are of images')} kept out of training" if rest else ""
    say(f"adapt: {many(corrected, 'corrected mask')}{apart}")
    folder, fabric, key = run.path("adapt"), make_fabric(compute.precision), {"key": run.key("adapt")}
    learned = corrections.contents()
    model, _ = load_model(run.own(run.path("segment", "model.safetensors")))
    networks = [model] if isinstance(model, Segmenter) else [model.first, model.second]
    learner, groups = to_train(networks, recipe)
    seen = features_to_learn_from(run, data, recipe, learner, compute, fabric)
    if seen is not None:  # those of photos that were copied since are of no use, and most images are seen many times
        used = {i for epoch in range(EPOCHS) for i in images_of(epoch, data, corrections, recipe, compute)}
        seen.fill(sorted(used), "adapt")
    task = AdaptTask(run, data, recipe, learner, corrections, compute, seen)
    seed, rule = compute.random_seed, rule_of(recipe)
    fit(task, groups, fabric, folder, random_seed=seed, clip=recipe.clip, label="adapt", rule=rule, **key)
    result = learner.result()
    require_finite(result.state_dict())
    if fabric.global_rank == 0:
        write_json(folder / "summary.json", {"learned": learned, **key})
        save_model(folder / "model.safetensors", result.state_dict(), describe(recipe, result, data.classes) | key)
    fabric.barrier()
