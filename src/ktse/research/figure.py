"""Figures for papers and pages: named rows with means and spreads, and several charts as one SVG file of their own."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from markupsafe import Markup

from ktse.reporting.charts import CHARACTER, RIGHT, ticks

ROW, PAD = 32, 24
STYLE = """
text { font: 12px system-ui, "Segoe UI", Roboto, "Helvetica Neue", "DejaVu Sans", sans-serif; fill: #1c2126; }
.paper { fill: #ffffff; } .heading { font-size: 16px; font-weight: 600; }
.tick, .words { fill: #5a646e; } .key { font-size: 11px; }
.grid { stroke: #dde2e7; } .axis { stroke: #5a646e; } .begin { stroke: #5a646e; stroke-dasharray: 3 3; }
.series-1 { fill: #0c7d78; stroke: #0c7d78; } .series-2 { fill: #b8661a; stroke: #b8661a; }
.series-3 { fill: #5650c4; stroke: #5650c4; } .series-4 { fill: #5a646e; stroke: #5a646e; }
polyline { fill: none; stroke-width: 1.8; stroke-linejoin: round; } polyline[class] { fill: none; }
line.series-1, line.series-2, line.series-3, line.series-4 { stroke-width: 2; }
circle.single { fill-opacity: 0.35; stroke: none; } .hover { fill: transparent; stroke: none; }
"""


@dataclass(frozen=True)
class Mark:
    """A mean with its spread in a row.

    Attributes:
        mean: where the disc is.
        deviation: how far the bar reaches on either side.
        values: single values, drawn small.
        style: CSS class that gives its colour, series-1 to series-4.
    """

    mean: float
    deviation: float
    values: Sequence[float]
    style: str

    def ends(self) -> tuple[float, float]:
        """Where its bar ends."""
        return self.mean - self.deviation, self.mean + self.deviation


@dataclass(frozen=True)
class Row:
    """One named row.

    Attributes:
        name: at the left.
        marks: what is drawn, one above another.
        note: what stands there instead.
    """

    name: str
    marks: Sequence[Mark]
    note: str = ""


@dataclass(frozen=True)
class Chart:
    """A chart under a heading.

    Attributes:
        heading: above it.
        words: one line that says how to read it.
        drawing: an SVG element with width and height.
    """

    heading: str
    words: str
    drawing: Markup


@dataclass(frozen=True)
class _Scale:
    """From values to places along the axis."""

    left: float
    right: float
    low: float
    high: float

    def place(self, value: float) -> str:
        return f"{self.left + (value - self.low) / (self.high - self.low) * (self.right - self.left):.1f}"


def row_chart(
    rows: Sequence[Row],
    *,
    title: str,
    x_label: str,
    legend: Sequence[tuple[str, str]] = (),
    reference: float | None = None,
    width: int = 760,
) -> Markup:
    """Draw named rows over one axis.

    Args:
        rows: from top to bottom.
        title: what a screen reader says.
        x_label: what the axis shows.
        legend: name and CSS class of each colour.
        reference: value that all rows are to be compared with, drawn as a dashed line.
        width: of the canvas.

    Returns:
        An SVG element; empty if there is nothing to draw.
    """
    reach = [value for row in rows for mark in row.marks for value in (*mark.ends(), *mark.values)]
    if not reach:
        return Markup("")
    reach += [] if reference is None else [reference]
    marked = ticks(min(reach), max(reach), around=True, aim=6)
    scale = _Scale(20 + CHARACTER * max(len(row.name) for row in rows), width - RIGHT - 8, marked[0], marked[-1])
    top = 24 if legend else 6
    bottom = top + ROW * len(rows) + 4
    parts = [*_key(legend, scale.left), *_axis(scale, marked, top, bottom, x_label)]
    if reference is not None:
        x = scale.place(reference)
        parts.append(f'<line class="begin" x1="{x}" x2="{x}" y1="{top}" y2="{bottom}"/>')
    for number, row in enumerate(rows):
        parts += _row(scale, row, top + ROW * (number + 0.5))
    return Markup(
        f'<svg class="chart" viewBox="0 0 {width} {bottom + 40}" width="{width}" height="{bottom + 40}" role="img" '
        f'aria-label="{escape(title)}">{"".join(parts)}</svg>'
    )


def _key(legend: Sequence[tuple[str, str]], left: float) -> list[str]:
    parts, across = [], left
    for name, style in legend:
        parts.append(f'<circle class="{style}" cx="{across + 5:.1f}" cy="8" r="5"/>')
        parts.append(f'<text x="{across + 16:.1f}" y="8" dy="0.35em">{escape(name)}</text>')
        across += 40 + CHARACTER * len(name)
    return parts


def _axis(scale: _Scale, marked: Sequence[float], top: float, bottom: float, x_label: str) -> list[str]:
    parts = []
    for value in marked:
        x = scale.place(value)
        parts.append(f'<line class="grid" x1="{x}" x2="{x}" y1="{top}" y2="{bottom}"/>')
        parts.append(f'<text class="tick" x="{x}" y="{bottom + 15}" text-anchor="middle">{value:.4g}</text>')
    label = f'<text class="tick" x="{scale.right}" y="{bottom + 32}" text-anchor="end">{escape(x_label)}</text>'
    line = f'<line class="axis" x1="{scale.left:.1f}" x2="{scale.right}" y1="{bottom}" y2="{bottom}"/>'
    return [*parts, label, line]


def _row(scale: _Scale, row: Row, middle: float) -> list[str]:
    at = f'y="{middle:.1f}" dy="0.35em"'
    parts = [f'<text x="{scale.left - 10:.1f}" {at} text-anchor="end">{escape(row.name)}</text>']
    if row.note:
        parts.append(f'<text class="words" x="{scale.left + 6:.1f}" {at}>{escape(row.note)}</text>')
    for index, mark in enumerate(row.marks):
        y = f"{middle + 8 * (index - (len(row.marks) - 1) / 2):.1f}"
        low, high = mark.ends()
        if high > low:
            ends = f'x1="{scale.place(low)}" x2="{scale.place(high)}" y1="{y}" y2="{y}"'
            parts.append(f'<line class="{mark.style}" {ends}/>')
        for value in mark.values:
            parts.append(f'<circle class="{mark.style} single" cx="{scale.place(value)}" cy="{y}" r="3"/>')
        words = escape(f"{row.name}: {mark.mean:.2f}" + (f" ± {mark.deviation:.2f}" if mark.deviation else ""))
        disc = f'<circle class="{mark.style}" cx="{scale.place(mark.mean)}" cy="{y}" r="4">'
        parts.append(f"{disc}<title>{words}</title></circle>")
    return parts


def figure(charts: Sequence[Chart], title: str) -> str:
    """Put charts under one another in an SVG file that needs no style sheet.

    Args:
        charts: from top to bottom; those without a drawing are left out.
        title: what a screen reader says.
    """
    shown = [chart for chart in charts if chart.drawing]
    parts, down, width = [], float(PAD), 400.0
    for chart in shown:
        size = [float(re.findall(rf'{name}="(\d+)"', chart.drawing)[0]) for name in ("width", "height")]
        parts.append(f'<text class="heading" x="{PAD}" y="{down + 14:.0f}">{escape(chart.heading)}</text>')
        parts.append(f'<text class="words" x="{PAD}" y="{down + 34:.0f}">{escape(chart.words)}</text>')
        parts.append(f'<g transform="translate({PAD} {down + 48:.0f})">{chart.drawing}</g>')
        down, width = down + 48 + size[1] + PAD, max(width, size[0] + 2 * PAD, 2 * PAD + CHARACTER * len(chart.words))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {down:.0f}" width="{width:.0f}" '
        f'height="{down:.0f}" role="img" aria-label="{escape(title)}"><style>{STYLE}</style>'
        f'<rect class="paper" width="100%" height="100%"/>{"".join(parts)}</svg>\n'
    )
