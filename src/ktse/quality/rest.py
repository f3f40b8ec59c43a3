"""How good the masks of a run are that nobody has checked, from those that a person has accepted or corrected."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from ktse.data.dataset import TaggedImages
from ktse.data.edit_layer import EditLayer
from ktse.errors import RunError
from ktse.files import read_label_map
from ktse.quality.expected import LEAST, Interval, Line, by_chance, sample
from ktse.quality.metrics import Confusion
from ktse.run_folder import RunFolder
from ktse.runtime.words import many


@dataclass(frozen=True)
class Rest:
    """What is known about the masks that nobody has checked, of the tagged images that the model learns from.

    Masks of images that are kept out of training do not count: they may be better or worse.

    Attributes:
        checked: number of masks that a person has accepted, corrected or rejected.
        confidence: (n,) of those of them that were drawn by chance.
        iou: (n,) their IoU, 0..1: mean over the classes, background aside, that the mask of the run (masks/ID.png) or
            that of the person shows. A rejected mask counts as 0.
        apart: (k, 2) confidence and IoU of the other checked masks.
        others: confidence of the masks that nobody has checked, by image id.
    """

    checked: int
    confidence: np.ndarray
    iou: np.ndarray
    apart: np.ndarray
    others: dict[str, float]

    @property
    def line(self) -> Line | None:
        """From confidence to IoU; None if too few masks were checked."""
        return Line.through(self.confidence, self.iou) if len(self.iou) >= LEAST else None

    @property
    def each(self) -> dict[str, float]:
        """The expected IoU, 0..1, of each of the others; empty if too few were checked."""
        values = np.array(list(self.others.values()))
        return dict(zip(self.others, self.line.each(values).tolist(), strict=True)) if self.line else {}

    @property
    def mean(self) -> Interval | None:
        """The expected mean IoU of the others; None if it is not known, or there are none."""
        if not self.line or not self.others:
            return None
        # The sample speaks for all masks outside it. Chosen ones are worse, and known: they are taken off.
        outside = np.array([*self.others.values(), *self.apart[:, 0]])
        return self.line.mean(outside).without(self.apart[:, 1], len(outside))

    @property
    def sentence(self) -> str:
        """The same in words; empty if nobody has checked a mask, or all are."""
        if not self.checked or not self.others:
            return ""
        drawn = many(len(self.iou), "checked mask that was", "checked masks that were") + " drawn by chance"
        if self.mean is None:
            needed = f"it needs {LEAST} checked masks that were drawn by chance, and has {len(self.iou)}"
            return f"expected mIoU of the rest: not known yet; {needed} (the review page shows them)"
        return f"expected mIoU of the rest {self.mean}: {many(len(self.others), 'mask')}, from {drawn}"


def rest_of(run: RunFolder, data: TaggedImages, edits: EditLayer | None = None) -> Rest:
    """Compare the masks of a run with what a person has made of them.

    Args:
        run: a run with masks.
        data: its images and tags; images without a tag have an empty mask, and do not count.
        edits: what a person has done; None: as it is stored.

    Raises:
        RunError: a file of the run is damaged.
    """
    if edits is None:
        edits = EditLayer(run.path("corrections"), data.ids)
        data = edits.tagged(data)
    judged = {name: _iou(run, edits, name, len(data.classes)) for name in edits.decided()}
    return rest_from(data, run.confidence("masks"), judged | dict.fromkeys(edits.rejected(), 0.0))


def rest_from(data: TaggedImages, confidence: Mapping[str, float], judged: Mapping[str, float]) -> Rest:
    """The same from numbers.

    Args:
        data: images and tags.
        confidence: of the masks, 0..1, by image id.
        judged: IoU, 0..1, of the masks that a person has checked, by image id; NaN where it is not known.
    """
    names = [data.ids[index] for index in data.training if data.tags[index].any()]  # the page draws from these
    tagged = [name for name in names if name in confidence]
    order = [tagged[index] for index in by_chance(tagged)]
    drawn = order[: sample(np.array([name in judged for name in order]))]
    known = {name: (confidence[name], judged[name]) for name in tagged if not np.isnan(judged.get(name, np.nan))}
    pairs = np.array([known.pop(name) for name in drawn if name in known]).reshape(-1, 2)
    others = {name: confidence[name] for name in tagged if name not in judged}
    apart = np.array(list(known.values())).reshape(-1, 2)
    return Rest(len(tagged) - len(others), pairs[:, 0], pairs[:, 1], apart, others)


def rest_in_words(run: RunFolder, data: TaggedImages) -> str:
    """The sentence of `rest_of`; empty too if files are damaged, since the page and `ktse accept` say that."""
    if not run.path("corrections").is_dir():
        return ""
    with suppress(OSError, RunError):
        return rest_of(run, data).sentence
    return ""


def _iou(run: RunFolder, edits: EditLayer, name: str, classes: int) -> float:
    """IoU of the mask of an image; NaN if it is not known, as files are missing or damaged, or all is undecided."""
    paths = run.mask_path(name), edits.path(name)
    with suppress(OSError, RunError, ValueError):
        return _compared(*paths, *(path.stat().st_mtime_ns for path in paths), classes)
    return float("nan")


@lru_cache(4096)
def _compared(mask: Path, right: Path, made: int, drawn: int, classes: int) -> float:
    """IoU of a mask in a file with the right one; the times of change tell what is known already."""
    confusion = Confusion(classes)
    confusion.add(read_label_map(right), read_label_map(mask))
    return confusion.objects
