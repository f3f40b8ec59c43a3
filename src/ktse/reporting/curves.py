"""Training curves from metrics.jsonl: read, thinned to what an eye can see, one small chart per loss term."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup

from ktse.reporting.charts import Line, line_chart
from ktse.reporting.wording import is_number

POINTS = 200

TERMS = {
    "classification": ("Classification", "How wrong the tags are; the only term of the warm-up."),
    "transfer": ("Knowledge transfer", "Two images and the two stitched together must show the same (SIE)."),
    "background": ("Background pixels", "Pixels that the refined CAM of the network calls background (SSR)."),
    "foreground": ("Foreground pixels", "Pixels that the refined CAM of the network gives to a class (SSR)."),
    "inter_class": ("Gap between classes", "Second class of a pixel minus the first; below 0 is clear (SSR)."),
    "stitched_background": ("Background, stitched", "Background pixels, on the stitched image."),
    "stitched_foreground": ("Foreground, stitched", "Foreground pixels, on the stitched image."),
    "global_alignment": (
        "Global alignment",
        "Without its strongest part, a class must stay as active on average as before (MGA).",
    ),
    "local_alignment": (
        "Local alignment",
        "What remains after erasing must not become more active, pixel by pixel (MGA).",
    ),
    "erased_classification": (
        "Classification, erased",
        "How wrong the tags are without the strongest part of the image (rival ACoL).",
    ),
    "attraction": ("Attraction", "How far an erased image is from its anchor image (rival AEFT)."),
    "repulsion": ("Repulsion", "How close the weak part of an image is to an image with other tags (rival AEFT)."),
    "segmentation": ("Segmentation", "How far the model is from the masks, pixel by pixel."),
    "cross_entropy": ("Segmentation", "How far the model is from the masks, pixel by pixel."),
    "presence": ("Presence", "How wrong the model is about which classes a crop shows."),
    "agreement": ("Agreement", "How far two networks are from each other where masks are doubtful (BECO)."),
}


@dataclass(frozen=True)
class Panel:
    """One small chart with its words.

    Attributes:
        title: what it shows.
        words: one sentence that explains it.
        weight: factor of the term in the total loss, if known.
        chart: the drawing.
    """

    title: str
    words: str
    weight: float | None
    chart: Markup


@dataclass(frozen=True)
class Training:
    """What the report says about one training.

    Attributes:
        panels: a chart per loss term, the total where there are several, and the learning rate.
        remarks: (epoch, what happened).
        begin: epoch at which the terms beyond classification come in, if they do.
        epochs: the last epoch.
    """

    panels: list[Panel]
    remarks: list[tuple[float | None, str]]
    begin: float | None
    epochs: float


def training(entries: Sequence[dict[str, Any]], weights: object = None) -> Training | None:
    """Charts and remarks of one training; None if nothing was logged.

    Args:
        entries: lines of metrics.jsonl.
        weights: object with the weight of each term as an attribute.
    """
    remarks = [
        (float(entry["epoch"]) if is_number(entry.get("epoch")) else None, str(entry["event"]))
        for entry in entries
        if entry.get("event")
    ]
    measured = [entry for entry in entries if is_number(entry.get("epoch"))]
    names = list(dict.fromkeys(name for entry in measured for name in _terms(entry)))
    if not measured or not (names or remarks):
        return None
    begin = next((float(entry["epoch"]) for entry in measured if set(_terms(entry)) - {"classification"}), None)
    if begin is not None and "classification" not in names:
        begin = None
    ends = (0.0, float(np.ceil(max(float(entry["epoch"]) for entry in measured))))
    panels = []
    for name in names:
        title, words = TERMS.get(name, (name.replace("_", " ").capitalize(), ""))
        weight = getattr(weights, name, None)
        values = [(entry["epoch"], _terms(entry)[name]) for entry in measured if name in _terms(entry)]
        panels.append(Panel(title, words, weight if is_number(weight) else None, _chart(title, values, ends, begin)))
    totals = [(entry["epoch"], entry["total"]) for entry in measured if is_number(entry.get("total"))]
    if totals and len(names) > 1:
        chart = _chart("Total", totals, ends, begin, "series-2")
        panels.insert(0, Panel("Total", "The sum of all terms, each times its weight.", None, chart))
    rates = [(entry["epoch"], entry["lr"]) for entry in measured if is_number(entry.get("lr"))]
    if rates:
        chart = _chart("Learning rate", rates, ends, begin, "series-3")
        panels.append(Panel("Learning rate", "How large the training steps are.", None, chart))
    return Training(panels, remarks, begin, ends[1])


def thin(x: Sequence[float], y: Sequence[float], points: int = POINTS) -> tuple[np.ndarray, np.ndarray]:
    """Average neighbouring points, in bins of (nearly) equal count, until few are left.

    Args:
        x: N numbers.
        y: N numbers.
        points: how many may stay.

    Returns:
        x and y: (M,) float64, M = min(N, points).
    """
    bins = min(len(x), points)
    edges = np.linspace(0, len(x), bins + 1).round().astype(np.intp)
    counts = np.diff(edges)
    if not bins:
        return np.empty(0), np.empty(0)
    first = edges[:-1]
    return (
        np.add.reduceat(np.asarray(x, dtype=np.float64), first) / counts,
        np.add.reduceat(np.asarray(y, dtype=np.float64), first) / counts,
    )


def _terms(entry: dict[str, Any]) -> dict[str, float]:
    terms = entry.get("terms")
    return {str(name): value for name, value in terms.items() if is_number(value)} if isinstance(terms, dict) else {}


def _chart(
    name: str,
    values: list[tuple[float, float]],
    ends: tuple[float, float],
    begin: float | None,
    style: str = "series-1",
) -> Markup:
    """Draw one curve; what was given up when training went back to an earlier epoch is pale."""
    x, y = np.array(values, dtype=np.float64).T
    kept = x <= np.minimum.accumulate(x[::-1])[::-1]
    parts = [(kept, False)]
    lost = np.flatnonzero(~kept)
    for run in np.split(lost, np.flatnonzero(np.diff(x[lost]) < 0) + 1):
        parts.append((run, True))
    lines = []
    for part, faint in parts:
        few = thin(x[part].tolist(), y[part].tolist())
        lines.append(Line(name, few[0].tolist(), few[1].tolist(), style, faint))
    label = f"{name} by epoch: from {y[0]:.3g} to {y[-1]:.3g}"
    mark = None if begin is None else (begin, "KTSE begins")
    return line_chart(lines, title=label, x_label="epoch", begin=mark, x_range=ends, width=320, height=170)
