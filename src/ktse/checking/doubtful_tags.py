"""doubt: which tags of a run are probably wrong, by what its images look like to a network."""

from __future__ import annotations

from typing import Any, Literal, cast

import numpy as np
import torch

from ktse.checking.doubts import find_doubts
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


def doubtful_tags(
    run: RunFolder, data: TaggedImages, recipe: ClassifyRecipe
) -> tuple[list[dict[str, Any]], Literal["initial", "trained"], str]:
    """List the tags, and the missing tags, that are probably wrong.

    What an image looks like is said by the backbone as it was before training on these tags: the trained one knows
    the wrong ones by heart. Only where there is no such backbone, the trained one is all there is.

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
    doubts = find_doubts(image_features(backbone, data, recipe), data.tags)
    ranking = [(row, column) for row, column in doubts.ranking()[:LISTED] if doubts.wrong[row, column]]
    found = [
        {
            "id": data.ids[row],
            "class": data.classes[column],
            "tagged": bool(data.tags[row, column]),
            "score": round(float(doubts.score[row, column]), 3),
        }
        for row, column in ranking
    ]
    warning = (
        f"doubtful tags are judged by the network that was trained on these very tags, since {missing}: "
        "those that it has learned by heart are missed; start from pretrained weights (classify.weights) to find them"
    )
    return found, "trained" if known else "initial", warning if known else ""


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
