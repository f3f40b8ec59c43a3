"""The ranges of settings that types cannot express."""

from __future__ import annotations

from collections.abc import Callable

from ktse.errors import RecipeError
from ktse.recipe import ClassifyRecipe, PredictRecipe, Recipe, SegmentRecipe

Need = Callable[[bool, str, str, object], None]
"""Whether a setting is fine, its key, the rule and its value; a setting that is not is remembered."""


def validate(recipe: Recipe) -> None:
    """Check the ranges that types cannot express, all at once.

    Raises:
        RecipeError: settings out of range, each named.
    """
    problems = []

    def need(fine: bool, key: str, rule: str, value: object) -> None:
        if not fine:
            problems.append(f"{key} is {value}, but must be {rule}")

    need(0 <= recipe.data.validation < 1, "data.validation", "in 0..1, below 1", recipe.data.validation)
    need(recipe.data.seed >= 0, "data.seed", "0 or more", recipe.data.seed)
    for name, retries in (("classify", recipe.classify.retries), ("segment", recipe.segment.retries)):
        need(retries >= 0, f"{name}.retries", "0 or more", retries)
    _training(recipe, need)
    _classify(recipe.classify, need)
    _maps(recipe, need)
    _segment(recipe.segment, need)
    _predict(recipe.predict, need)
    if problems:
        raise RecipeError("some settings are out of range", where=problems)


def _training(recipe: Recipe, need: Need) -> None:
    """What the three networks that are trained have in common."""
    for name, stage in (("classify", recipe.classify), ("affinity", recipe.affinity), ("segment", recipe.segment)):
        least = 2 if name == "segment" else 1  # a batch norm over a single value has no spread
        need(stage.epochs >= 1, f"{name}.epochs", "1 or more", stage.epochs)
        need(stage.batch_size >= least, f"{name}.batch_size", f"{least} or more", stage.batch_size)
        need(stage.seed >= 0, f"{name}.seed", "0 or more", stage.seed)
        need(stage.crop >= 32, f"{name}.crop", "32 or more", stage.crop)
        need(stage.lr > 0, f"{name}.lr", "above 0", stage.lr)
        need(0 <= stage.momentum < 1, f"{name}.momentum", "in 0..1", stage.momentum)
        need(
            32 <= stage.long_side[0] <= stage.long_side[1],
            f"{name}.long_side",
            "an increasing range from 32",
            stage.long_side,
        )


def _classify(classify: ClassifyRecipe, need: Need) -> None:
    objective, weights = classify.objective, classify.objective.weights
    need(classify.warmup_batch_size >= 1, "classify.warmup_batch_size", "1 or more", classify.warmup_batch_size)
    need(classify.output_stride in (8, 16, 32), "classify.output_stride", "8, 16 or 32", classify.output_stride)
    need(0 <= classify.warmup <= classify.epochs, "classify.warmup", "in 0..classify.epochs", classify.warmup)
    need(classify.levels >= 1, "classify.levels", "1 or more", classify.levels)
    need(0 <= classify.dropout < 1, "classify.dropout", "in 0..1, below 1", classify.dropout)
    need(classify.frozen_stages >= -1, "classify.frozen_stages", "-1 or more", classify.frozen_stages)
    need(
        classify.pooling == "gpp" or not (weights.attraction or weights.repulsion),
        "classify.pooling",
        "gpp with the weights attraction and repulsion, which compare its pyramid",
        classify.pooling,
    )
    need(classify.keep_every >= 0, "classify.keep_every", "0 or more", classify.keep_every)
    need(
        0 <= objective.background_spread < 1,
        "classify.objective.background_spread",
        "in 0..1, below 1",
        objective.background_spread,
    )
    need(
        0 <= objective.absent_quantile < 1,
        "classify.objective.absent_quantile",
        "in 0..1, below 1",
        objective.absent_quantile,
    )
    need(0 <= objective.pairs <= 1, "classify.objective.pairs", "in 0..1", objective.pairs)
    need(0 < objective.erased <= 1, "classify.objective.erased", "above 0 and at most 1", objective.erased)
    need(0 <= objective.cutmix <= 1, "classify.objective.cutmix", "in 0..1", objective.cutmix)
    need(
        0 < objective.background_low <= objective.background_high < 1,
        "classify.objective.background_low",
        "above 0 and at most background_high",
        objective.background_low,
    )


