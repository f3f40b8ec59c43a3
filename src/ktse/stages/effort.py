"""What each stage of a run takes in comparison with the others, for the estimate of the time that is left."""

from __future__ import annotations

from ktse.recipe import Recipe

# Seconds for a megapixel on two cores with a small network; only their ratios matter.
TRAIN, LOOK, REFINE, HEAD = 3.0, 0.7, 0.1, 0.12

IMAGE = 0.03
"""Seconds for what is done once with an image: reading, measuring, writing."""


def effort(recipe: Recipe, images: int, training: int, stages: tuple[str, ...]) -> dict[str, float]:
    """Work of each stage, in seconds of an imagined machine. A rough one: networks of one run are alike in size.

    Args:
        recipe: settings.
        images: number of images.
        training: how many of them are trained on.
        stages: the stages of the run, in order.
    """
    seed, predict = recipe.seed, recipe.predict
    mean = sum(recipe.classify.long_side) // 2
    seen = images * (1 + seed.flip) * _square(seed.long_side or mean) * sum(scale**2 for scale in seed.scales)
    applied = images * (1 + predict.flip) * _square(predict.long_side or mean) * sum(s**2 for s in predict.scales)
    refined = images * len(recipe.refine.method) * recipe.refine.iterations * _square(seed.long_side or mean)
    work = {"seed": LOOK * seen, "predict": LOOK * applied, "refine": REFINE * refined}
    epochs = {"classify": recipe.classify.epochs, "affinity": recipe.affinity.epochs}
    for stage, count in {**epochs, "segment": recipe.segment.passes(training)}.items():
        work[stage] = TRAIN * (training * count * _square(getattr(recipe, stage).crop))
    if recipe.classify.on_features:
        learned = HEAD * recipe.classify.epochs * max(training, recipe.classify.least_images)
        work["classify"] = _square(recipe.classify.long_side[1]) * (LOOK * training + learned)
    if recipe.segment.on_features:
        learned = HEAD * recipe.segment.passes(training) * max(training, recipe.segment.least_images)
        work["segment"] = _square(recipe.segment.long_side[1]) * learned
    return {stage: work.get(stage, 0.0) + IMAGE * images for stage in stages}


def _square(side: int) -> float:
    """Megapixels of a square."""
    return (side / 1000) ** 2
