"""Fused masks: the mask of each of the run's images and the segmentation model's answer, as one label map."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

import numpy as np
from PIL import Image

from ktse.data.dataset import TaggedImages
from ktse.files import undecided, write_json, write_label_map
from ktse.prediction.predictor import Predictor
from ktse.recipe import PredictRecipe
from ktse.refinement.bands import enlarged_rows
from ktse.refinement.cutting import enlarge
from ktse.refinement.threshold import colour_regions, explained_share
from ktse.run_folder import RunFolder
from ktse.runtime.console import say, track
from ktse.runtime.processes import rank, wait_for_all
from ktse.runtime.words import many
from ktse.segmentation.fusion import fuse
from ktse.stages.levels import levelled_scores

WEIGHTS = (0.0, 0.1, 0.2, 0.3, 0.4)
"""Weights of the model that are compared; beyond them, masks grow worse wherever it was measured."""

COMPARED = 100
"""Images on which they are compared."""

PIXELS = 300_000
"""Pixels of an image that are looked at for that."""


class FusedMask:
    """The fused mask of one image, made of the probabilities that its prediction is made of.

    Args:
        run: a run with masks.
        name: of the image.
        label: (H, W) label map to fill.
        said: (H, W) what a person has drawn, which stays as it is, but for what was left undecided; None: nothing.
        threshold: where masks were cut.
        weight: of the model, 0..1.
    """

    def __init__(
        self, run: RunFolder, name: str, label: np.ndarray, said: np.ndarray | None, threshold: float, weight: float
    ) -> None:
        self.keys, self.scores = levelled_scores(run, name)[:2]
        self.path, self.label, self.said = run.fused_path(name), label, said
        self.threshold, self.weight = threshold, weight

    def add(self, top: int, probabilities: np.ndarray) -> None:
        """Take (C+1, rows, W) float32 from row `top` on."""
        bottom = top + probabilities.shape[1]
        scores = enlarged_rows(self.scores, (self.label.shape[0], self.label.shape[1]), top, bottom)
        self.label[top:bottom] = fuse(self.keys, scores, self.threshold, probabilities, self.weight)

    def write(self) -> None:
        """Write fused/ID.png."""
        if self.said is not None:
            self.label = np.where(self.said == undecided(self.said), self.label, self.said)
        write_label_map(self.path, self.label)


def choose_weight(
    run: RunFolder, data: TaggedImages, predictor: Predictor, recipe: PredictRecipe, threshold: float
) -> float:
    """The model's weight in fused masks; writes fused/summary.json, which says where it came from.

    With "auto" it is the one whose masks the colours of the images explain best (explained_share), so that a model
    that has learned little gets no say. No truth is used.

    Args:
        run: a run with masks.
        data: its images.
        predictor: the model.
        recipe: a weight, or "auto".
        threshold: where masks were cut.
    """
    path = run.path("fused", "summary.json")
    if rank() == 0 and not path.is_file():
        write_json(path, {**_decide(run, data, predictor, recipe, threshold), "key": run.key("predict")})
    wait_for_all()
    return float(run.summary("fused")["weight"])


def _decide(
    run: RunFolder, data: TaggedImages, predictor: Predictor, recipe: PredictRecipe, threshold: float
) -> dict[str, Any]:
    if recipe.fuse != "auto":
        return {"weight": float(recipe.fuse), "weight_source": "set in the recipe", "images": 0, "explained": {}}
    tagged = np.flatnonzero(data.tags.any(axis=1))
    sample = np.sort(np.random.default_rng(0).permutation(tagged)[:COMPARED])
    total = np.zeros(len(WEIGHTS))
    for index in track(sample.tolist(), "compare weights", total=len(sample)):
        total += _explained(run, data, index, predictor, threshold)
    weight = WEIGHTS[int(total.argmax())]
    shares = dict(zip(map(str, WEIGHTS), (total / max(1, len(sample))).round(5).tolist(), strict=True))
    source = f"where masks follow the colours of {many(len(sample), 'image')} best, no truth used"
    say(f"predict: in fused masks the model has the weight {weight:g} ({source})")
    return {"weight": weight, "weight_source": source, "images": len(sample), "explained": shares}


def _explained(run: RunFolder, data: TaggedImages, index: int, predictor: Predictor, threshold: float) -> np.ndarray:
    """How well colours explain where the objects of an image are, fused with each weight."""
    image = data.read(index, pixels=PIXELS)
    probabilities = cast(np.ndarray, predictor.predict(image, probabilities=True).probabilities)
    keys, stored = levelled_scores(run, data.ids[index])[:2]
    scores = enlarge(stored, (image.height, image.width))
    labels = (fuse(keys, scores, threshold, probabilities, weight) for weight in WEIGHTS)
    return explained(image, labels, stored.shape[:0:-1])


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
