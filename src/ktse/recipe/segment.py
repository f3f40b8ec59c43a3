"""Settings of the segmentation model and of its training."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from ktse.recipe.values import (
    AtLeastOne,
    BatchOfTwo,
    Count,
    Factor,
    File,
    FromMinusOne,
    Place,
    Positive,
    Rounds,
    Share,
    ShareBelowOne,
    Side,
    Sides,
)

LEAST_IMAGES = 400
"""Images of an epoch at least, where it learns from features."""


@dataclass(frozen=True)
class BecoRecipe:
    """Co-training of two networks; the defaults are the published ones (Rong et al., CVPR 2023)."""

    warmup: Count = 2
    """Epochs in which pasted pixels bring their mask's label, before the networks' own labels are good enough."""
    online_threshold: ShareBelowOne = 0.95
    """Mean probability of both networks, 0..1, above which their label of a pixel counts as sure."""
    mix: Share = 0.5
    """Probability that an image gets objects of another one of the batch pasted into it; 0: never."""
    boundary_weight: Factor = 0.2
    """What pixels at the edge of something pasted count beyond the 1 of all others."""


@dataclass(frozen=True)
class SegmentRecipe:
    """The segmentation model that is trained on the masks."""

    method: Literal["single", "beco"] = "single"
    """One network ("single"), or two that teach each other where the masks are doubtful ("beco"); these are used
    together, at twice the cost."""
    corrections: Place = ""
    """Folder of corrected masks, named like masks/ID.png, which the model learns from after the others."""
    beco: BecoRecipe = field(default_factory=BecoRecipe)
    """The co-training."""
    architecture: str = "deeplabv3plus"
    """Any segmentation_models_pytorch architecture, deeplabv2, or "head": a small one on a frozen backbone, which
    learns from features that were computed once."""
    encoder: str = "mobilenetv2_100"
    """Any timm model name."""
    weights: File = "hub"
    """Initial weights of the encoder: as in classify, or "classify": what its backbone has learned."""
    frozen_stages: FromMinusOne = 0
    """Children of the encoder, from the image on, that stay as they are, which saves their way back; -1: the whole
    encoder."""
    batch_norm: Literal["frozen", "trained"] = "frozen"
    """That of the encoder "frozen", or "trained"."""
    epochs: AtLeastOne = 12
    """Passes over the images."""
    most_images: Count = 0
    """Images, each counted as often as it is seen, beyond which there are fewer epochs; 0: no limit."""
    batch_size: BatchOfTwo = 16  # a batch norm over a single value has no spread
    """Images in a batch, over all devices together."""
    long_side: Sides = (160, 320)
    """Range in pixels from which the longer side of an image is drawn."""
    crop: Side = 192
    """Side of the square that the network is trained on, in pixels."""
    lr: Positive = 0.01
    """Learning rate of the encoder."""
    head_lr: Positive = 10.0
    """Factor on the learning rate of the decoder."""
    weight_decay: Factor = 1e-4
    """L2 penalty on weights, not on biases and batch norm."""
    end_lr: Factor = 0.0
    """Learning rate of the encoder that the decay ends at."""
    clip: Factor = 0.0
    """Largest norm of the gradient; 0: no limit."""
    retries: Rounds = 2
    """How often a collapse is answered by going back to the start with a quarter of the learning rate, before the run
    gives up."""

    @property
    def on_features(self) -> bool:
        """Whether it learns from what a frozen backbone sees in whole images, by AdamW; or from crops, by SGD."""
        return self.architecture == "head"

    @property
    def least_images(self) -> int:
        """Images of an epoch at least; fewer are each seen several times, which costs little on features."""
        return LEAST_IMAGES if self.on_features else 0

    @property
    def made_by(self) -> Literal["segment", "adapt"]:
        """The stage that the model is of, and its folder."""
        return "adapt" if self.corrections else "segment"

    def passes(self, images: int) -> int:
        """Epochs over so many images, after `most_images`; at least one."""
        limit = round(self.most_images / max(1, images)) if self.most_images else self.epochs
        return max(1, min(self.epochs, limit))

    def conflicts(self) -> Iterator[tuple[str, str, bool]]:
        """Rules between settings."""
        yield "end_lr", "in 0..segment.lr", self.end_lr <= self.lr
        alone = self.method == "single" and self.frozen_stages == -1
        yield "architecture", "head with method single and frozen_stages -1 alone", alone or not self.on_features