def _maps(recipe: Recipe, need: Need) -> None:
    """From CAMs to masks."""
    seed, affinity, refine = recipe.seed, recipe.affinity, recipe.refine
    for name, part in (("seed", seed), ("affinity", affinity), ("refine", refine)):
        need(part.pixels == 0 or part.pixels >= 4096, f"{name}.pixels", "0, or 4096 or more", part.pixels)
    need(
        len(seed.scales) > 0 and min(seed.scales) > 0,
        "seed.scales",
        "positive numbers",
        seed.scales,
    )
    need(seed.stride >= 1, "seed.stride", "1 or more", seed.stride)
    need(affinity.radius >= 2, "affinity.radius", "2 or more", affinity.radius)
    need(affinity.output_stride in (8, 16, 32), "affinity.output_stride", "8, 16 or 32", affinity.output_stride)
    need(
        affinity.crop % 4 == 0 and affinity.crop > 8 * (affinity.radius - 1),
        "affinity.crop",
        "a multiple of 4 and more than 8 (affinity.radius - 1)",
        affinity.crop,
    )
    need(
        0 < affinity.background_low <= affinity.background_high < 1,
        "affinity.background_low",
        "above 0 and at most background_high",
        affinity.background_low,
    )
    need(
        len(set(refine.method)) == len(refine.method) and "crf" not in refine.method[:-1],
        "refine.method",
        "a chain of different refiners, crf the last",
        refine.method,
    )
    need(refine.walk_radius >= 2, "refine.walk_radius", "2 or more", refine.walk_radius)
    need(refine.walk_steps >= 0, "refine.walk_steps", "0 or more", refine.walk_steps)
    need(refine.sam_points >= 0, "refine.sam_points", "0 or more", refine.sam_points)
    need(refine.stride >= 1, "refine.stride", "1 or more", refine.stride)
    need(
        refine.threshold == "auto" or 0 <= float(refine.threshold) <= 1,
        "refine.threshold",
        "auto or in 0..1",
        refine.threshold,
    )
    need(
        refine.threshold == "auto" or not refine.calibrate,
        "refine.threshold",
        "auto where refine.calibrate names masks that choose it",
        refine.threshold,
    )


def _segment(segment: SegmentRecipe, need: Need) -> None:
    beco = segment.beco
    need(0 <= segment.doubtful_weight <= 1, "segment.doubtful_weight", "in 0..1", segment.doubtful_weight)
    need(segment.frozen_stages >= -1, "segment.frozen_stages", "-1 or more", segment.frozen_stages)
    need(segment.most_images >= 0, "segment.most_images", "0 or more", segment.most_images)
    need(segment.presence >= 0, "segment.presence", "0 or more", segment.presence)
    need(0 <= segment.ema < 1, "segment.ema", "in 0..1, below 1", segment.ema)
    need(0 <= segment.end_lr <= segment.lr, "segment.end_lr", "in 0..segment.lr", segment.end_lr)
    need(segment.correction_weight > 0, "segment.correction_weight", "above 0", segment.correction_weight)
    need(beco.warmup >= 0, "segment.beco.warmup", "0 or more", beco.warmup)
    need(0 <= beco.online_threshold < 1, "segment.beco.online_threshold", "in 0..1, below 1", beco.online_threshold)
    need(0 <= beco.mix <= 1, "segment.beco.mix", "in 0..1", beco.mix)
    need(beco.boundary_weight >= 0, "segment.beco.boundary_weight", "0 or more", beco.boundary_weight)
    need(beco.boundary_width >= 1, "segment.beco.boundary_width", "1 or more", beco.boundary_width)
    if segment.method == "beco":
        need(segment.targets == "hard", "segment.targets", "hard with segment.method beco", segment.targets)
        need(segment.presence == 0, "segment.presence", "0 with segment.method beco", segment.presence)
        need(
            segment.confidence_weight in ("none", "image"),
            "segment.confidence_weight",
            "none or image with segment.method beco, which has its own use for doubtful pixels",
            segment.confidence_weight,
        )


def _predict(predict: PredictRecipe, need: Need) -> None:
    need(
        len(predict.scales) > 0 and min(predict.scales) > 0,
        "predict.scales",
        "positive numbers",
        predict.scales,
    )
    need(
        predict.fuse == "auto" or 0 <= float(predict.fuse) <= 1,
        "predict.fuse",
        "auto or in 0..1",
        predict.fuse,
    )
    need(predict.tile == 0 or predict.tile >= 64, "predict.tile", "0, or 64 or more", predict.tile)
    need(
        predict.overlap >= 0 and (predict.tile == 0 or predict.overlap <= predict.tile // 2),
        "predict.overlap",
        "0 or more, and at most half of predict.tile",
        predict.overlap,
    )
    need(predict.probabilities >= 0, "predict.probabilities", "0 or more", predict.probabilities)
