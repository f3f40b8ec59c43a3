"""Fused masks: the mask of each of the run's images and the segmentation model's answer, as one label map."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from PIL import Image

from ktse.data.dataset import TaggedImages
from ktse.data.masks import Corrections
from ktse.files import undecided, write_json, write_label_map
from ktse.prediction.predictor import Predictor
from ktse.recipe import PredictRecipe
from ktse.refinement.bands import enlarged_rows
from ktse.refinement.cutting import enlarge
from ktse.refinement.threshold import colour_regions, explained_share
from ktse.run_folder import RunFolder, Scores
from ktse.runtime.console import say, track
from ktse.runtime.processes import rank, wait_for_all
from ktse.runtime.words import many
from ktse.segmentation.fusion import fuse
from ktse.stages.calibration import calibrated_threshold
from ktse.stages.levels import levelled_scores, with_levels

Read = Callable[[int, int], Image.Image]
"""Reads an image of the run by its index; scaled down to so many pixels, or 0: as it is."""

WEIGHTS = (0.0, 0.1, 0.2, 0.3, 0.4)
"""Weights of the model that are compared; beyond them, masks grow worse wherever it was measured."""

EARNED, ENOUGH_CORRECTED = 0.6, 20
"""Weight of a model that has learned from so many corrected masks; from fewer, in proportion."""

LEAST_CORRECTED = 6
"""Corrected masks from which on they choose thresholds."""

COMPARED = 100
"""Images on which they are compared."""

PIXELS = 300_000
"""Pixels of an image that are looked at for that."""


@dataclass(frozen=True)
class Fusing:
    """How a run's masks and its model are joined.

    Attributes:
        threshold: where masks are cut, 0..1.
        weight: of the model, 0..1.
        own: (C,) threshold of each class, where corrections have chosen them; empty: as refine has cut.
    """

    threshold: float
    weight: float
    own: tuple[float, ...] = ()

    def scores(self, run: RunFolder, name: str) -> Scores:
        """The refined scores of an image, as the threshold cuts them."""
        return with_levels(run.scores(name), self.threshold, self.own) if self.own else levelled_scores(run, name)


class FusedMask:
    """The fused mask of one image, made of the probabilities that its prediction is made of.

    Args:
        run: a run with masks.
        name: of the image.
        label: (H, W) label map to fill.
        said: (H, W) what a person has drawn, which stays as it is, but for what was left undecided; None: nothing.
        fusing: how both are joined.
    """

    def __init__(self, run: RunFolder, name: str, label: np.ndarray, said: np.ndarray | None, fusing: Fusing) -> None:
        self.keys, self.scores = fusing.scores(run, name)[:2]
        self.path, self.label, self.said, self.fusing = run.fused_path(name), label, said, fusing

    def add(self, top: int, probabilities: np.ndarray) -> None:
        """Take (C+1, rows, W) float32 from row `top` on."""
        bottom = top + probabilities.shape[1]
        scores = enlarged_rows(self.scores, (self.label.shape[0], self.label.shape[1]), top, bottom)
        how = self.fusing
        self.label[top:bottom] = fuse(self.keys, scores, how.threshold, probabilities, how.weight)

    def write(self) -> None:
        """Write fused/ID.png."""
        if self.said is not None:
            self.label = np.where(self.said == undecided(self.said), self.label, self.said)
        write_label_map(self.path, self.label)


def choose_fusing(
    run: RunFolder,
    data: TaggedImages,
    predictor: Predictor,
    read: Read,
    recipe: PredictRecipe,
    corrections: Corrections | None = None,
) -> Fusing:
    """How masks and model are joined; writes fused/summary.json, which says where that came from.

    With "auto" the model's weight is the one whose masks the colours of the images explain best (explained_share), so
    that a model that has learned little gets no say; no truth is used. A model that has learned from corrected masks
    earns more. These choose the thresholds, too, unless masks to calibrate with, or the dense CRF, decide.

    Args:
        run: a run with masks.
        data: its images.
        predictor: the model.
        read: reads an image for it.
        recipe: a weight, or "auto".
        corrections: masks that a person has corrected; those of images that are kept out of training have no say.
    """
    path = run.path("fused", "summary.json")
    if rank() == 0 and not path.is_file():
        names = [data.ids[index] for index in data.training if corrections and data.ids[index] in corrections]
        found = _weight(run, data, predictor, read, recipe, len(names)) | {"corrected": len(names)}
        kind = run.summary("masks")["threshold_kind"]
        if corrections is not None and len(names) >= LEAST_CORRECTED and kind not in ("calibrated", "crf"):
            suited = calibrated_threshold(data, corrections.only(names), run.scores)
            found |= {"threshold": suited.threshold, "own": suited.own if 0 < suited.threshold < 1 else ()}
        write_json(path, {**found, "key": run.key("predict")})
    wait_for_all()
    found = run.summary("fused")
    threshold = found.get("threshold", run.summary("masks")["threshold"])
    return Fusing(float(threshold), float(found["weight"]), tuple(found.get("own", ())))


def _weight(
    run: RunFolder, data: TaggedImages, predictor: Predictor, read: Read, recipe: PredictRecipe, corrected: int
) -> dict[str, Any]:
    if recipe.fuse != "auto":
        return {"weight": float(recipe.fuse), "weight_source": "set in the recipe", "images": 0, "explained": {}}
    earned = round(EARNED * min(1.0, corrected / ENOUGH_CORRECTED), 2)
    found = {"weight": earned, "weight_source": f"it has learned from {many(corrected, 'corrected mask')}"}
    found |= {"images": 0, "explained": {}}
    if earned < max(WEIGHTS):
        free = _by_colours(run, data, predictor, read)
        found = free if free["weight"] >= earned else found | {name: free[name] for name in ("images", "explained")}
    say(f"predict: in fused masks the model has the weight {found['weight']:g} ({found['weight_source']})")
    return found


def _by_colours(run: RunFolder, data: TaggedImages, predictor: Predictor, read: Read) -> dict[str, Any]:
    threshold = float(run.summary("masks")["threshold"])
    tagged = np.flatnonzero(data.tags.any(axis=1))
    sample = np.sort(np.random.default_rng(0).permutation(tagged)[:COMPARED])
    total = np.zeros(len(WEIGHTS))
    for index in track(sample.tolist(), "compare weights", total=len(sample)):
        image = read(index, PIXELS)
        size, labels = fused_labels(run, data.ids[index], image, predictor, Fusing(threshold, 0.0), WEIGHTS)
        total += explained(image, labels, size)
    weight = WEIGHTS[int(total.argmax())]
    shares = dict(zip(map(str, WEIGHTS), (total / max(1, len(sample))).round(5).tolist(), strict=True))
    source = f"where masks follow the colours of {many(len(sample), 'image')} best, no truth used"
    return {"weight": weight, "weight_source": source, "images": len(sample), "explained": shares}


def fused_labels(
    run: RunFolder, name: str, image: Image.Image, predictor: Predictor, fusing: Fusing, weights: Iterable[float]
) -> tuple[tuple[int, int], Iterator[np.ndarray]]:
    """The fused mask of an image with each of several weights of the model.

    Returns:
        width and height of the image's scores, and (H, W) labels for each weight.
    """
    probabilities = cast(np.ndarray, predictor.predict(image, probabilities=True).probabilities)
    keys, stored = fusing.scores(run, name)[:2]
    scores = enlarge(stored, (image.height, image.width))
    labels = (fuse(keys, scores, fusing.threshold, probabilities, weight) for weight in weights)
    return (stored.shape[2], stored.shape[1]), labels


def explained(image: Image.Image, labels: Iterable[np.ndarray], size: tuple[int, int]) -> np.ndarray:
    """How well the colours of an image explain where its objects are (explained_share).

    Args:
        image: RGB.
        labels: (H, W) each, 0 background.
        size: width and height at which they are compared.

    Returns:
        (number of labels,) float64, about 0..1.
    """
    regions = colour_regions(np.array(image.resize(size, Image.Resampling.BOX)))
    masks = (Image.fromarray((label > 0).astype(np.uint8)).resize(size, Image.Resampling.NEAREST) for label in labels)
    return np.array([explained_share(regions, np.asarray(mask, dtype=np.float32)[None])[-1] for mask in masks])
