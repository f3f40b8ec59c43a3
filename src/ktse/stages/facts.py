"""What evaluate knows about a run without true masks, and with them: the facts that its verdict is made from."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from ktse.data.dataset import TaggedImages
from ktse.data.image import image_size
from ktse.data.transforms import long_side_size
from ktse.files import undecided
from ktse.quality.facts import ClassFacts, Facts
from ktse.recipe import Recipe
from ktse.refinement.cutting import cut
from ktse.run_folder import RunFolder
from ktse.runtime.console import track
from ktse.stages.levels import levelled_scores

SAMPLE = 400
"""Tagged images that are looked at."""

UNSEEN = 5
"""Images kept out of training that must have a tag for these to say how well it is known."""

FULL = 0.5
"""Share of an image above which a mask covers most of the image."""


class MaskFacts:
    """Counts over the masks, seeds and predictions of some images, class by class.

    Args:
        classes: number of classes C.
    """

    def __init__(self, classes: int) -> None:
        self.areas: list[list[float]] = [[] for _ in range(classes)]
        self.cells: list[list[float]] = [[] for _ in range(classes)]
        self.shrinks: list[list[float]] = [[] for _ in range(classes)]
        self.covered: list[float] = []
        # Pixels of both, of the first and of the second, for masks and predictions, and for seeds and masks.
        self.model, self.seeds = np.zeros((3, classes)), np.zeros((3, classes))
        self.predictions = 0

    def add(self, keys: np.ndarray, mask: np.ndarray, prediction: np.ndarray | None) -> None:
        """Count an image's mask and prediction: (H, W) label maps; keys: (K,) its classes 0..C-1."""
        self.covered.append(float(((mask > 0) & (mask != undecided(mask))).mean()))
        self.predictions += prediction is not None
        for key in keys:
            here = mask == key + 1
            self.areas[key].append(float(here.mean()))
            if prediction is not None:
                _count(self.model[:, key], here, prediction == key + 1)

    def add_scores(self, keys: np.ndarray, scores: np.ndarray, threshold: float) -> None:
        """Count by how much an image's masks depend on the threshold.

        Args:
            keys: (K,) classes 0..C-1.
            scores: (K, h, w) uint8 that the mask was cut from; 255 is 1.
            threshold: where it was cut, 0..1.
        """
        for key, plane in zip(keys, scores / 255, strict=True):
            if (inside := (plane > threshold).sum()) > 0:
                self.shrinks[key].append(float(inside / (plane > (threshold + plane.max()) / 2).sum()))

    def add_seed(self, keys: np.ndarray, cam: np.ndarray, seed: np.ndarray, mask: np.ndarray, cells: float) -> None:
        """Count an image's seed.

        Args:
            keys: (K,) classes 0..C-1 of the CAM.
            cam: (K, h, w) 0..1.
            seed: (h, w) the CAM, cut.
            mask: (h, w) the mask, scaled down.
            cells: cells of the network's grid over the whole image.
        """
        for place, key in enumerate(keys):
            self.cells[key].append(float((cam[place] > 0.5).mean() * cells))
            _count(self.seeds[:, key], seed == key + 1, mask == key + 1)


def _count(counts: np.ndarray, first: np.ndarray, second: np.ndarray) -> None:
    counts += ((first & second).sum(), first.sum(), second.sum())


def gather(
    run: RunFolder, data: TaggedImages, recipe: Recipe, result: dict[str, Any], seed_threshold: float, doubts: list[str]
) -> Facts:
    """The facts of a run.

    Args:
        run: the run folder.
        data: images and tags.
        recipe: the settings.
        result: the content of evaluation.json so far.
        seed_threshold: where seeds are cut, 0..1.
        doubts: what is odd about the true masks.
    """
    summary = run.summary("masks")
    looked = _look(run, data, recipe, seed_threshold) if summary else MaskFacts(len(data.classes))
    mask = result.get("mask", {})
    return Facts(
        root=str(run.root),
        training=len(data.training),
        classes=tuple(
            _class_facts(data, index, looked, result, summary.get("calibration") or {})
            for index in range(len(data.classes))
        ),
        threshold=summary.get("threshold"),
        threshold_kind=summary.get("threshold_kind", "recipe"),
        explained=max(summary.get("explained", []), default=None),
        full=_share([value > FULL for value in looked.covered]),
        empty=_share([value == 0 for value in looked.covered]),
        miou={
            stage: result[stage]["miou"]
            for stage in ("seed", "mask", "fused", "prediction")
            if stage in result and result[stage]["miou"] is not None
        },
        oracle=(mask.get("oracle") or {}).get("miou"),
        measured=mask.get("images", 0),
        correlation=mask.get("confidence_correlation"),
        confidences=_confidences(run, data),
        complaints=tuple(doubts),
        model_complaints=tuple(run.summary("segment").get("warnings", [])),
        calibrate=recipe.refine.calibrate,
        calibrating=len((summary.get("calibration") or {}).get("images", ())),
    )


