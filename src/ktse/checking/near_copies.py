"""near copies: images that are almost the same, such as another compression, a crop, or the next photo of a burst."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, normalize

from ktse.data.dataset import TaggedImages
from ktse.data.text import examples
from ktse.features.store import Seen
from ktse.recipe import ClassifyRecipe, ComputeRecipe
from ktse.run_folder import RunFolder
from ktse.runtime.console import track
from ktse.runtime.fabric import find_device, make_fabric
from ktse.runtime.words import many
from ktse.stages.classify import frozen_features, load_network

ALIKE = 0.68
"""Similarity from which two images are near copies (docs/measurements/data.md)."""

LEVEL, CELLS = -2, 4
"""Which level of the features is compared, and the means of how many cells along each side of it."""

LISTED = 10_000
"""Near copies that are listed; the warnings count all."""

NAMED = 5
"""Near copies that a warning names."""

ROWS, COLUMNS = 2048, 8192
"""Images that are compared at once, and with how many others: 64 MB."""


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
    data = data.take(np.argsort(data.validation, kind="stable"))
    seen = frozen_features(run, data, load_network(run), recipe, compute, make_fabric(compute.precision))
    layouts = np.zeros((len(data), seen.backbone.level_channels[LEVEL], CELLS, CELLS), dtype=np.float16)
    for index in track(range(len(data)), "near copies", total=len(data)):
        layouts[index] = layout(seen[index])
    return alike(layouts, data)


def layout(seen: Seen) -> np.ndarray:
    """What is where in an image: (K, CELLS, CELLS) float32, the mean features of its cells.

    A coarse layout tells two photos of one thing from two things of one kind, which the mean over the image does not.
    """
    return adaptive_avg_pool2d(seen.levels[LEVEL], CELLS).numpy()


def alike(layouts: np.ndarray, data: TaggedImages) -> list[NearCopy]:
    """The pairs of images whose layouts are alike.

    Of each image, the most similar one in training and the most similar one in validation count, so that the pairs are
    few where all images are alike.

    Args:
        layouts: (N, K, CELLS, CELLS) float, of each image.
        data: the N images, those in training first.

    Returns:
        those across the split first, then the most similar first.
    """
    training = int((~data.validation).sum())
    pairs: dict[tuple[int, int], float] = {}
    for side in (range(training), range(training, len(data))):
        likest, similarity = nearest(layouts, side)
        for row in np.flatnonzero(similarity >= ALIKE):
            earlier, later = sorted((int(row), int(likest[row])))
            pairs[earlier, later] = float(similarity[row])
    found = [
        NearCopy(
            id=data.ids[later],
            like=data.ids[earlier],
            across=earlier < training <= later,
            tags_differ=bool((data.tags[earlier] != data.tags[later]).any()),
            score=round(score, 3),
        )
        for (earlier, later), score in pairs.items()
    ]
    return sorted(found, key=lambda pair: (not pair.across, -pair.score, pair.id, pair.like))


def nearest(layouts: np.ndarray, among: range) -> tuple[np.ndarray, np.ndarray]:
    """The most similar other image of every image, among some of them.

    The similarity is the larger one of two cosines: with the other image, and with its mirror image. Each feature of
    each cell is brought to mean 0 and spread 1 before, since what all images share says nothing.

    Args:
        layouts: (N, K, CELLS, CELLS) float.
        among: rows among which it is looked for.

    Returns:
        (N,) int64 rows, and (N,) float32 similarities; -2 where there is none.
    """
    rows = torch.from_numpy(layouts).to(find_device())
    parts = [rows[start : start + ROWS] for start in range(0, len(rows), ROWS)]
    mean = sum((part.float().sum(dim=0) for part in parts), start=torch.zeros(())) / max(1, len(rows))
    squares = sum((((part.float() - mean) ** 2).sum(dim=0) for part in parts), start=torch.zeros(()))
    spread = (squares / max(1, len(rows))).sqrt().clamp(min=1e-6)

    def units(some: Tensor) -> Tensor:
        return normalize(((some.float() - mean) / spread).flatten(1))

    likest, similarity = np.zeros(len(rows), dtype=np.int64), np.full(len(rows), -2, dtype=np.float32)
    for number, part in enumerate(track(parts, "near copies: comparison", total=len(parts))):
        start, some = number * ROWS, units(part)
        here = slice(start, start + ROWS)
        for column in among[::COLUMNS]:
            others = rows[column : min(column + COLUMNS, among.stop)]
            cosines = torch.maximum(some @ units(others).T, some @ units(others.flip(-1)).T)
            cosines.diagonal(start - column).fill_(-2)  # each image with itself
            best, where = (found.cpu().numpy() for found in cosines.max(dim=1))
            better = best > similarity[here]
            similarity[here] = np.where(better, best, similarity[here])
            likest[here] = np.where(better, where + column, likest[here])
    return likest, similarity


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
