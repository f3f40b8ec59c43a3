"""Settings from CAMs to masks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from ktse.recipe.segment import SegmentRecipe
from ktse.recipe.values import (
    AtLeastOne,
    BatchSize,
    Count,
    Factor,
    File,
    LongSide,
    Place,
    Positive,
    Radius,
    Rounds,
    Scale,
    Share,
    ShareBelowOne,
    ShareInside,
    Side,
    Sides,
    Step,
)

SEED_PIXELS, REFINE_PIXELS = 1 << 20, 4 << 20
"""A larger image is worked on as one of so many pixels, so that memory has a bound; its mask has its own size."""


@dataclass(frozen=True)
class SeedRecipe:
    """Class activation maps of every image."""

    scales: tuple[Scale, ...] = (0.5, 1.0, 1.5, 2.0)
    """Factors on the image's size."""
    flip: bool = True
    """Also use the mirror image at each size."""
    long_side: LongSide = 0
    """Pixels of the image's longer side at scale 1; 0 keeps the image's own size, up to a megapixel."""
    stride: Step = 4
    """Pixels of the image per pixel of the stored CAM."""

    def conflicts(self) -> Iterator[tuple[str, str, bool]]:
        """Rules between settings."""
        yield "scales", "one positive number or more", len(self.scales) > 0


@dataclass(frozen=True)
class AffinityRecipe:
    """IRN's boundary network and its training on confident seeds; the defaults are the published ones."""

    backbone: str = "resnet50.tv_in1k"
    """Any timm model with features_only."""
    weights: File = "hub"
    """Initial weights of the backbone: as in classify."""
    labels: Literal["crf", "par", "none"] = "crf"
    """What makes the seed follow the image before training: "crf", "par" or "none"."""
    background_high: ShareInside = 0.3
    """Background score of the label map that decides what is foreground."""
    background_low: ShareInside = 0.1
    """Background score of the label map that decides what is background."""
    radius: Radius = 10
    """Pairs of pixels, at a quarter of the image's size, are closer than this."""
    epochs: AtLeastOne = 3
    """Passes over the images."""
    batch_size: BatchSize = 32
    """Images in a batch, over all devices together."""
    long_side: Sides = (250, 750)
    """Range in pixels from which the longer side of an image is drawn (0.5 to 1.5 times VOC's 500)."""
    crop: Side = 512
    """Side of the square that the network is trained on, in pixels, a multiple of 4."""
    lr: Positive = 0.1
    """Learning rate of the boundary branch."""
    head_lr: Positive = 10.0
    """Factor on it for the displacement branch."""
    backbone_lr: Factor = 0.0
    """Factor on it for the backbone; 0 leaves the backbone as it is."""
    momentum: ShareBelowOne = 1e-4
    """SGD momentum (published: the weight decay, in momentum's place)."""

    def conflicts(self) -> Iterator[tuple[str, str, bool]]:
        """Rules between settings."""
        yield "background_low", "at most background_high", self.background_low <= self.background_high
        fits = self.crop % 4 == 0 and self.crop > 8 * (self.radius - 1)
        yield "crop", "a multiple of 4 and more than 8 (affinity.radius - 1)", fits


@dataclass(frozen=True)
class RefineRecipe:
    """Masks from CAMs."""

    method: tuple[Literal["par", "irn", "sam", "even", "crf"], ...] = ("par",)
    """Refiners, one after another, such as [par] or [irn, crf]: par (pixel-adaptive refinement), irn (random walk
    between the boundaries of the affinity stage), sam (masks of a SAM that fit the seed, an extra), even (each class's
    scores over the root of their peak), and, as the last, crf (dense CRF, an extra); [] is none."""
    iterations: Rounds = 10
    """Iterations of PAR."""
    walk_power: Positive = 10.0
    """Exponent of the affinity in the random walk."""
    sam_weights: Place = ""
    """Folder of a SAM, config.json and model.safetensors, for the refiner sam."""
    stride: Step = 2
    """Pixels of the image per pixel of the map on which PAR works, and of the stored scores."""
    threshold: Share | Literal["auto"] = "auto"
    """Background threshold in 0..1, or "auto": chosen from the scores of all images alone."""
    calibrate: Place = ""
    """Folder of a handful of true masks, named like their images, that choose the threshold instead; empty: none.
    Their images are not measured."""
    other: Place = ""
    """Folder of masks by another method, named like their images. Masks of refine.calibrate choose, class by class,
    whether these are taken."""

    @property
    def chain(self) -> str:
        """The refiners as words, such as "irn+crf", or "none"."""
        return "+".join(self.method) or "none"

    def conflicts(self) -> Iterator[tuple[str, str, bool]]:
        """Rules between settings."""
        chain = len(set(self.method)) == len(self.method) and "crf" not in self.method[:-1]
        yield "method", "a chain of different refiners, crf the last", chain
        compared = bool(self.calibrate) or not self.other
        free = self.threshold == "auto" or not self.calibrate
        yield "other", "given together with refine.calibrate: only true masks tell which masks are better", compared
        yield "threshold", "auto where refine.calibrate names masks that choose it", free


@dataclass(frozen=True)
class PredictRecipe:
    """How the segmentation model is applied."""

    scales: tuple[Scale, ...] = (1.0,)
    """Factors on the image's size."""
    merge: Literal["mean", "max"] = "mean"
    """What becomes of the scales: the mean of their probabilities, or the pixelwise maximum of their scores before the
    softmax ("max", as published)."""
    flip: bool = True
    """Also use the mirror image."""
    long_side: LongSide = 0
    """Pixels of the image's longer side at scale 1; 0 keeps the image's own size."""
    fuse: Share | Literal["auto"] = "auto"
    """For the run's own images, which have masks: weight, 0..1, of the model in fused/ID.png, where mask and model
    decide together, among the image's tags; "auto": the one whose masks the colours of the images explain best, or,
    after corrections, what the model has earned; 0: there are no fused masks."""
    crf: bool = False
    """Put the scores through a dense CRF, an extra."""
    tile: LongSide = 1024
    """Larger images are cut into overlapping tiles of this many pixels (at scale 1) a side, 64 or more; 0: never."""
    overlay: bool = False
    """Also write the labels laid over each photo."""
    probabilities: Count = 0
    """Also write the probabilities of every n-th pixel in both directions; 0: none."""

    def sees_as_trained(self, segment: SegmentRecipe) -> bool:
        """Whether the model is given what it has seen in training: then features serve for both."""
        once = self.scales == (1.0,) and not self.flip and self.merge == "mean"
        side = segment.long_side[1]
        return segment.on_features and once and self.long_side == side and not 0 < self.tile < side

    def conflicts(self) -> Iterator[tuple[str, str, bool]]:
        """Rules between settings."""
        yield "scales", "one positive number or more", len(self.scales) > 0
        yield "tile", "0, or 64 or more", self.tile == 0 or self.tile >= 64
