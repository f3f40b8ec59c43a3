"""Small charts: numbers in, SVG out. This module computes places; charts.svg.j2 draws.

On a page, colours come from its style sheet, so they follow light and dark; a figure has its own style.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from ktse.reporting.templates import environment

LEFT, RIGHT, TOP, BOTTOM = 44, 12, 12, 34
"""Margins of a line chart, in pixels."""

CHARACTER_WIDTH = 6.4
LEGEND_ROW = 16
CHART_ROW = 32
FIGURE_MARGIN = 24

MOST_HOVERS = 120
"""Points of a curve that show their value when hovered."""


@dataclass(frozen=True)
class Line:
    """One curve.

    Attributes:
        name: what it shows; in the legend if there is more than one.
        x, y: its points, in drawing order; those that are not finite are left out.
        style: CSS class that gives its colour.
        faint: draw it pale and leave it out of the legend.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    style: str = "series-1"
    faint: bool = False

    def points(self) -> list[tuple[float, float]]:
        """The finite points."""
        return [(x, y) for x, y in zip(self.x, self.y, strict=True) if math.isfinite(x) and math.isfinite(y)]


@dataclass(frozen=True)
class Dot:
    """One point worth a name.

    Attributes:
        name: shown when hovered, and in the legend.
        x, y: where.
        style: CSS class that gives its colour.
        hollow: draw a ring instead of a disc.
    """

    name: str
    x: float
    y: float
    style: str = "series-1"
    hollow: bool = False

    @property
    def shape(self) -> str:
        """CSS class of its shape."""
        return "ring" if self.hollow else "disc"


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

    @property
    def ends(self) -> tuple[float, float]:
        """Where its bar ends."""
        return self.mean - self.deviation, self.mean + self.deviation


@dataclass(frozen=True)
class ChartRow:
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
    """From values to places on the canvas, in pixels with one decimal."""

    values: tuple[float, float]
    places: tuple[float, float]

    def __call__(self, value: float) -> str:
        share = (value - self.values[0]) / (self.values[1] - self.values[0])
        return f"{self.places[0] + share * (self.places[1] - self.places[0]):.1f}"


def line_chart(
    lines: Sequence[Line],
    *,
    title: str,
    x_label: str,
    y_label: str = "",
    unit: str = "",
    dots: Sequence[Dot] = (),
    begin: tuple[float, str] | None = None,
    x_range: tuple[float, float] | None = None,
    width: int = 340,
    height: int = 190,
) -> Markup:
    """Draw curves with axes, ticks, a legend where it is needed, and values on hover.

    Args:
        lines: the curves; one point is drawn as a dot.
        title: what a screen reader says.
        x_label: what the x axis shows; part of the hover text too.
        y_label: the same for the y axis; without it, lines are named alone.
        unit: what follows the numbers of the y axis, " %" for example.
        dots: points worth a name.
        begin: place on the x axis where something begins, and its name.
        x_range: fixed ends of the x axis, to line up several charts.
        width: of the canvas.
        height: of the canvas.

    Returns:
        An SVG element; empty if there is no finite point.
    """
    curves = [(line, line.points()) for line in sorted(lines, key=lambda line: not line.faint)]
    points = [point for _, found in curves for point in found] + [(dot.x, dot.y) for dot in dots]
    if not points:
        return Markup("")
    named = [(line.name, line.style, "line") for line in lines if not line.faint]
    named = [*named, *((dot.name, dot.style, dot.shape) for dot in dots)] if len(named) > 1 or dots else []
    legend = _legend(named, LEFT, width - RIGHT)
    top = TOP + (legend[-1][1] + LEGEND_ROW / 2 if legend else 0) + (10 if begin else 0)
    xs, ys = zip(*points, strict=True)
    x_ends = _widened(*(x_range or (min(xs), max(xs))))
    y_ticks = ticks(0.0 if 0 < min(ys) < max(ys) / 2 else min(ys), max(ys), around=True)
    return _drawn(
        "line_chart",
        x=_Scale(x_ends, (LEFT, width - RIGHT)),
        y=_Scale((y_ticks[0], y_ticks[-1]), (height - BOTTOM, top)),
        x_ticks=ticks(*x_ends, aim=5),
        y_ticks=y_ticks,
        box={"left": LEFT, "right": width - RIGHT, "top": top, "bottom": height - BOTTOM},
        curves=[(line, found, max(1, math.ceil(len(found) / MOST_HOVERS))) for line, found in curves if found],
        **{"title": title, "x_label": x_label, "y_label": y_label, "unit": unit, "dots": dots, "begin": begin},
        **{"legend": legend, "width": width, "height": height},
    )


