"""What each stage costs before it is done, in time and on disk: estimates, good to a factor of about two."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, cast

from ktse.recipe import Recipe
from ktse.recipe.masks import REFINE_PIXELS, SEED_PIXELS
from ktse.staleness import Costs, Extent

# Processor seconds for a megapixel, with a small network on a core of 2019.
TRAIN, LOOK, REFINE, HEAD = 3.0, 0.7, 0.1, 0.12

JOINED = 1.84
"""Numbers, per pixel that `fast` sees, from which its CAMs are made: HEAD is the time for these."""

SMALL_NETWORK = 9_000_000
"""Weights of a network up to which a look costs LOOK; a larger one costs in proportion (DINOv2-S and -B, measured)."""

IMAGE = 0.03
"""Processor seconds for what is done once with an image: reading, measuring, writing."""

# Shares of the plain arrays that are left after compression, and bytes a pixel of the label maps, on photos.
CAM, SCORES = 0.7, 0.5
MASK, CONFIDENT, PREDICTION, LABEL = 0.02, 0.035, 0.015, 0.02

PHOTO = 0.75
"""Pixels of a photo per pixel of the square around it."""

SMALL = 1000
"""Bytes of an archive's headers."""

CONTRAST = 1400
"""Bytes of what refine stores of an image besides scores."""

BLOCK = 4096
"""Bytes that a file system gives a file at a time."""

STEP = 450
"""Bytes of the log for a training step."""

REPORT = 4_000_000
"""Bytes of a report with its pictures."""


class EachImageOnce(Costs):
    """A stage that reads each image, measures a little, and keeps nothing large."""

    def work(self, extent: Extent, recipe: Recipe) -> float:
        """Processor seconds."""
        return IMAGE * extent.images


class Report(EachImageOnce):
    """The page with its pictures."""

    def networks(self, extent: Extent, recipe: Recipe) -> int:
        """Bytes of the page."""
        return REPORT


class Classify(EachImageOnce):
    """Training on tags."""

    lower = "classify.batch_size, classify.warmup_batch_size, classify.crop or classify.long_side"

    def work(self, extent: Extent, recipe: Recipe) -> float:
        """Processor seconds."""
        stage = recipe.classify
        once = super().work(extent, recipe)
        if not stage.on_features:
            return once + TRAIN * extent.training * stage.epochs * _square(stage.crop)
        levels = _outline(recipe)[-stage.levels :]
        size = sum(channels for channels, _ in levels) / levels[0][1] ** 2 / JOINED
        learned = HEAD * size * stage.epochs * max(extent.training, stage.least_images)
        return once + _square(stage.long_side[1]) * (_look(stage.backbone) * extent.training + learned)

    def maps(self, extent: Extent, recipe: Recipe) -> Mapping[str, int]:
        """Features, if the network or the model learns from them."""
        if not recipe.classify.on_features and not recipe.segment.on_features:
            return {}
        side = max(recipe.classify.long_side[1], recipe.segment.long_side[1])
        room = recipe.compute.cache * 10**9
        return {"features": _files(extent.images, min(room, _features(recipe) * extent.images * PHOTO * side**2))}

    def networks(self, extent: Extent, recipe: Recipe) -> int:
        """The last checkpoint and that of the warm-up's end; while one is written, both its versions; and the log."""
        from ktse.stages.classify import build  # loads torch

        stage = recipe.classify
        names = tuple(map(str, range(extent.classes)))
        weights, trained = _bytes(build(dataclasses.replace(stage, weights="none"), names))
        later = stage.epochs - stage.warmup
        steps = extent.training * (stage.warmup / stage.warmup_batch_size + later / stage.batch_size)
        return 3 * (weights + trained) + weights + round(STEP * steps)


class Seed(EachImageOnce):
    """CAMs at several scales."""

    lower = "seed.scales, or give seed.long_side"

    def work(self, extent: Extent, recipe: Recipe) -> float:
        """Processor seconds."""
        seed = recipe.seed
        seen = _looks(seed.scales, seed.flip) * _square(_seen_side(recipe))
        return super().work(extent, recipe) + _look(recipe.classify.backbone) * extent.images * seen

    def maps(self, extent: Extent, recipe: Recipe) -> Mapping[str, int]:
        """Two maps for each tag of an image."""
        kept = extent.bounded(SEED_PIXELS) / recipe.seed.stride**2
        return {"seeds": _files(extent.images, CAM * 2 * kept + extent.images * (4 * extent.classes + SMALL))}


class Affinity(EachImageOnce):
    """The boundary network."""

    lower = "affinity.batch_size or affinity.crop"

    def work(self, extent: Extent, recipe: Recipe) -> float:
        """Processor seconds."""
        trained = extent.training * recipe.affinity.epochs * _square(recipe.affinity.crop)
        return super().work(extent, recipe) + TRAIN * trained

    def maps(self, extent: Extent, recipe: Recipe) -> Mapping[str, int]:
        """The labels that it learns from."""
        return {"affinity": _files(extent.images, LABEL * extent.pixels)}

    def networks(self, extent: Extent, recipe: Recipe) -> int:
        """Network and checkpoint."""
        from ktse.models.affinity import AffinityNetwork  # these load torch
        from ktse.stages.affinity import OUTPUT_STRIDE

        learns = recipe.affinity.backbone_lr > 0
        weights, trained = _bytes(AffinityNetwork(recipe.affinity.backbone, OUTPUT_STRIDE, "none", learns))
        return 2 * (weights + trained) + weights


