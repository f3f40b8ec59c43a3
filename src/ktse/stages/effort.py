"""What each stage of a run takes in comparison with the others, for the estimate of the time that is left."""

from __future__ import annotations

from ktse.recipe import Recipe

# Seconds for a megapixel on two cores with a small network; only their ratios matter.
TRAIN, LOOK, REFINE = 3.0, 1.8, 0.1

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
    classify, segment, affinity, seed, predict = (
        recipe.classify,
        recipe.segment,
        recipe.affinity,
        recipe.seed,
        recipe.predict,
    )
    passes = {
        "classify": training * classify.epochs * _square(classify.crop),
        "affinity": training * affinity.epochs * _square(affinity.crop),
        "segment": training * segment.passes(training) * _square(segment.crop),
    }
    mean = sum(classify.long_side) // 2
    seen = images * 2 * _square(seed.long_side or mean) * sum(scale**2 for scale in seed.scales)
    applied = images * (1 + predict.flip) * _square(predict.long_side or mean) * sum(s**2 for s in predict.scales)
    refined = images * len(recipe.refine.method) * recipe.refine.iterations * _square(seed.long_side or mean)
    work = {name: TRAIN * pixels for name, pixels in passes.items()}
    work |= {"seed": LOOK * seen, "predict": LOOK * applied, "refine": REFINE * refined}
    return {stage: work.get(stage, 0.0) + IMAGE * images for stage in stages}


def _square(side: int) -> float:
    """Megapixels of a square."""
    return (side / 1000) ** 2
