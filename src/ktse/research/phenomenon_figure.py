"""The figure of the phenomenon: overview and classes of the last network, training epochs, distance from the seam."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ktse.reporting.charts import Chart, ChartRow, Line, Mark, figure, line_chart, row_chart
from ktse.research.changes import CONDITIONS

STYLES = {"same": "series-1", "other": "series-2", "blank": "series-4", "itself": "series-3"}
WIDTH, HEIGHT = 760, 260


def picture(entries: Sequence[dict[str, Any]], warmup: int | None) -> str:
    """The figure: overview and classes of the last network, epochs, distance from the seam."""
    last = entries[-1]
    conditions = list(last["conditions"])
    overview = [
        ChartRow(
            f"stitched to {CONDITIONS[name]}",
            [
                *_marks(last["conditions"][name]["activation"], "series-1"),
                *_marks(last["conditions"][name]["area"], "series-2"),
            ],
        )
        for name in conditions
    ]
    by_class = [
        ChartRow(
            name, [mark for each in ("same", "other") if each in entry for mark in _marks(entry[each], STYLES[each])]
        )
        for name, entry in last["by_class"].items()
    ]
    epochs = [
        Line(CONDITIONS[name], *_over_epochs(entries, name), STYLES[name]) for name in conditions if len(entries) > 1
    ]
    profiles = {name: last["by_distance"][name] for name in conditions}
    distance = [
        Line(
            CONDITIONS[name], [(row + 0.5) / len(values) for row in range(len(values))], _numbers(values), STYLES[name]
        )
        for name, values in profiles.items()
    ]
    change = "change of the anchor's activation, %"
    return figure(
        [
            Chart(
                f"What stitching does to the anchor's CAM, epoch {last['epoch']}",
                "Disc: change of the mean; bar: two standard errors either way. Dashed: no change.",
                row_chart(
                    overview,
                    title="by condition",
                    x_label="change within the anchor's part, %",
                    reference=0.0,
                    legend=[("mean activation", "series-1"), ("covered area", "series-2")],
                ),
            ),
            Chart(
                "By class",
                "The phenomenon: discs of the first colour left of zero, and left of those of the second.",
                row_chart(
                    by_class,
                    title="by class",
                    x_label=change,
                    reference=0.0,
                    legend=[(CONDITIONS[name], STYLES[name]) for name in ("same", "other") if name in conditions],
                ),
            ),
            Chart(
                "By training epoch",
                change,
                line_chart(
                    epochs,
                    title="by epoch",
                    x_label="epoch",
                    y_label=change,
                    begin=None if warmup is None else (float(warmup), "end of the warm-up"),
                    width=WIDTH,
                    height=HEIGHT,
                ),
            ),
            Chart(
                "By distance from the seam",
                f"{change}; 0: at the seam, 1: at the far side. What ends near the seam is an effect of the border.",
                line_chart(
                    distance,
                    title="by distance",
                    x_label="distance from the seam",
                    y_label=change,
                    width=WIDTH,
                    height=HEIGHT,
                ),
            ),
        ],
        "The phenomenon that SIE stands on",
    )


def _marks(entry: dict[str, Any], style: str) -> list[Mark]:
    return [] if entry["change"] is None else [Mark(entry["change"], 2 * (entry["error"] or 0.0), (), style)]


def _over_epochs(entries: Sequence[dict[str, Any]], condition: str) -> tuple[list[float], list[float]]:
    known = [entry for entry in entries if condition in entry["conditions"]]
    values = [entry["conditions"][condition]["activation"]["change"] for entry in known]
    return [float(entry["epoch"]) for entry in known], _numbers(values)


def _numbers(values: Sequence[float | None]) -> list[float]:
    return [float("nan") if value is None else value for value in values]
