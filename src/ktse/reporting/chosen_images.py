"""Which images to show and which to draw a mask of. Numbers in, numbers out."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

PLACES_IN_ORDER = (0.5, 0.1, 0.9, 0.3, 0.7)
"""Places in the order of confidence, 0..1, of the images to draw: neither all easy nor all hard."""


def one_per_class(
    tags: np.ndarray, score: np.ndarray, preferred: Sequence[np.ndarray], order: Sequence[int], most: int
) -> list[tuple[int, int]]:
    """Choose a typical image of each class: the one in the middle, by score, of those with its tag.

    Args:
        tags: (N, C) bool.
        score: (N,) float, what orders the images; NaN where it is not known.
        preferred: (N,) bool each, images to choose from where a class has some; the most important first.
        order: classes, 0..C-1, the most important first.
        most: how many images; of more classes than that, those that no earlier image shows come first.

    Returns:
        (class, image) of each class that has an image, in the given order; no image twice unless a class has no other.
    """
    found: list[tuple[int, int]] = []
    taken = np.zeros(len(tags), dtype=bool)
    seen = np.zeros(tags.shape[1], dtype=bool)
    for k in order:
        if len(found) == most or (len(order) > most and seen[k]):
            continue
        choice = tags[:, k]
        if not choice.any():
            continue
        for wanted in (~taken, *preferred, ~np.isnan(score)):
            choice = choice & wanted if (choice & wanted).any() else choice
        places = np.flatnonzero(choice)
        if len(order) > most:  # the images with the most classes that were not shown yet
            new = (tags[places] & ~seen).sum(axis=1)
            places = places[new == new.max()]
        image = int(places[np.argsort(score[places], kind="stable")][len(places) // 2])
        taken[image] = True
        seen |= tags[image]
        found.append((k, image))
    return found


def to_look_at(tags: np.ndarray, score: np.ndarray, skip: Collection[int], count: int) -> list[int]:
    """Choose images with low scores that differ in their tags.

    Args:
        tags: (N, C) bool; images without tags are not chosen.
        score: (N,) float; images without one (NaN) are not chosen.
        skip: images that are not chosen.
        count: how many.

    Returns:
        images of the lower half, the lowest score first: for each class not seen yet the lowest, then the lowest ones.
    """
    known = np.flatnonzero(tags.any(axis=1) & ~np.isnan(score))
    order = known[np.argsort(score[known], kind="stable")]
    order = order[: max(count, (len(order) + 1) // 2)]
    order = order[~np.isin(order, list(skip))]
    chosen: list[int] = []
    seen = np.zeros(tags.shape[1], dtype=bool)
    for image in order.tolist():
        if len(chosen) < count and (tags[image] & ~seen).any():
            chosen.append(image)
            seen |= tags[image]
    chosen += [image for image in order.tolist() if image not in chosen][: count - len(chosen)]
    return [image for image in order.tolist() if image in chosen]


def to_draw(tags: np.ndarray, score: np.ndarray, usable: np.ndarray, count: int = 5) -> list[int]:
    """Choose images to draw masks of, such that as many classes as possible occur, and easy and hard images too.

    Args:
        tags: (N, C) bool.
        score: (N,) float, NaN where it is not known.
        usable: (N,) bool, images to choose from; without tags none is chosen.
        count: how many.
    """
    order = np.argsort(np.nan_to_num(score, nan=0.5), kind="stable")
    place = np.empty(len(score))
    place[order] = (np.arange(len(score)) + 0.5) / max(1, len(score))
    left = usable & tags.any(axis=1)
    chosen: list[int] = []
    seen = np.zeros(tags.shape[1], dtype=bool)
    while left.any() and len(chosen) < count:
        gain = np.where(left, (tags & ~seen).sum(axis=1), -1)
        if gain.max() == 0:  # each class is in: begin again, so that classes occur more than once
            seen[:] = False
            continue
        best = np.flatnonzero(gain == gain.max())
        image = int(best[np.abs(place[best] - PLACES_IN_ORDER[len(chosen) % len(PLACES_IN_ORDER)]).argmin()])
        chosen.append(image)
        left[image] = False
        seen |= tags[image]
    return chosen
