"""doubt: which tags of a run are probably wrong, by what its images look like to a network."""

from __future__ import annotations

from typing import Any, Literal, cast

import numpy as np
import torch

from ktse.data.dataset import TaggedImages
from ktse.data.transforms import long_side_size, to_tensor
from ktse.errors import KtseError
from ktse.models.backbone import Backbone
from ktse.recipe import ClassifyRecipe
from ktse.run_folder import RunFolder
from ktse.runtime.console import track
from ktse.runtime.fabric import make_fabric
from ktse.stages.classify import load_network

LISTED = 1000
"""Doubtful tags that are listed."""

PENALTIES = tuple(10.0**power for power in range(-4, 3))
"""Ridge penalties that are tried, relative to the mean squared feature."""


def doubtful_tags(
    run: RunFolder, data: TaggedImages, recipe: ClassifyRecipe
) -> tuple[list[dict[str, Any]], Literal["initial", "trained"], str]:
    """List the tags, and the missing tags, that are probably wrong.

    The backbone as it was before training on these tags judges what an image looks like: the trained backbone knows
    wrong tags by heart, and judges only where there is no other.

    Returns:
        id, class, whether it is tagged, and score of each, the most doubtful first, LISTED at most; which backbone
        judged, the "initial" or the "trained" one; and, for the trained one, a warning that says so.
    """
    backbone, missing = None, "it started from random weights"
    if recipe.weights != "none":
        try:
            backbone = Backbone(recipe.backbone, recipe.output_stride, recipe.weights)
        except KtseError as error:
            missing = f"its initial weights are gone ({error.what})"
    known = backbone is None
    if backbone is None:
        backbone = cast(Backbone, load_network(run).backbone)
    doubt = find_doubts(image_features(backbone, data, recipe), data.tags)
    columns = ("id", "class", "tagged", "score")
    found = [
        (data.ids[row], data.classes[column], bool(data.tags[row, column]), round(float(doubt[row, column]), 3))
        for row, column in most_doubtful(doubt)[:LISTED]
        if doubt[row, column] >= 1
    ]
    warning = (
        f"doubtful tags are judged by the network that was trained on these very tags, since {missing}: tags that the "
        "network has learned by heart are missed; start from pretrained weights (classify.weights) to find these"
    )
    entries = [dict(zip(columns, entry, strict=True)) for entry in found]
    return entries, "trained" if known else "initial", warning if known else ""


@torch.no_grad()
def image_features(backbone: Backbone, data: TaggedImages, recipe: ClassifyRecipe) -> np.ndarray:
    """The mean of a backbone's last feature map for every image, at the middle of the sizes of training.

    Returns:
        (N, channels) float32.

    Raises:
        DataError: an image cannot be read.
    """
    fabric = make_fabric("auto")
    network = backbone.eval().to(fabric.device).to(memory_format=torch.channels_last)
    target = sum(recipe.long_side) // 2
    features = np.zeros((len(data), backbone.channels), dtype=np.float32)
    for index in track(range(len(data)), "doubtful tags", total=len(data)):
        image = data.read(index, target)
        width, height = long_side_size(image.size, target)
        tensor = to_tensor(image, backbone.mean, backbone.std, (max(32, width), max(32, height)))[None]
        with fabric.autocast():
            maps = network(tensor.to(fabric.device, memory_format=torch.channels_last))
        features[index] = maps.float().mean(dim=(2, 3))[0].cpu().numpy()
    return features


def find_doubts(features: np.ndarray, tags: np.ndarray) -> np.ndarray:
    """Score every tag, and every missing one, by a linear classifier that has not seen it, as in confident learning.

    The classifier is ridge regression onto tagged and untagged. Its leave-one-out answers have a closed form, so that
    every image is judged by a classifier trained on all others, for the price of one. The squared loss keeps a wrong
    tag from pulling the classifier far, and random errors only shrink its scores, which the next step undoes: as in
    confident learning (Northcutt et al., 2021), each class has thresholds of its own, the mean scores of its tagged
    and of its untagged images, and a tag is wrong if it lies beyond the mean of the other side.

    Args:
        features: (N, D) float, from a network that was not trained on these tags.
        tags: (N, C) bool.

    Returns:
        (N, C) float; 0: undecided between tagged and untagged; 1 or more: probably wrong, as it looks at least like the
        average image on the other side; NaN for a class that all images or none have.
    """
    scores = leave_one_out(features, tags)
    doubt = np.full(tags.shape, np.nan)
    for index in range(tags.shape[1]):
        tagged = tags[:, index]
        if tagged.any() and not tagged.all():
            high, low = scores[tagged, index].mean(), scores[~tagged, index].mean()
            middle, half = (high + low) / 2, max(abs(high - low) / 2, 1e-9)
            doubt[:, index] = np.where(tagged, middle - scores[:, index], scores[:, index] - middle) / half
    return doubt


def most_doubtful(doubt: np.ndarray) -> np.ndarray:
    """(K, 2) image and class of every score that is a number, the most doubtful first."""
    order = np.argsort(-doubt, axis=None, kind="stable")  # NaN comes last
    places = np.stack(np.unravel_index(order, doubt.shape), axis=1)
    return places[: np.count_nonzero(~np.isnan(doubt))]


def leave_one_out(features: np.ndarray, tags: np.ndarray) -> np.ndarray:
    """Score of every class for every image by ridge regression on all other images.

    The penalty of each class is the one with the smallest leave-one-out error.

    Args:
        features: (N, D) float.
        tags: (N, C) bool.

    Returns:
        (N, C) float64, about -1 for untagged and 1 for tagged.
    """
    x = features - features.mean(axis=0)
    x = x / np.maximum(x.std(axis=0), 1e-6)
    y = np.where(tags, 1.0, -1.0)
    mean = y.mean(axis=0)
    values, vectors = np.linalg.eigh((x.T @ x).astype(np.float64))
    rotated = x @ vectors.astype(x.dtype)
    target = rotated.T.astype(np.float64) @ (y - mean)
    squared = rotated**2
    best, error = np.zeros(y.shape), np.full(y.shape[1], np.inf)
    for penalty in PENALTIES:
        inverse = 1 / (np.maximum(values, 0) + penalty * len(x))
        fitted = mean + rotated @ (inverse[:, None] * target)
        # The share of an image's own tag in its score; the mean takes 1/N of it.
        own = np.minimum(squared @ inverse + 1 / len(x), 1 - 1e-6)
        left_out = y - (y - fitted) / (1 - own)[:, None]
        missed = ((left_out - y) ** 2).mean(axis=0)
        better = missed < error
        best[:, better], error[better] = left_out[:, better], missed[better]
    return best
