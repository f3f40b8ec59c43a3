"""Training curves from metrics.jsonl: read, thinned to what an eye can see, one small chart per loss term."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from markupsafe import Markup

from ktse.reporting.charts import Line, line_chart
from ktse.reporting.wording import is_number

MOST_POINTS = 200
"""Points of a curve that are drawn."""

TERMS: dict[str, list[str]] = yaml.safe_load(Path(__file__).with_name("loss_terms.yaml").read_text(encoding="utf-8"))
"""Name and explanation of each loss term."""


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
    """

    panels: list[Panel]
    remarks: list[tuple[float | None, str]]
    begin: float | None


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
    terms = [_terms(entry) for entry in measured]
    names = list(dict.fromkeys(name for found in terms for name in found))
    if not measured or not (names or remarks):
        return None
    epochs = [float(entry["epoch"]) for entry in measured]
    begins = (epoch for epoch, found in zip(epochs, terms, strict=True) if set(found) - {"classification"})
    begin = next(begins, None) if "classification" in names else None
    ends = (0.0, float(np.ceil(max(epochs))))

    def panel(title: str, words: str, values: Sequence[Any], style: str = "series-1", weight: Any = None) -> None:
        points = [point for point in zip(epochs, values, strict=True) if is_number(point[1])]
        if points:
            chart = _chart(title, points, ends, begin, style)
            panels.append(Panel(title, words, weight if is_number(weight) else None, chart))

    panels: list[Panel] = []
    if len(names) > 1:
        totals = [entry.get("total") for entry in measured]
        panel("Total", "The sum of all terms, each times its weight.", totals, "series-2")
    for name in names:
        title, words = TERMS.get(name, (name.replace("_", " ").capitalize(), ""))
        panel(title, words, [found.get(name) for found in terms], weight=getattr(weights, name, None))
    rates = [entry.get("lr") for entry in measured]
    panel("Learning rate", "How large the training steps are.", rates, "series-3")
    return Training(panels, remarks, begin)


def thin(x: Sequence[float], y: Sequence[float], points: int = MOST_POINTS) -> tuple[np.ndarray, np.ndarray]:
    """Average neighbouring points, in bins of (nearly) equal count, until few are left.

    Args:
        x: N numbers.
        y: N numbers.
        points: how many may stay.

    Returns:
        x and y: (M,) float64, M = min(N, points).
    """
    bins = min(len(x), points)
    if not bins:
        return np.empty(0), np.empty(0)
    edges = np.linspace(0, len(x), bins + 1).round().astype(np.intp)
    means = [np.add.reduceat(np.asarray(of, np.float64), edges[:-1]) / np.diff(edges) for of in (x, y)]
    return means[0], means[1]


def _terms(entry: dict[str, Any]) -> dict[str, float]:
    terms = entry.get("terms")
    return {str(name): value for name, value in terms.items() if is_number(value)} if isinstance(terms, dict) else {}


def _chart(
    name: str, values: Sequence[tuple[float, float]], ends: tuple[float, float], begin: float | None, style: str
) -> Markup:
    """Draw one curve; what was given up when training went back to an earlier epoch is pale."""
    x, y = np.array(values, dtype=np.float64).T
    kept = x <= np.minimum.accumulate(x[::-1])[::-1]
    lost = np.flatnonzero(~kept)
    given_up = np.split(lost, np.flatnonzero(np.diff(x[lost]) < 0) + 1)
    lines = []
    for part, faint in [(kept, False), *((part, True) for part in given_up)]:
        few_x, few_y = thin(x[part].tolist(), y[part].tolist())
        lines.append(Line(name, few_x.tolist(), few_y.tolist(), style, faint))
    label = f"{name} by epoch: from {y[0]:.3g} to {y[-1]:.3g}"
    mark = None if begin is None else (begin, "KTSE begins")
    return line_chart(lines, title=label, x_label="epoch", begin=mark, x_range=ends, width=320, height=170)
