"""What each stage costs before it is done, in time, on disk and in memory: estimates, good to a factor of about two."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

from ktse.recipe import Recipe
from ktse.recipe.masks import REFINE_PIXELS, SEED_PIXELS
from ktse.runtime.processes import world_size
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

SMALL, CONTRAST = 1000, 1400
"""Bytes of an archive's headers; of what refine stores of an image besides scores."""

BLOCK = 4096
"""Bytes that a file system gives a file at a time."""

STEP, REPORT = 450, 4_000_000
"""Bytes of the log for a training step; of a report with its pictures."""

SEEN, REFINED, LOSS = 300, 300, 12
"""Bytes of memory for a pixel: of an image that a network looks at; of scores that are refined; of a class's logits."""

BFLOAT16 = 0.6
"""Share of a network's memory for learning that is left where it computes in bfloat16."""


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

    def memory(self, extent: Extent, recipe: Recipe) -> float:
        """The network, and what it holds of anchors and pairs, and beside them of stitched or of erased images."""
        from ktse.stages.classify import build  # loads torch

        stage = recipe.classify
        network = build(dataclasses.replace(stage, weights="none"), tuple(map(str, range(extent.classes))))
        network.freeze_batch_norm(stage.batch_norm == "frozen")
        side = stage.long_side[1] if stage.on_features else stage.crop
        terms, objective = stage.objective.weights, stage.objective
        stitched = terms.transfer or terms.stitched_background or terms.stitched_foreground
        erased = terms.global_alignment or terms.local_alignment or terms.erased_classification or terms.attraction
        pairs, beside = (objective.pairs if stitched else 0), (objective.erased if erased else 0)
        later = stage.batch_size * (1 + pairs + max(2 * pairs, beside)) if stage.warmup < stage.epochs else 0
        batch = max(stage.warmup_batch_size if stage.warmup else 0, later)
        moments = 1 if stage.optimizer == "sgd" else 2
        looked = 0 if stage.frozen_stages != -1 or stage.on_features else SEEN * stage.batch_size * side**2
        return looked + _learning(network, side, batch, moments, recipe)


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

    def memory(self, extent: Extent, recipe: Recipe) -> float:
        """An image at the largest scale."""
        seed = recipe.seed
        pixels = seed.long_side**2 if seed.long_side else min(SEED_PIXELS, extent.pixels / max(1, extent.images))
        return SEEN * (1 + seed.flip) * pixels * max(seed.scales) ** 2


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

    def memory(self, extent: Extent, recipe: Recipe) -> float:
        """The network and what it holds of a batch."""
        from ktse.models.affinity import AffinityNetwork  # these load torch
        from ktse.stages.affinity import OUTPUT_STRIDE

        stage = recipe.affinity
        network = AffinityNetwork(stage.backbone, OUTPUT_STRIDE, "none", stage.backbone_lr > 0)
        looked = 0 if stage.backbone_lr > 0 else SEEN * stage.batch_size * stage.crop**2
        return looked + _learning(network, stage.crop, stage.batch_size, 1, recipe)


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

    def memory(self, extent: Extent, recipe: Recipe) -> float:
        """The neighbours of each pixel of an image."""
        pixels = min(REFINE_PIXELS, extent.pixels / max(1, extent.images))
        return REFINED * pixels / recipe.refine.stride**2


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
        return self._count(recipe) * (2 * (weights + trained) + start + weights) + round(STEP * steps)

    def memory(self, extent: Extent, recipe: Recipe) -> float:
        """The networks, and what they hold of a batch and its scores."""
        from ktse.models.segmenter import Segmenter  # loads torch

        stage = recipe.segment
        network = Segmenter(stage.architecture, stage.encoder, extent.classes, "none")
        if stage.batch_norm == "frozen":
            network.freeze_batch_norm()
        network.freeze_stages(stage.frozen_stages)
        side, scores = (stage.long_side[1], 16) if stage.on_features else (stage.crop, 1)
        logits = LOSS * stage.batch_size * (extent.classes + 1) * side**2 / scores
        moments = 2 if stage.on_features else 1
        return self._count(recipe) * (logits + _learning(network, side, stage.batch_size, moments, recipe))

    @staticmethod
    def _count(recipe: Recipe) -> int:
        return 2 if recipe.segment.method == "beco" else 1


class Adapt(Segment):
    """A short training on corrected masks."""

    def work(self, extent: Extent, recipe: Recipe) -> float:
        """Processor seconds."""
        from ktse.stages.adapt import EPOCHS, STEPS  # loads torch

        stage, count = recipe.segment, EPOCHS * STEPS * recipe.segment.batch_size
        return count * (HEAD * _square(stage.long_side[1]) if stage.on_features else TRAIN * _square(stage.crop))


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

    def memory(self, extent: Extent, recipe: Recipe) -> float:
        """An image, or a tile of one, at the largest scale."""
        predict = recipe.predict
        side = predict.long_side or (extent.pixels / max(1, extent.images)) ** 0.5
        side = min(side, predict.tile) if predict.tile else side
        return SEEN * (side * max(predict.scales)) ** 2


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


def _learning(network: Any, side: int, batch: float, moments: int, recipe: Recipe) -> float:
    """Bytes of a network, its gradient and the optimizer's moments, and of what it holds of a batch for the way back.

    The batch is shared by all processes.
    """
    from ktse.models.memory import kept_for_gradient  # these load torch
    from ktse.runtime.fabric import find_device, native_bf16

    wanted = recipe.compute.precision
    half = wanted == "bf16" or (wanted == "auto" and native_bf16(find_device()))
    weights, trained = _bytes(network)
    held = kept_for_gradient(network, max(2, math.ceil(batch / world_size())), side)
    return weights + (1 + moments) * trained + held * (BFLOAT16 if half else 1)


def _bytes(network: Any) -> tuple[int, int]:
    """Bytes of a network's weights, and of those that are trained, which have a momentum each."""
    trained = sum(weight.numel() * 4 for weight in network.parameters() if weight.requires_grad)
    return sum(value.numel() * 4 for value in network.state_dict().values()), cast(int, trained)
