"""near copies: images that are almost the same, such as another compression, a crop, or the next photo of a burst."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch.nn.functional import adaptive_avg_pool2d

from ktse.data.dataset import TaggedImages
from ktse.data.text import examples
from ktse.features.store import Seen
from ktse.recipe import ClassifyRecipe, ComputeRecipe
from ktse.run_folder import RunFolder
from ktse.runtime.console import track
from ktse.runtime.fabric import find_device, make_fabric
from ktse.runtime.words import many
from ktse.stages.classify import frozen_features, load_network

ALIKE = 0.7
"""Similarity from which two images are near copies (docs/measurements/data.md)."""

LEVEL, CELLS = -2, 4
"""Which level of the features is compared, and the means of how many cells along each side of it."""

LISTED = 10_000
"""Near copies that are listed; the warnings count all."""

NAMED = 5
"""Near copies that a warning names."""

ROWS, COLUMNS = 1024, 8192
"""Images that are compared at once, and with how many others: 32 MB."""


class NearCopy(NamedTuple):
    """Two images that are almost the same.

    Attributes:
        id: an image; the one in validation, where the other one is in training.
        like: the other one.
        across: whether one is in validation and the other one in training.
        tags_differ: whether their tags differ.
        score: similarity, ALIKE to 1.
    """

    id: str
    like: str
    across: bool
    tags_differ: bool
    score: float


def near_copies(
    run: RunFolder, data: TaggedImages, recipe: ClassifyRecipe, compute: ComputeRecipe, same: list[list[str]]
) -> list[NearCopy]:
    """The images of a run that are almost the same as another one, by the features that its CAM network learns from.

    Features that classify did not keep, such as those of validation images, are computed.

    Args:
        run: the run, after classify.
        data: its images.
        recipe: of classify; it learns from features.
        compute: precision.
        same: ids of images of equal content, a list each; only the first of each is compared.

    Raises:
        DataError: an image cannot be read.
    """
    repeated = {name for group in same for name in group[1:]}
    data = data.without(repeated)
    seen = frozen_features(run, data, load_network(run), recipe, compute, make_fabric(compute.precision))
    numbers = seen.backbone.level_channels[LEVEL] * CELLS * CELLS // 2
    layouts = np.zeros((len(data), numbers), dtype=np.float16)
    for index in track(range(len(data)), "near copies", total=len(data)):
        layouts[index] = layout(seen[index])
    return alike(layouts, data)


def layout(seen: Seen) -> np.ndarray:
    """What is where in an image: the mean features of its cells, the same for an image and its mirror image.

    A coarse layout tells two photos of one thing from two things of one kind, which the mean over the image does not.

    Returns:
        (K * CELLS * CELLS / 2,) float32.
    """
    cells = adaptive_avg_pool2d(seen.levels[LEVEL], CELLS)
    return ((cells + cells.flip(-1)) / 2)[..., : CELLS // 2].flatten().numpy()


def alike(layouts: np.ndarray, data: TaggedImages) -> list[NearCopy]:
    """The pairs of images whose layouts are alike.

    Of each image, the most similar one in training and the most similar one in validation count, so that the pairs are
    few where all images are alike.

    Args:
        layouts: (N, D) float32, of each image.
        data: the N images.

    Returns:
        those across the split first, then the most similar first.
    """
    order = np.argsort(data.validation, kind="stable")  # training first
    training = int((~data.validation).sum())
    units = standardised(layouts[order])
    pairs: dict[tuple[int, int], float] = {}
    for side in (range(training), range(training, len(order))):
        likest, similarity = nearest(units, side)
        for row in np.flatnonzero(similarity >= ALIKE):
            earlier, later = sorted((int(row), int(likest[row])))
            pairs[earlier, later] = float(similarity[row])
    found = [
        NearCopy(
            id=data.ids[order[later]],
            like=data.ids[order[earlier]],
            across=earlier < training <= later,
            tags_differ=bool((data.tags[order[earlier]] != data.tags[order[later]]).any()),
            score=round(score, 3),
        )
        for (earlier, later), score in pairs.items()
    ]
    return sorted(found, key=lambda pair: (not pair.across, -pair.score, pair.id, pair.like))


def nearest(units: np.ndarray, among: range) -> tuple[np.ndarray, np.ndarray]:
    """The most similar other image of every image, among some of them.

    Args:
        units: (N, D) float32, rows of length 1.
        among: rows among which it is looked for.

    Returns:
        (N,) int64 rows, and (N,) float32 cosines; -2 where there is none.
    """
    rows = torch.from_numpy(units).to(find_device())
    likest, similarity = np.zeros(len(units), dtype=np.int64), np.full(len(units), -2, dtype=np.float32)
    for start in range(0, len(units), ROWS):
        here = slice(start, start + ROWS)
        for column in among[::COLUMNS]:
            cosines = rows[here] @ rows[column : min(column + COLUMNS, among.stop)].T
            cosines.diagonal(start - column).fill_(-2)  # each image with itself
            best, where = (found.cpu().numpy() for found in cosines.max(dim=1))
            better = best > similarity[here]
            similarity[here] = np.where(better, best, similarity[here])
            likest[here] = np.where(better, where + column, likest[here])
    return likest, similarity


def standardised(layouts: np.ndarray) -> np.ndarray:
    """Each number brought to mean 0 and spread 1, since what all images share says nothing; then rows of length 1.

    Args:
        layouts: (N, D) float.

    Returns:
        (N, D) float32.
    """
    units = layouts.astype(np.float32)
    units -= units.mean(axis=0)
    units /= np.maximum(units.std(axis=0), 1e-6)
    units /= np.maximum(np.linalg.norm(units, axis=1, keepdims=True), 1e-6)
    return units


def near_copy_warnings(pairs: list[NearCopy], validation: int) -> list[str]:
    """Warnings about images that are almost the same, those across the split first.

    Args:
        pairs: as of `near_copies`.
        validation: number of validation images.
    """

    def some(chosen: list[NearCopy]) -> str:
        return examples((f"{pair.id} ~ {pair.like}" for pair in chosen), NAMED)

    across, other = ([pair for pair in pairs if pair.across == side] for side in (True, False))
    differ = [pair for pair in pairs if pair.tags_differ]
    held_out = len({pair.id for pair in across})
    of = f"near copies in training of {held_out:,} of {many(validation, 'validation image')}"
    texts = (
        (across, f"{of}, so that what is measured on these is too good"),
        (other, f"{many(len(other), 'pair')} of near copies, both in training or both in validation"),
        (differ, f"{many(len(differ), 'pair')} of near copies with different tags"),
    )
    return [f"{text}: {some(chosen)}" for chosen, text in texts if chosen]
