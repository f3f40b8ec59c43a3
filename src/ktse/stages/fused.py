"""Fused masks: the mask of each of the run's images and the segmentation model's answer, as one label map."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from PIL import Image

from ktse.data.dataset import TaggedImages
from ktse.data.masks import Corrections
from ktse.files import label_type, undecided, write_json, write_label_map
from ktse.prediction.predictor import Predictor
from ktse.recipe import PredictRecipe
from ktse.refinement.bands import enlarged_rows
from ktse.refinement.threshold import colour_regions, explained_share
from ktse.run_folder import RunFolder
from ktse.runtime.console import say, track
from ktse.runtime.processes import rank, wait_for_all
from ktse.segmentation.fusion import fuse

WEIGHTS = (0.0, 0.1, 0.2, 0.3, 0.4)
"""Weights of the model that are compared; beyond them, masks grow worse wherever it was measured."""

COMPARED = 200
"""Images on which they are compared."""

PIXELS = 300_000
"""Pixels of an image that are looked at for that."""


class FusedMask:
    """The fused mask of one image, made of the probabilities that its prediction is made of.

    Args:
        run: a run with masks.
        corrections: a mask that a person has corrected stays as it is, but for what was left undecided.
        name: of the image.
        size: width and height.
        threshold: where masks were cut.
        weight: of the model, 0..1.
        classes: number of classes C.
    """

    def __init__(
        self,
        run: RunFolder,
        corrections: Corrections,
        name: str,
        size: tuple[int, int],
        threshold: float,
        weight: float,
        classes: int,
    ) -> None:
        stored = run.scores(name)
        self.keys, self.scores, self.threshold, self.weight = stored.keys, stored.scores, threshold, weight
        self.path = run.fused_path(name)
        self.label = np.empty(size[::-1], dtype=label_type(classes))
        self.said = corrections.read(name, label_type(classes)) if name in corrections else None

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
        write_json(path, _decide(run, data, predictor, recipe, threshold))
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
    shares = (total / max(1, len(sample))).round(5).tolist()
    source = f"where masks follow the colours of {len(sample)} images best, no truth used"
    say(f"predict: in fused masks the model has the weight {weight:g} ({source})")
    return {
        "weight": weight,
        "weight_source": source,
        "images": len(sample),
        "explained": dict(zip(map(str, WEIGHTS), shares, strict=True)),
    }


def _explained(run: RunFolder, data: TaggedImages, index: int, predictor: Predictor, threshold: float) -> np.ndarray:
    """How well colours explain where the objects of an image are, fused with each weight."""
    image = data.read(index, pixels=PIXELS)
    probabilities = predictor.predict(image, probabilities=True).probabilities
    if probabilities is None:
        raise ValueError("probabilities were asked for")
    stored = run.scores(data.ids[index])
    size = stored.scores.shape[:0:-1]
    scores = enlarged_rows(stored.scores, (image.height, image.width), 0, image.height)
    labels = (fuse(stored.keys, scores, threshold, probabilities, weight) for weight in WEIGHTS)
    return explained(image, labels, size)


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
