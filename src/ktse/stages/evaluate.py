"""evaluate: how good tags, seeds, masks (plain and fused) and predictions are, and how each came about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ktse.data.dataset import TaggedImages
from ktse.data.masks import Truth
from ktse.errors import RunError
from ktse.files import label_type, write_json, write_table
from ktse.quality.judge import judge
from ktse.quality.metrics import THRESHOLDS, Confusion, ThresholdSweep, intersection_over_union, percent, tag_metrics
from ktse.recipe import Recipe
from ktse.refinement.bands import bands
from ktse.refinement.confidence import rank_correlation
from ktse.refinement.cutting import cut
from ktse.refinement.threshold import BINS, Threshold, choose_threshold
from ktse.run_folder import RunFolder
from ktse.runtime.console import say, track
from ktse.stages.facts import gather

UNTAGGED_WARNED = 0.5
"""Share of the classes in true masks that must be tagged for the two to be believed to speak of the same classes."""


@dataclass
class Measure:
    """What is counted about one stage.

    Attributes:
        parts: confusion of all images ("all"), and of training and validation images apart.
        sweep: confusion at every threshold, where there are scores to cut.
        images: mean IoU of each image, 0..1, over the classes in its true mask.
        said: the same over the classes that are in it or were said, so that an object that is not there counts.
    """

    parts: dict[str, Confusion]
    sweep: ThresholdSweep | None
    images: dict[str, float]
    said: dict[str, float]

    @classmethod
    def new(cls, classes: int, sweep: bool) -> Measure:
        """Nothing counted yet."""
        parts = {name: Confusion(classes) for name in ("all", "train", "validation")}
        return cls(parts, ThresholdSweep(classes, THRESHOLDS) if sweep else None, {}, {})

    def add(self, name: str, split: str, truth: np.ndarray, said: np.ndarray) -> None:
        """Count one image."""
        alone = Confusion(self.parts["all"].size - 1)
        alone.add(truth, said)
        self.parts["all"] += alone
        self.parts[split] += alone
        self.images[name], self.said[name] = alone.miou, alone.miou_said


def evaluate(run: RunFolder, data: TaggedImages, truth: Truth | None, recipe: Recipe) -> dict[str, Any]:
    """Write evaluation.json and evaluation_images.csv from what the other stages have left in the run folder.

    Without true masks only the tags are measured; the verdict then rests on signs that need none.

    Returns:
        the content of evaluation.json; mIoU and IoU in percent.

    Raises:
        RunError: there is nothing to measure yet.
    """
    if not run.path("seeds").is_dir():
        raise RunError(f"{run.root} has nothing to measure yet", hint=f"Do it first: ktse seed {run.root}")
    result: dict[str, Any] = {"unit": "percent", "classes": list(data.classes), "warnings": []}
    result["tags"] = _tags(run, data)
    seed_threshold = _seed_threshold(run, data)
    masks = run.summary("masks") or None
    if masks is not None:
        result["warnings"] += masks["warnings"]
        truth = _without_calibration(result, masks, truth)
    measures: dict[str, tuple[Measure, float | None, str | None]] = {}
    doubts: list[str] = []
    if truth is not None:
        measures, shown, doubts = _measure(run, data, truth, masks, seed_threshold)
        result["true_images"] = dict(zip(data.classes, shown.tolist(), strict=True))
        for doubt in doubts:
            say(f"evaluate: {doubt}")
        result["warnings"] += doubts
    settings = {
        "seed": {"tags_used": True, "scales": list(recipe.seed.scales)},
        "mask": {"tags_used": True, "scales": list(recipe.seed.scales), "method": recipe.refine.chain},
        "fused": {"tags_used": True, "scales": list(recipe.predict.scales)},
        "prediction": {"tags_used": False, "scales": list(recipe.predict.scales)},
    }
    for stage, (measure, threshold, source) in measures.items():
        result[stage] = {**_entry(measure, data.classes, threshold, source), **settings[stage]}
    if "fused" in measures:
        chosen = run.summary("fused")
        result["fused"] |= {key: chosen[key] for key in ("weight", "weight_source")}
    tags = dict(zip(data.ids, (data.tags.sum(axis=1) > 0).tolist(), strict=True))
    for stage in ("mask", "fused"):
        if stage in measures:
            tagged = {name: value for name, value in measures[stage][0].images.items() if tags[name]}
            result[stage] |= _confidence_correlation(run.confidence("masks"), tagged)
    if "prediction" in measures:
        said = measures["prediction"][0].said
        result["prediction"] |= _confidence_correlation(run.confidence("predictions"), said)
    result["verdict"] = judge(gather(run, data, recipe, result, seed_threshold.value, doubts)).to_json()
    write_json(run.path("evaluation.json"), result)
    _write_images(run, data, {stage: measure for stage, (measure, _, _) in measures.items()})
    return result


def _without_calibration(result: dict[str, Any], masks: dict[str, Any], truth: Truth | None) -> Truth | None:
    """The truth of the images that did not choose the threshold; says how many did, and None if no other is left."""
    if truth is None or not masks.get("calibration"):
        return truth
    chose = set(masks["calibration"]["images"])
    left = [name for name in truth.paths if name not in chose]
    result["calibration_left_out"] = len(truth.paths) - len(left)
    if len(left) < len(truth.paths):
        say(f"evaluate: {len(truth.paths) - len(left)} images chose the threshold and are left out")
    if not left:
        result["warnings"].append("Every image with a true mask chose the threshold, so that none is left to measure.")
        return None
    return truth.take(left)


def _confidence_correlation(said: dict[str, float], measured: dict[str, float]) -> dict[str, Any]:
    """Spearman's rank correlation of images' confidences with their true mIoU; nothing without confidences."""
    if not said:
        return {}
    names = [name for name, value in measured.items() if name in said and not np.isnan(value)]
    found = rank_correlation(np.array([said[name] for name in names]), np.array([measured[name] for name in names]))
    return {
        "confidence_correlation": None if found is None else round(found, 3),
        "confidence_images": len(names),
    }


def _tags(run: RunFolder, data: TaggedImages) -> dict[str, Any]:
    logits = np.stack([run.seed(name).logits for name in data.ids])
    parts = {"train": ~data.validation, "validation": data.validation}
    return {
        part: tag_metrics(logits[chosen], data.tags[chosen], data.classes)
        for part, chosen in parts.items()
        if chosen.any()
    }


def _measure(
    run: RunFolder, data: TaggedImages, truth: Truth, summary: dict[str, Any] | None, seed_threshold: Threshold
) -> tuple[dict[str, tuple[Measure, float | None, str | None]], np.ndarray, list[str]]:
    """Counts, threshold and its source of each stage; (C,) true masks that show a class; doubts about the truth."""
    classes = len(data.classes)
    labels = {"mask": run.mask, "fused": run.fused, "prediction": run.prediction}
    tagged, shown = 0, np.zeros(classes, dtype=np.int64)
    measured = [index for index, name in enumerate(data.ids) if name in truth.paths]
    found: dict[str, tuple[Measure, float | None, str | None]] = {}
    found["seed"] = (Measure.new(classes, sweep=True), seed_threshold.value, seed_threshold.source)
    if summary is not None:
        found["mask"] = (Measure.new(classes, sweep=True), summary["threshold"], summary["threshold_source"])
    if run.path("fused").is_dir():
        found["fused"] = (Measure.new(classes, sweep=False), None, None)
    if run.path("predictions").is_dir():
        found["prediction"] = (Measure.new(classes, sweep=False), None, None)
    for index in track(measured, "evaluate", total=len(measured)):
        name = data.ids[index]
        true = truth.read(name)
        split = "validation" if data.validation[index] else "train"
        present = [value - 1 for value in np.unique(true).tolist() if 0 < value <= classes]
        tagged += int(data.tags[index, present].sum())
        shown[present] += 1
        for stage, (measure, limit, _) in found.items():
            said = np.empty(true.shape, label_type(classes)) if stage == "seed" else labels[stage](name)
            if measure.sweep is not None:
                keys, small = _scores(run, name, stage)
                for rows, scores in bands(small, (true.shape[0], true.shape[1])):
                    measure.sweep.add(true[rows], keys, scores)
                    if stage == "seed" and limit is not None:
                        said[rows] = cut(keys, scores, limit, classes)
            measure.add(name, split, true, said)
    return found if shown.any() else {}, shown, _doubts(tagged, int(shown.sum()))


def _doubts(tagged: int, there: int) -> list[str]:
    """A warning if the tags do not know most of what the true masks hold: then their classes are hardly the same."""
    if there == 0:
        return ["no class occurs in the true masks: not measured"]
    if tagged >= UNTAGGED_WARNED * there:
        return []
    return [
        f"Of {there} classes in the true masks, image by image, only {tagged} are among the image's tags. Value k of "
        "a mask must be line k of the run's classes.txt: is the order another one? Renumber the masks, or give the "
        "order with --data.classes FILE; do not trust the measures before."
    ]


def _seed_threshold(run: RunFolder, data: TaggedImages) -> Threshold:
    explained = np.zeros(BINS)
    for name in data.ids:
        explained += run.seed(name).explained
    return choose_threshold(explained, "auto")


def _scores(run: RunFolder, name: str, stage: str) -> tuple[np.ndarray, np.ndarray]:
    if stage == "seed":
        return run.seed(name)[:2]
    return run.scores(name)[:2]


def _entry(measure: Measure, classes: tuple[str, ...], threshold: float | None, source: str | None) -> dict[str, Any]:
    names = ("background", *classes)
    whole = measure.parts["all"]
    entry: dict[str, Any] = {
        "miou": percent(whole.miou),
        "iou": {name: percent(value) for name, value in zip(names, whole.iou, strict=True)},
        "threshold": threshold,
        "threshold_source": source,
        "oracle": None,
        "curve": None,
        "images": len(measure.images),
        "split": "all",
        "undecided": round(whole.undecided, 5),
        "by_split": {
            split: {"miou": percent(part.miou), "images": part.images}
            for split, part in measure.parts.items()
            if split != "all" and part.counts[1:].sum() + part.missed[1:].sum() > 0
        },
    }
    if measure.sweep is not None and np.isfinite(measure.sweep.miou).any():
        best = int(np.nanargmax(measure.sweep.miou))
        iou = intersection_over_union(measure.sweep.counts[best])
        entry["oracle"] = {
            "miou": percent(measure.sweep.miou[best]),
            "threshold": float(THRESHOLDS[best]),
            "iou": {name: percent(value) for name, value in zip(names, iou, strict=True)},
        }
        entry["curve"] = {
            "thresholds": THRESHOLDS.tolist(),
            "miou": [percent(value) for value in measure.sweep.miou],
        }
    return entry


def _write_images(run: RunFolder, data: TaggedImages, measures: dict[str, Measure]) -> None:
    stages = ("seed", "mask", "fused", "prediction")
    rows = []
    for index, name in enumerate(data.ids):
        values = [measures[stage].images.get(name) if stage in measures else None for stage in stages]
        if any(value is not None for value in values):
            cells = ["" if value is None or np.isnan(value) else f"{100 * value:.3f}" for value in values]
            rows.append((name, "validation" if data.validation[index] else "train", *cells))
    write_table(run.path("evaluation_images.csv"), ("id", "split", *stages), rows)
