"""Which images a person should look at first."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from ktse.data.dataset import TaggedImages
from ktse.quality.expected import by_chance

FIRST = 200
"""Images that are chosen one by one; nobody corrects more at a sitting."""


def by_gain(data: TaggedImages, confidence: Mapping[str, float], decided: Collection[str]) -> list[int]:
    """Indices of all images: in turn one of which a correction teaches most, and one that is drawn by chance.

    An image teaches the more, the less confident its mask is, and the fewer corrections its classes have: each choice
    counts as a correction for the next one. What is drawn by chance says how good the others are (quality/expected.py),
    and teaches as much (docs/measurements/corrections.md). After these come the others, as of `by_need`.

    Args:
        data: images and tags.
        confidence: confidence of each mask, 0..1, by image id.
        decided: ids of the images that are corrected or accepted.
    """
    order, done = by_need(data, confidence), set(decided)
    teach = [i for i in order if data.tags[i].any() and not data.validation[i] and data.ids[i] not in done]
    tags = data.tags[teach]
    need = 1 - np.arange(len(teach)) / max(1, len(teach))
    share = tags / np.maximum(1, tags.sum(axis=1, keepdims=True))
    corrected = data.tags[[index for index, name in enumerate(data.ids) if name in done]].sum(axis=0)
    chosen: list[int] = []
    for _ in range(min(FIRST, len(teach))):
        place = int(np.argmax(need * (share @ (1 / (1 + corrected)))))
        need[place] = -1
        corrected = corrected + tags[place]
        chosen.append(teach[place])
    drawn = [teach[place] for place in by_chance([data.ids[index] for index in teach])]
    first = dict.fromkeys(index for pair in zip(chosen, drawn, strict=False) for index in pair)
    return [*first, *(index for index in order if index not in first)]


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
