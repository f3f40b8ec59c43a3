"""evaluate: how good tags, seeds, masks (plain and fused) and predictions are, and how each came about."""

from __future__ import annotations

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
from ktse.runtime.words import many
from ktse.stages.facts import gather
from ktse.stages.levels import levelled_scores

UNTAGGED_WARNED = 0.75
"""Share of the classes in true masks that must be tagged for the two to be believed to speak of the same classes."""


class Measure:
    """What is counted about one stage.

    Attributes:
        threshold: where its scores were cut, and from where that comes; None without scores.
        parts: confusion of all images ("all"), and of training and validation images apart.
        sweep: confusion at every threshold, where there are scores to cut.
        images: mean IoU of each image, 0..1, over the classes in its true mask.
        said: the same over the classes that are in it or were said, so that an object that is not there counts.
    """

    def __init__(self, classes: int, threshold: tuple[float, str] | None = None) -> None:
        self.threshold = threshold
        self.parts = {name: Confusion(classes) for name in ("all", "train", "validation")}
        self.sweep = ThresholdSweep(classes, THRESHOLDS) if threshold is not None else None
        self.images: dict[str, float] = {}
        self.said: dict[str, float] = {}

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
    result: dict[str, Any] = {"key": run.key("evaluate"), "unit": "percent"}
    result |= {"classes": list(data.classes), "warnings": []}
    result["tags"] = _tags(run, data)
    seed_threshold = _seed_threshold(run, data)
    masks = run.summary("masks") or None
    if masks is not None:
        result["warnings"] += masks["warnings"]
        truth = _without_calibration(result, masks, truth)
    measures: dict[str, Measure] = {}
    doubts: list[str] = []
    if truth is not None:
        measures, result["true_images"], doubts = _measure(run, data, truth, masks, seed_threshold)
        for doubt in doubts:
            say(f"evaluate: {doubt}")
        result["warnings"] += doubts
    scales = {"seed": recipe.seed.scales, "mask": recipe.seed.scales}
    for stage, measure in measures.items():
        result[stage] = _entry(measure, data.classes)
        result[stage] |= {"tags_used": stage != "prediction", "scales": list(scales.get(stage, recipe.predict.scales))}
        result[stage] |= {"method": recipe.refine.chain} if stage == "mask" else {}
    if "fused" in measures:
        chosen = run.summary("fused")
        result["fused"] |= {key: chosen[key] for key in ("weight", "weight_source")}
    tagged = {name for name, tags in zip(data.ids, data.tags, strict=True) if tags.any()}
    for stage in measures.keys() & {"mask", "fused"}:
        images = {name: value for name, value in measures[stage].images.items() if name in tagged}
        result[stage] |= _confidence_correlation(run.confidence("masks"), images)
    if "prediction" in measures:
        said = measures["prediction"].said
        result["prediction"] |= _confidence_correlation(run.confidence("predictions"), said)
    result["verdict"] = judge(gather(run, data, recipe, result, seed_threshold.value, doubts)).to_json()
    write_json(run.path("evaluation.json"), result)
    _write_images(run, data, measures)
    return result


def _without_calibration(result: dict[str, Any], masks: dict[str, Any], truth: Truth | None) -> Truth | None:
    """The truth of the images that did not choose the threshold; says how many did, and None if no other is left."""
    if truth is None or not masks.get("calibration"):
        return truth
    chose = set(masks["calibration"]["images"])
    left = [name for name in truth.paths if name not in chose]
    out = len(truth.paths) - len(left)
    result["calibration_left_out"] = out
    if out:
        say(f"evaluate: {many(out, 'image chose the threshold and is', 'images chose the threshold and are')} left out")
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
    correlation = None if found is None else round(found, 3)
    return {"confidence_correlation": correlation, "confidence_images": len(names)}


def _tags(run: RunFolder, data: TaggedImages) -> dict[str, Any]:
    logits = np.stack([run.seed(name).logits for name in data.ids])
    parts = {"train": ~data.validation, "validation": data.validation}
    chosen = {part: (logits[rows], data.tags[rows]) for part, rows in parts.items() if rows.any()}
    return {part: tag_metrics(*values, data.classes) for part, values in chosen.items()}


def _measure(
    run: RunFolder, data: TaggedImages, truth: Truth, summary: dict[str, Any] | None, seed_threshold: Threshold
) -> tuple[dict[str, Measure], dict[str, int], list[str]]:
    """What is counted about each stage; true masks that show each class; doubts about the truth."""
    classes = len(data.classes)
    labels = {"mask": run.mask, "fused": run.fused, "prediction": run.prediction}
    tagged, shown = 0, np.zeros(classes, dtype=np.int64)
    measured = [index for index, name in enumerate(data.ids) if name in truth.paths]
    found = {"seed": Measure(classes, (seed_threshold.value, seed_threshold.source))}
    if summary is not None:
        found["mask"] = Measure(classes, (summary["threshold"], summary["threshold_source"]))
    folders = {"fused": "fused", "prediction": "predictions"}
    found |= {stage: Measure(classes) for stage, folder in folders.items() if run.path(folder).is_dir()}
    for index in track(measured, "evaluate", total=len(measured)):
        name = data.ids[index]
        true = truth.read(name)
        split = "validation" if data.validation[index] else "train"
        present = [value - 1 for value in np.unique(true).tolist() if 0 < value <= classes]
        tagged += int(data.tags[index, present].sum())
        shown[present] += 1
        for stage, measure in found.items():
            said = np.empty(true.shape, label_type(classes)) if stage == "seed" else labels[stage](name)
            if measure.sweep is not None:
                keys, small = (run.seed(name) if stage == "seed" else levelled_scores(run, name))[:2]
                for rows, scores in bands(small, (true.shape[0], true.shape[1])):
                    measure.sweep.add(true[rows], keys, scores)
                    if stage == "seed":
                        said[rows] = cut(keys, scores, seed_threshold.value, classes)
            measure.add(name, split, true, said)
    images = dict(zip(data.classes, shown.tolist(), strict=True))
    return found if shown.any() else {}, images, _doubts(tagged, int(shown.sum()))


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
    return choose_threshold(sum((run.seed(name).explained for name in data.ids), np.zeros(BINS)), "auto")


def _entry(measure: Measure, classes: tuple[str, ...]) -> dict[str, Any]:
    def by_class(values: np.ndarray) -> dict[str, float | None]:
        return {name: percent(value) for name, value in zip(("background", *classes), values, strict=True)}

    whole, (threshold, source), oracle, curve = measure.parts["all"], measure.threshold or (None, None), None, None
    if measure.sweep is not None and np.isfinite(miou := measure.sweep.miou).any():
        best = int(np.nanargmax(miou))
        iou = by_class(intersection_over_union(measure.sweep.counts[best]))
        oracle = {"miou": percent(miou[best]), "threshold": float(THRESHOLDS[best]), "iou": iou}
        curve = {"thresholds": THRESHOLDS.tolist(), "miou": [percent(value) for value in miou]}
    entry: dict[str, Any] = {"miou": percent(whole.miou), "iou": by_class(whole.iou)}
    entry |= {"threshold": threshold, "threshold_source": source, "oracle": oracle, "curve": curve}
    entry |= {"images": len(measure.images), "split": "all", "undecided": round(whole.undecided, 5), "by_split": {}}
    for split in ("train", "validation"):
        part = measure.parts[split]
        if part.counts[1:].sum() + part.missed[1:].sum() > 0:
            entry["by_split"][split] = {"miou": percent(part.miou), "images": part.images}
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