def _look(run: RunFolder, data: TaggedImages, recipe: Recipe, seed_threshold: float) -> MaskFacts:
    found = MaskFacts(len(data.classes))
    tagged = np.flatnonzero(data.tags.any(axis=1))
    sample = np.sort(np.random.default_rng(0).permutation(tagged)[:SAMPLE])
    for index in track(sample.tolist(), "look at the masks", total=len(sample)):
        name, keys = data.ids[index], np.flatnonzero(data.tags[index])
        if not run.mask_path(name).is_file():
            continue
        mask = run.mask(name)
        found.add(keys, mask, run.prediction(name) if run.prediction_path(name).is_file() else None)
        if run.scores_path(name).is_file():
            found.add_scores(*levelled_scores(run, name)[:2], float(run.summary("masks")["threshold"]))
        stored = run.seed(name)
        cam = stored.cam.astype(np.float32)
        seed = cut(stored.keys, cam, seed_threshold, len(data.classes))
        small = Image.fromarray(mask).resize(cam.shape[:0:-1], Image.Resampling.NEAREST)
        cells = _cells(image_size(data.source(index)), recipe)
        found.add_seed(stored.keys, cam, seed, np.asarray(small), cells)
    return found


def _cells(size: tuple[int, int], recipe: Recipe) -> float:
    """Cells of the CAM over an image of this width and height, at the mean scale."""
    width, height = long_side_size(size, recipe.seed.long_side) if recipe.seed.long_side else size
    scale = float(np.mean(recipe.seed.scales)) / recipe.classify.output_stride
    return width * height * scale**2


def _class_facts(
    data: TaggedImages, index: int, looked: MaskFacts, result: dict[str, Any], calibration: dict[str, Any]
) -> ClassFacts:
    name, areas = data.classes[index], looked.areas[index]
    known, unseen = _known(name, result["tags"])
    stage = result.get("fused") or result.get("mask") or {}
    shown = result.get("true_images", {}).get(name, 0)
    both, first, second = looked.model[:, index]
    calibrated = calibration.get("iou", [None] * (index + 2))[index + 1]
    return ClassFacts(
        name=name,
        images=int(data.tags[data.training, index].sum()),
        share=float(data.tags[:, index].mean()),
        known=known,
        known_unseen=unseen,
        area=_median(areas),
        full=_share([value > FULL for value in areas]),
        empty=_share([value == 0 for value in areas]),
        cells=_median(looked.cells[index]),
        shrinks=_median(looked.shrinks[index]),
        predicted=float(second / first) if first and looked.predictions else None,
        agreement=_iou(both, first, second) if looked.predictions else None,
        seed_agreement=_iou(*looked.seeds[:, index]),
        iou=stage.get("iou", {}).get(name),
        true_masks=shown,
        calibrated_iou=None if calibrated is None else 100 * calibrated,
        calibrating=calibration.get("shown", [0] * (index + 2))[index + 1],
    )


def _known(name: str, tags: dict[str, Any]) -> tuple[float | None, bool]:
    """How far average precision is on the way from chance to perfect, and whether on unseen images."""
    for part, least in (("validation", UNSEEN), ("train", 1)):
        entry = tags.get(part, {}).get("by_class", {}).get(name)
        if entry and entry["ap"] is not None and entry["images"] >= least:
            chance = entry["images"] / tags[part]["images"]
            if chance < 1:
                return (entry["ap"] / 100 - chance) / (1 - chance), part == "validation"
    return None, False


def _confidences(run: RunFolder, data: TaggedImages) -> dict[str, float]:
    """Standard deviation of the confidence of masks and of predictions, over images with tags."""
    tagged = {name for name, row in zip(data.ids, data.tags, strict=True) if row.any()}
    found = {}
    for stage in ("masks", "predictions"):
        confidence = run.confidence(stage)
        if confidence and len(tagged) > 2:
            found[stage] = float(np.std([value for name, value in confidence.items() if name in tagged] or [0.0]))
    return found


def _median(values: list[float]) -> float | None:
    return float(np.median(values)) if values else None


def _share(values: list[bool]) -> float | None:
    return float(np.mean(values)) if values else None


def _iou(both: float, first: float, second: float) -> float | None:
    union = first + second - both
    return float(both / union) if union else None
