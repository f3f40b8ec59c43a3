"""The objective: a batch in, named loss terms out (paper, eq. 10)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, interpolate, relu

from ktse.method.alignment import global_alignment, local_alignment
from ktse.method.erasing import erase, foreground_score, keep_mask, stitch
from ktse.method.in_turn import InTurn
from ktse.method.regularisation import UNDECIDED, inter_class_term, pseudo_label, segmentation_terms
from ktse.method.rivals import attraction, hard_classification, repulsion
from ktse.method.transfer import transfer_loss
from ktse.models.cam_head import CamNetwork
from ktse.recipe import ObjectiveRecipe

ANCHOR = {"background", "foreground"}  # the terms that need the pseudo-label of the anchors,
STITCHED = {"stitched_background", "stitched_foreground"}  # and of the pairs as well
ERASED = {"global_alignment", "local_alignment", "erased_classification", "attraction"}  # those of the erased image


class Batch(NamedTuple):
    """What one step learns from: no masks.

    Attributes:
        image: (B, 3, H, W) float, normalised anchor images.
        tags: (B, C) float, 0 or 1.
        paired_image: (P, 3, H, W) float, images that share a tag with the first P anchors; P may be 0.
        paired_tags: (P, C) float, 0 or 1.
        mixed: (B, C) float in 0..1, what the class scores are taught where images are mixed (CutMix), or None: tags.
        features: (B, K, h, w) float, what a frozen backbone sees in the images, or None: the network looks itself. The
            images may then be small ones, since only their colours are needed.
        inside: (B, h, w) bool, where the features are of the image: smaller ones are filled up to the batch's size.
    """

    image: Tensor
    tags: Tensor
    paired_image: Tensor
    paired_tags: Tensor
    mixed: Tensor | None = None
    features: Tensor | None = None
    inside: Tensor | None = None


class Terms(NamedTuple):
    """What a step is judged by.

    Attributes:
        losses: unweighted scalars by the names of LossWeights.
        logits: (B, C) class scores of the anchors.
        strongest: (B, C) largest signed activation of the anchors.
    """

    losses: dict[str, Tensor]
    logits: Tensor
    strongest: Tensor


class Objective(nn.Module):
    """The KTSE objective over a CAM network; each term is computed only while its weight is not 0.

    Args:
        network: the CAM network that is trained.
        recipe: margins, thresholds and choices.
        mean, std: (3,) normalisation of the images, to undo it for PAR.

    Attributes:
        background: high and low background score of the pseudo-label.
    """

    def __init__(self, network: CamNetwork, recipe: ObjectiveRecipe, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        self.network, self.recipe = network, recipe
        self.background = (recipe.background_high, recipe.background_low)
        self.register_buffer("mean", mean.view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", std.view(1, 3, 1, 1), persistent=False)
        self.mean: Tensor
        self.std: Tensor

    def forward(self, batch: Batch, weights: Mapping[str, float]) -> Terms:
        """Compute every term whose weight is not 0.

        The gradient of the terms of stitched and erased images is taken at once, with their weights, so that these
        images are held one after the other. Whoever takes the gradient of the weighted sum of all terms has it whole.

        Args:
            batch: anchors and, for SIE, their pairs.
            weights: weight of each term by name.
        """
        on = {name for name, weight in weights.items() if weight != 0}
        image, tags = batch.image, batch.tags
        pairs = len(batch.paired_image) if on & (STITCHED | {"transfer"}) else 0
        # Anchors and pairs go through the network together: batch norm is frozen, so that they do not mix.
        seen = torch.cat([image, batch.paired_image]) if pairs else image
        head = self.network.head
        scores = self.network.scores(seen) if batch.features is None else head(batch.features).float()
        anchor = scores[: len(image)]
        cam = anchor[:, 1:]
        logits = head.classify(cam, batch.inside)
        taught = tags if batch.mixed is None else batch.mixed
        if self.recipe.absent_quantile > 0 and self.training:
            head.learn_level(cam, taught, self.recipe.absent_quantile, batch.inside)
        losses = {"classification": binary_cross_entropy_with_logits(logits, taught)}
        label = None
        if on & ANCHOR or (pairs and on & STITCHED):
            shown = len(seen) if on & STITCHED else len(image)
            known = torch.cat([tags, batch.paired_tags])[:shown]
            evidence = head.evidence(scores[:shown, 1:])
            if batch.inside is None:
                label = self._label(evidence, seen[:shown], known)
            else:
                label = self._label(evidence.masked_fill(~batch.inside[:, None], 0), image, tags)
                outside = interpolate((~batch.inside)[:, None].float(), label.shape[-2:])[:, 0] > 0
                label = label.masked_fill(outside, UNDECIDED)
        if on & (ANCHOR | {"inter_class"}):
            losses |= self._self_supervision(anchor, image, tags, label, on)
        parts = InTurn(scores, weights)
        if pairs:
            losses |= parts.taken(self._transfer(parts.scores, batch, pairs, label, on))
        if on & ERASED:
            losses |= parts.taken(self._erased(parts.scores[: len(image), 1:], image, tags, on))
        if "repulsion" in on:
            losses["repulsion"] = repulsion(head.pyramid(cam), cam, tags)
        return Terms({name: loss for name, loss in losses.items() if name in on}, logits, cam.amax(dim=(-2, -1)))

    def _self_supervision(
        self, scores: Tensor, image: Tensor, tags: Tensor, label: Tensor | None, on: set[str]
    ) -> dict[str, Tensor]:
        recipe = self.recipe
        losses: dict[str, Tensor] = {}
        if label is not None:
            count = tags.sum(dim=1)
            teaches = count == 1 if recipe.foreground_images == "single-tag" else count > 0
            losses |= segmentation_terms(scores, label[: len(image)], teaches)._asdict()
        if "inter_class" in on:
            with torch.no_grad():
                foreground = foreground_score(self.network.head.evidence(scores[:, 1:]), tags, image.shape[-2:])
            above, classes = recipe.inter_above, recipe.inter_classes
            losses["inter_class"] = inter_class_term(relu(scores), tags, foreground, above, classes)
        return losses

    def _transfer(
        self, scores: Tensor, batch: Batch, pairs: int, label: Tensor | None, on: set[str]
    ) -> dict[str, Tensor]:
        recipe = self.recipe
        anchor, paired = scores[:pairs], scores[len(batch.image) :]
        image, tags = batch.image[:pairs], torch.maximum(batch.tags[:pairs], batch.paired_tags)
        axis: Literal["height", "width"] = recipe.stitch if recipe.stitch != "random" else _any_axis()
        stitched = self.network.scores(stitch(image, batch.paired_image, axis))
        reference = stitch(anchor, paired, axis)
        # A crop that the stride does not divide gives the stitched map another length than its two halves.
        aligned = interpolate(stitched, reference.shape[-2:], mode="bilinear", align_corners=False)
        losses = {"transfer": transfer_loss(reference[:, 1:], aligned[:, 1:], tags, recipe.margin, recipe.channels)}
        if label is not None and on & STITCHED:
            joined = stitch(label[:pairs, None], label[len(batch.image) :, None], axis)[:, 0]
            everyone = torch.ones(pairs, dtype=torch.bool, device=joined.device)
            terms = segmentation_terms(stitched, joined, everyone)
            losses |= {"stitched_background": terms.background, "stitched_foreground": terms.foreground}
        return losses

    def _erased(self, cam: Tensor, image: Tensor, tags: Tensor, on: set[str]) -> dict[str, Tensor]:
        recipe, head = self.recipe, self.network.head
        count = math.ceil(recipe.erased * len(image))
        cam, image, tags = cam[:count], image[:count], tags[:count]
        with torch.no_grad():
            evidence = head.evidence(cam)
            erased_image = erase(image, evidence, tags, recipe.erase_above)
            keep = keep_mask(evidence, tags, recipe.erase_above)
        erased = self.network.scores(erased_image)[:, 1:]
        losses = {
            "global_alignment": global_alignment(erased, cam, tags, recipe.channels),
            "local_alignment": local_alignment(erased, cam, keep, tags, recipe.margin, channels=recipe.channels),
        }
        if "erased_classification" in on:
            losses["erased_classification"] = hard_classification(head.classify(erased), tags)
        if "attraction" in on:
            losses["attraction"] = attraction(head.pyramid(erased), head.pyramid(cam), tags, recipe.channels)
        return losses

    def _label(self, cam: Tensor, image: Tensor, tags: Tensor) -> Tensor:
        recipe = self.recipe
        picture, iterations = (image * self.std + self.mean).clamp(0, 1), recipe.par_iterations
        return pseudo_label(cam, picture, tags, *self.background, iterations=iterations, empty_cam=recipe.empty_cam)


def _any_axis() -> Literal["height", "width"]:
    return "height" if torch.rand(()) < 0.5 else "width"