def row_chart(
    rows: Sequence[ChartRow],
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
    reach = [value for row in rows for mark in row.marks for value in (*mark.ends, *mark.values)]
    if not reach:
        return Markup("")
    reach += [] if reference is None else [reference]
    x_ticks = ticks(min(reach), max(reach), around=True, aim=6)
    left, right = 20 + CHARACTER_WIDTH * max(len(row.name) for row in rows), width - RIGHT - 8
    top = 24 if legend else 6
    bottom = top + CHART_ROW * len(rows) + 4
    return _drawn(
        "row_chart",
        x=_Scale((x_ticks[0], x_ticks[-1]), (left, right)),
        x_ticks=x_ticks,
        box={"left": left, "right": right, "top": top, "bottom": bottom},
        rows=[(row, top + CHART_ROW * (number + 0.5)) for number, row in enumerate(rows)],
        legend=_legend([(name, style, "disc") for name, style in legend], left, math.inf),
        **{"title": title, "x_label": x_label, "reference": reference, "width": width, "height": bottom + 40},
    )


def figure(charts: Sequence[Chart], title: str) -> str:
    """Put charts under one another in an SVG file that needs no style sheet.

    Args:
        charts: from top to bottom; those without a drawing are left out.
        title: what a screen reader says.
    """
    placed, down, width = [], float(FIGURE_MARGIN), 400.0
    for chart in charts:
        if size := re.search(r'width="(\d+)" height="(\d+)"', chart.drawing):
            placed.append((chart, down))
            down += 48 + int(size[2]) + FIGURE_MARGIN
            width = max(width, int(size[1]), CHARACTER_WIDTH * len(chart.words))
    drawing = _drawn(
        "figure", charts=placed, title=title, left=FIGURE_MARGIN, width=width + 2 * FIGURE_MARGIN, height=down
    )
    return drawing.rstrip() + "\n"


def ticks(low: float, high: float, *, around: bool = False, aim: int = 4) -> list[float]:
    """Round numbers (1, 2 or 5 times a power of ten) inside a range; with `around`, also those that enclose it."""
    low, high = _widened(low, high)
    step = 10.0 ** math.floor(math.log10((high - low) / aim))
    step *= next(factor for factor in (1, 2, 5, 10) if (high - low) / (step * factor) <= aim + 0.5)
    if around:
        first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    else:
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [index * step for index in range(first, last + 1)]


def _widened(low: float, high: float) -> tuple[float, float]:
    if high - low > 1e-12 * max(abs(low), abs(high)):
        return low, high
    reach = abs(low) * 0.1 or 0.5
    return low - reach, high + reach


def _legend(
    entries: Sequence[tuple[str, str, str]], left: float, right: float
) -> list[tuple[float, int, tuple[str, str, str]]]:
    """Places of entries (name, colour, shape), in rows that fit the width."""
    places, across, row = [], left, 0
    for entry in entries:
        need = 34 + CHARACTER_WIDTH * len(entry[0])
        if across > left and across + need > right:
            across, row = left, row + 1
        places.append((across, LEGEND_ROW * row + LEGEND_ROW // 2, entry))
        across += need
    return places


def _drawn(macro: str, **values: object) -> Markup:
    drawing = getattr(environment().get_template("charts.svg.j2").module, macro)
    return Markup(drawing(values))
