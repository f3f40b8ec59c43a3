"""Which images a person should look at first."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ktse.data.dataset import TaggedImages


def by_need(data: TaggedImages, confidence: Mapping[str, float]) -> list[int]:
    """Indices of all images, the one that most needs a look first.

    Images that the model learns from come first, those with the least confident mask at the head. Images that are kept
    out of training follow, since a correction of them teaches nothing. Images without tags have an empty mask and are
    last. An image without a known confidence stands behind those of its group that have one.

    Args:
        data: images and tags.
        confidence: confidence of each mask, 0..1, by image id.
    """
    sure = np.array([confidence.get(name, np.inf) for name in data.ids])
    untagged = ~data.tags.any(axis=1)
    return [int(index) for index in np.lexsort((sure, data.validation, untagged))]
