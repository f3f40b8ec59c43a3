"""check: what is in a data set and what is wrong with it, before any training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from ktse.checking.images import look_at_all
from ktse.checking.warnings import class_warnings, duplicate_warnings, image_warnings, mask_warnings
from ktse.data.dataset import TaggedImages
from ktse.data.masks import Truth
from ktse.errors import DataError
from ktse.runtime.console import track


@dataclass(frozen=True)
class Checked:
    """What a check found.

    Attributes:
        images: number of images.
        untagged: number of images without tags.
        validation: number of images that are kept out of training.
        classes: images per class.
        together: (C, C) images that have both classes.
        sizes: smallest, median and largest width and height.
        pixels: of all images.
        tagged_pixels: the same, each image counted once for each of its tags.
        content: hash of names, tags, split and content of all images, wherever they are and whenever they were written.
        seconds: that a run will take on this machine, if it stays as busy as it is; 0 if nobody asked.
        smallest: pixels of the side of the smallest object that masks can show, in an image of median size; 0 if nobody
            asked.
        memory: bytes that a run will take at its peak; 0 if nobody asked.
        memory_said: the same in words, with what there is.
        disk: bytes that a run will keep of all images, by folder of the run.
        duplicates: ids of images with the same content, a list each.
        unreadable: ids of images that cannot be read.
        true_masks: how many images have a true mask, and which masks fit no image, in words; empty: none were given.
        disagree: images whose true mask and tags name different classes: id, classes "only in tags" and "only in mask".
        doubtful: tags that are probably wrong, the most doubtful first: id, class, whether it is tagged, score.
        doubtful_judge: what judged them: the backbone before training on these tags ("initial"), or, where there is
            none, the "trained" one, which has seen them; empty: they were not judged.
        near_copies: pairs of images that are almost the same, those across the split first, then the most similar: id,
            the image that it is like, whether only one is in training ("across"), whether the tags differ, similarity.
        errors: what makes the data unusable.
        warnings: what will probably harm the result.
    """

    images: int
    untagged: int
    validation: int
    classes: dict[str, int]
    together: list[list[int]]
    sizes: dict[str, list[int]]
    pixels: int = 0
    tagged_pixels: int = 0
    content: str = ""
    seconds: int = 0
    smallest: int = 0
    memory: int = 0
    memory_said: str = ""
    disk: dict[str, int] = field(default_factory=dict)
    duplicates: list[list[str]] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    true_masks: str = ""
    disagree: list[dict[str, Any]] = field(default_factory=list)
    doubtful: list[dict[str, Any]] = field(default_factory=list)
    doubtful_judge: Literal["", "initial", "trained"] = ""
    near_copies: list[dict[str, Any]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def raise_errors(self) -> None:
        """Raise all errors as one.

        Raises:
            DataError: there are errors.
        """
        hint = "Fix or remove what is named; --skip-bad leaves out images that cannot be read."
        if self.errors:
            raise DataError("these images cannot be trained on", where=self.errors, hint=hint)


def check_images(
    data: TaggedImages, truth: Truth | None = None, workers: int = 0, *, skip_bad: bool = False
) -> Checked:
    """Decode every image once, in parallel, and count the tags.

    Args:
        data: the data set.
        truth: true masks, to compare with the tags; they change nothing but warnings.
        workers: processes; 0 takes all cores.
        skip_bad: images that cannot be read are a warning, not an error.
    """
    sizes = np.zeros((len(data), 2), dtype=np.int32)
    tones = np.zeros((len(data), 4), dtype=np.int16)
    contents = np.zeros(len(data), dtype=np.uint64)
    bad_images, bad_masks = [], []
    disagree: list[dict[str, Any]] = []
    for index, look in enumerate(track(look_at_all(data, truth, workers), "check", total=len(data))):
        contents[index] = look.content
        if look.size is None or look.tones is None:
            bad_images.append(look.problem)
            continue
        sizes[index], tones[index] = look.size, look.tones
        bad_masks += [look.problem] if look.problem else []
        disagree += _difference(data, index, look.classes) if look.classes is not None else []
    good = sizes.min(axis=1) > 0
    area = sizes.prod(axis=1, dtype=np.int64)
    together = _together(data.tags)
    counts = dict(zip(data.classes, np.diag(together).tolist(), strict=True))
    groups = _same(contents, good)
    skipped = [f"left out: {problem}" for problem in bad_images] if skip_bad and good.any() else []
    return Checked(
        images=len(data),
        untagged=int((~data.tags.any(axis=1)).sum()),
        validation=int(data.validation.sum()),
        classes=counts,
        together=together.tolist(),
        sizes=dict(zip(("width", "height"), map(_spread, sizes[good].T), strict=True)) if good.any() else {},
        pixels=int(area.sum()),
        tagged_pixels=int(area @ data.tags.sum(axis=1)),
        content=data.hashed("\n".join([*data.classes, "", *data.files]), contents.astype("<u8").tobytes()),
        duplicates=[[data.ids[index] for index in group] for group in groups],
        unreadable=[data.ids[index] for index in np.flatnonzero(~good)],
        true_masks=truth.found if truth is not None else "",
        disagree=disagree,
        errors=(bad_masks if skipped else bad_images + bad_masks) + _too_few(data, good),
        warnings=[
            *data.notes,
            *(truth.notes if truth is not None else ()),
            *skipped,
            *class_warnings(data.classes, data.tags, counts),
            *image_warnings(data, sizes, tones),
            *duplicate_warnings(data, groups),
            *mask_warnings(disagree),
        ],
    )


def _too_few(data: TaggedImages, good: np.ndarray) -> list[str]:
    """Batch norm needs two images, and learning needs many more."""
    left = int((good & ~data.validation).sum())
    if left >= 2 or not good.any():  # where no image can be read, each is an error already
        return []
    there = "is 1 image" if left == 1 else "are no images"
    return [f"there {there} to train on (validation images are not): 2 are needed"]


def _together(tags: np.ndarray) -> np.ndarray:
    """(C, C) int64 images that have both classes; in blocks, since products need numbers larger than bits."""
    counts = np.zeros((tags.shape[1], tags.shape[1]), dtype=np.int64)
    for start in range(0, len(tags), 1 << 16):
        block = tags[start : start + (1 << 16)].astype(np.float32)
        counts += np.rint(block.T @ block).astype(np.int64)
    return counts


def _spread(values: np.ndarray) -> list[int]:
    return [int(values.min()), int(np.median(values)), int(values.max())]


def _same(contents: np.ndarray, good: np.ndarray) -> list[list[int]]:
    """Groups of indices with equal content."""
    indices = np.flatnonzero(good)
    order = indices[np.argsort(contents[indices], kind="stable")]
    starts = np.flatnonzero(np.diff(contents[order])) + 1
    edges = np.concatenate([[0], starts, [len(order)]])
    long = np.flatnonzero(np.diff(edges) > 1)
    return sorted(order[edges[start] : edges[start + 1]].tolist() for start in long)


def _difference(data: TaggedImages, index: int, present: tuple[int, ...]) -> list[dict[str, Any]]:
    tagged, shown = set(np.flatnonzero(data.tags[index]).tolist()), set(present)

    def names(numbers: set[int]) -> list[str]:
        # The mask of a larger set of classes may hold numbers that have no name here.
        return [data.classes[number] if number < len(data.classes) else str(number + 1) for number in sorted(numbers)]

    only = {"only in tags": names(tagged - shown), "only in mask": names(shown - tagged)}
    return [{"id": data.ids[index], **only}] if tagged != shown else []


def typical_side(sizes: Mapping[str, Sequence[int]]) -> int:
    """The longer side of an image of median size, in pixels; 0 where no image could be read."""
    return max((middle for _, middle, _ in sizes.values()), default=0)


def to_json(checked: Checked) -> dict[str, Any]:
    """Plain values for a JSON file."""
    return dict(vars(checked))