class Refine(EachImageOnce):
    """Scores that follow the image, and masks."""

    lower = "compute.workers, or raise refine.stride"

    def work(self, extent: Extent, recipe: Recipe) -> float:
        """Processor seconds."""
        slow = sum(name != "even" for name in recipe.refine.method)
        refined = slow * recipe.refine.iterations * _square(_seen_side(recipe))
        return super().work(extent, recipe) + REFINE * extent.images * refined

    def maps(self, extent: Extent, recipe: Recipe) -> Mapping[str, int]:
        """Scores (of a CRF also those before it), masks and where they are sure."""
        kept = extent.bounded(REFINE_PIXELS) / recipe.refine.stride**2
        scores = _files(extent.images, SCORES * kept + extent.images * (CONTRAST + SMALL))
        found = {"masks": scores + _files(extent.images, MASK * extent.pixels)}
        found |= {"confident": _files(extent.images, CONFIDENT * extent.pixels)}
        return found | ({"scores": scores} if "crf" in recipe.refine.method else {})


class Segment(EachImageOnce):
    """Training on masks."""

    lower = "segment.batch_size, segment.crop or segment.long_side"

    def work(self, extent: Extent, recipe: Recipe) -> float:
        """Processor seconds."""
        stage, once = recipe.segment, super().work(extent, recipe)
        passes = stage.passes(extent.training)
        if not stage.on_features:
            return once + TRAIN * extent.training * passes * _square(stage.crop)
        return once + HEAD * passes * max(extent.training, stage.least_images) * _square(stage.long_side[1])

    def networks(self, extent: Extent, recipe: Recipe) -> int:
        """Model, checkpoints and log."""
        from ktse.models.segmenter import Segmenter  # loads torch

        stage = recipe.segment
        weights, trained = _bytes(Segmenter(stage.architecture, stage.encoder, extent.classes, "none"))
        steps = extent.training * stage.passes(extent.training) / stage.batch_size
        start = weights if stage.retries else 0
        networks = 2 if stage.method == "beco" else 1
        return networks * (2 * (weights + trained) + start + weights) + round(STEP * steps)


class Adapt(Costs):
    """A short training on corrected masks."""

    lower = Segment.lower

    def work(self, extent: Extent, recipe: Recipe) -> float:
        """Processor seconds."""
        from ktse.stages.adapt import EPOCHS, STEPS  # loads torch

        stage, count = recipe.segment, EPOCHS * STEPS * recipe.segment.batch_size
        return count * (HEAD * _square(stage.long_side[1]) if stage.on_features else TRAIN * _square(stage.crop))

    def networks(self, extent: Extent, recipe: Recipe) -> int:
        """Model and checkpoint."""
        return Segment().networks(extent, recipe)


class Predict(EachImageOnce):
    """Predictions and fused masks."""

    lower = "predict.tile or predict.scales"

    def work(self, extent: Extent, recipe: Recipe) -> float:
        """Processor seconds."""
        predict = recipe.predict
        if predict.sees_as_trained(recipe.segment):
            return super().work(extent, recipe)
        seen = _looks(predict.scales, predict.flip) * _square(predict.long_side or _mean_side(recipe))
        return super().work(extent, recipe) + _look(recipe.segment.encoder) * extent.images * seen

    def maps(self, extent: Extent, recipe: Recipe) -> Mapping[str, int]:
        """Label maps."""
        found = {"predictions": _files(extent.images, PREDICTION * extent.pixels)}
        return found | ({"fused": _files(extent.images, MASK * extent.pixels)} if recipe.predict.fuse else {})


def _outline(recipe: Recipe) -> list[tuple[int, int]]:
    """Channels and stride of each level that is kept of a frozen backbone's features, the finest first."""
    from ktse.models.backbone import outline  # these load torch
    from ktse.models.feature_head import LEVELS, OUTPUT_STRIDE

    stage = recipe.classify
    if not stage.on_features:
        return outline(recipe.segment.encoder, OUTPUT_STRIDE, LEVELS)
    return outline(stage.backbone, stage.output_stride, max(LEVELS, stage.levels))


def _features(recipe: Recipe) -> float:
    """Bytes that are kept of a frozen backbone's features, per pixel that it sees: a byte for each channel."""
    from ktse.models.feature_head import FINER  # loads torch

    levels = _outline(recipe)
    return sum(channels / side**2 for channels, side in levels) + 3 * (FINER / levels[-1][1]) ** 2


def _look(network: str) -> float:
    """Processor seconds for a megapixel that goes through a network once."""
    from ktse.models.backbone import parameters  # loads torch

    return LOOK * max(1.0, parameters(network) / SMALL_NETWORK)


def _square(side: float) -> float:
    """Megapixels of a square."""
    return (side / 1000) ** 2


def _mean_side(recipe: Recipe) -> float:
    return sum(recipe.classify.long_side) / 2


def _seen_side(recipe: Recipe) -> float:
    return recipe.seed.long_side or _mean_side(recipe)


def _looks(scales: Sequence[float], flip: bool) -> float:
    """How much is seen of an image at several scales, in units of the image."""
    return (1 + flip) * sum(scale**2 for scale in scales)


def _files(count: int, total: float) -> int:
    """Bytes on disk of so many files, the last block of each half full on average."""
    return round(max(total + count * BLOCK / 2, count * BLOCK))


def _bytes(network: Any) -> tuple[int, int]:
    """Bytes of a network's weights, and of those that are trained, which have a momentum each."""
    trained = sum(weight.numel() * 4 for weight in network.parameters() if weight.requires_grad)
    return sum(value.numel() * 4 for value in network.state_dict().values()), cast(int, trained)
