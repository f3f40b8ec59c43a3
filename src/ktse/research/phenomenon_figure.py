"""The figure of the phenomenon: overview and classes of the last network, training epochs, distance from the seam."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from ktse.reporting.charts import Chart, ChartRow, Line, Mark, figure, line_chart, row_chart
from ktse.research.changes import CONDITIONS

STYLES = {"same": "series-1", "other": "series-2", "blank": "series-4", "itself": "series-3"}
CHANGE = "change of the anchor's activation, %"


def picture(entries: Sequence[dict[str, Any]], warmup: int | None) -> str:
    """The figure: overview and classes of the last network, epochs, distance from the seam."""
    last = entries[-1]
    words = {name: CONDITIONS[name] for name in last["conditions"]}
    overview = [
        ChartRow(
            f"stitched to {words[name]}", [*_marks(entry["activation"], "series-1"), *_marks(entry["area"], "series-2")]
        )
        for name, entry in last["conditions"].items()
    ]
    by_class = [
        ChartRow(
            name, [mark for each in ("same", "other") if each in entry for mark in _marks(entry[each], STYLES[each])]
        )
        for name, entry in last["by_class"].items()
    ]
    epochs = [Line(text, *_over_epochs(entries, name), STYLES[name]) for name, text in words.items()]
    distance = [Line(text, *_over_distance(last["by_distance"][name]), STYLES[name]) for name, text in words.items()]
    measures = [("mean activation", "series-1"), ("covered area", "series-2")]
    classes = [(words[name], STYLES[name]) for name in ("same", "other") if name in words]
    end = None if warmup is None else (float(warmup), "end of the warm-up")
    charts = [
        Chart(
            f"What stitching does to the anchor's CAM, epoch {last['epoch']}",
            "Disc: change of the mean; bar: two standard errors either way. Dashed: no change.",
            _rows(overview, "by condition", "change within the anchor's part, %", measures),
        ),
        Chart(
            "By class",
            "The phenomenon: discs of the first colour left of zero, and left of those of the second.",
            _rows(by_class, "by class", CHANGE, classes),
        ),
        Chart("By training epoch", CHANGE, _lines(epochs if len(entries) > 1 else [], "by epoch", "epoch", end)),
        Chart(
            "By distance from the seam",
            f"{CHANGE}; 0: at the seam, 1: at the far side. What ends near the seam is an effect of the border.",
            _lines(distance, "by distance", "distance from the seam"),
        ),
    ]
    return figure(charts, "The phenomenon that SIE stands on")


def _rows(rows: Sequence[ChartRow], title: str, x_label: str, legend: Sequence[tuple[str, str]]) -> Markup:
    return row_chart(rows, title=title, x_label=x_label, legend=legend, reference=0.0)


def _lines(lines: Sequence[Line], title: str, x_label: str, begin: tuple[float, str] | None = None) -> Markup:
    return line_chart(lines, title=title, x_label=x_label, y_label=CHANGE, begin=begin, width=760, height=260)


def _marks(entry: dict[str, Any], style: str) -> list[Mark]:
    return [] if entry["change"] is None else [Mark(entry["change"], 2 * (entry["error"] or 0.0), (), style)]


def _over_epochs(entries: Sequence[dict[str, Any]], condition: str) -> tuple[list[float], list[float]]:
    known = [entry for entry in entries if condition in entry["conditions"]]
    changes = [entry["conditions"][condition]["activation"]["change"] for entry in known]
    return [float(entry["epoch"]) for entry in known], _numbers(changes)


def _over_distance(changes: Sequence[float | None]) -> tuple[list[float], list[float]]:
    return [(row + 0.5) / len(changes) for row in range(len(changes))], _numbers(changes)


def _numbers(values: Sequence[float | None]) -> list[float]:
    return [float("nan") if value is None else value for value in values]
