"""Small charts: numbers in, inline SVG out. Colours come from the page's style sheet, so they follow light and dark."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from markupsafe import Markup

LEFT, RIGHT, TOP, BOTTOM = 44, 12, 12, 34
CHARACTER = 6.4
HOVERS = 120


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


@dataclass(frozen=True)
class _Frame:
    """From values to places on the canvas."""

    width: float
    height: float
    x: tuple[float, float]
    y: tuple[float, float]
    top: float

    def place(self, x: float, y: float) -> tuple[str, str]:
        right, bottom = self.width - RIGHT, self.height - BOTTOM
        across = LEFT + (x - self.x[0]) / (self.x[1] - self.x[0]) * (right - LEFT)
        down = bottom - (y - self.y[0]) / (self.y[1] - self.y[0]) * (bottom - self.top)
        return f"{across:.1f}", f"{down:.1f}"


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
    points = [point for line in lines for point in line.points()] + [(dot.x, dot.y) for dot in dots]
    if not points:
        return Markup("")
    legend = _legend(lines, dots, width)
    across = _widened(*(x_range or (min(x for x, _ in points), max(x for x, _ in points))))
    low, high = min(y for _, y in points), max(y for _, y in points)
    y_ticks = ticks(0.0 if 0 < low < high / 2 else low, high, around=True)
    frame = _Frame(width, height, across, (y_ticks[0], y_ticks[-1]), TOP + 16 * len(legend) + (10 if begin else 0))
    parts = [*_rows(legend), *_axes(frame, y_ticks, x_label, unit)]
    if begin is not None:
        parts += _begin(frame, *begin)
    for line in sorted(lines, key=lambda line: not line.faint):
        parts += _curve(frame, line, x_label, y_label, unit)
    parts += [_dot(frame, dot) for dot in dots]
    return Markup(
        f'<svg class="chart" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" '
        f'aria-label="{escape(title)}">{"".join(parts)}</svg>'
    )


def bar(value: float, style: str) -> Markup:
    """Draw a small bar for a value in 0..100."""
    length = min(max(value, 0.0), 100.0)
    return Markup(
        '<svg class="bar" viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true" focusable="false">'
        '<rect class="track" width="100" height="6"/>'
        f'<rect class="{escape(style)}" width="{length:.1f}" height="6"/></svg>'
    )


def ticks(low: float, high: float, *, around: bool = False, aim: int = 4) -> list[float]:
    """Round numbers (1, 2 or 5 times a power of ten) inside a range; with `around`, also those that enclose it."""
    low, high = _widened(low, high)
    step = 10.0 ** math.floor(math.log10((high - low) / aim))
    step *= next(factor for factor in (1, 2, 5, 10) if (high - low) / (step * factor) <= aim + 0.5)
    first, last = (math.floor, math.ceil) if around else (math.ceil, math.floor)
    return [
        index * step
        for index in range(
            first(low / step + (1e-9 if around else -1e-9)), last(high / step + (-1e-9 if around else 1e-9)) + 1
        )
    ]


def _widened(low: float, high: float) -> tuple[float, float]:
    if high - low > 1e-12 * max(abs(low), abs(high)):
        return low, high
    reach = abs(low) * 0.1 or 0.5
    return low - reach, high + reach


def _write(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def _axes(frame: _Frame, y_ticks: list[float], x_label: str, unit: str) -> list[str]:
    right, bottom = frame.width - RIGHT, frame.height - BOTTOM
    parts = []
    for value in y_ticks:
        _, down = frame.place(frame.x[0], value)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{right}" y1="{down}" y2="{down}"/>')
        parts.append(
            f'<text class="tick" x="{LEFT - 6}" y="{down}" dy="0.35em" text-anchor="end">{_write(value)}{unit}</text>'
        )
    for value in ticks(*frame.x, aim=5):
        place, _ = frame.place(value, frame.y[0])
        parts.append(f'<text class="tick" x="{place}" y="{bottom + 14}" text-anchor="middle">{_write(value)}</text>')
    parts.append(
        f'<text class="tick" x="{right}" y="{frame.height - 4}" text-anchor="end">{escape(x_label)}</text>'
        f'<line class="axis" x1="{LEFT}" x2="{right}" y1="{bottom}" y2="{bottom}"/>'
    )
    return parts


def _begin(frame: _Frame, x: float, name: str) -> list[str]:
    place, _ = frame.place(x, frame.y[0])
    anchor = "start" if float(place) < frame.width / 2 else "end"
    shift = 4 if anchor == "start" else -4
    return [
        f'<line class="begin" x1="{place}" x2="{place}" y1="{frame.top - 8:.0f}" y2="{frame.height - BOTTOM}"/>',
        f'<text class="tick" x="{float(place) + shift:.1f}" y="{frame.top - 2:.0f}" text-anchor="{anchor}">'
        f"{escape(name)}</text>",
    ]


def _curve(frame: _Frame, line: Line, x_label: str, y_label: str, unit: str) -> list[str]:
    points = line.points()
    places = [frame.place(x, y) for x, y in points]
    style = f"{escape(line.style)}{' faint' if line.faint else ''}"
    if len(points) == 1:
        parts = [f'<circle class="{style}" cx="{places[0][0]}" cy="{places[0][1]}" r="3"/>']
    else:
        parts = [f'<polyline class="{style}" points="{" ".join(map(",".join, places))}"/>']
    stride = max(1, math.ceil(len(points) / HOVERS))
    for (x, y), (across, down) in list(zip(points, places, strict=True))[::stride]:
        what = f"{line.name}: {y_label} {y:.1f}{unit}" if y_label else f"{line.name}: {y:.4g}"
        where = f"{x_label} {x:.2f}".rstrip("0").rstrip(".")
        hover = escape(f"{what} at {where}")
        parts.append(f'<circle class="hover" cx="{across}" cy="{down}" r="6"><title>{hover}</title></circle>')
    return parts


def _dot(frame: _Frame, dot: Dot) -> str:
    across, down = frame.place(dot.x, dot.y)
    style = f"{escape(dot.style)} {'ring' if dot.hollow else 'disc'}"
    return f'<circle class="{style}" cx="{across}" cy="{down}" r="5"><title>{escape(dot.name)}</title></circle>'


def _legend(lines: Sequence[Line], dots: Sequence[Dot], width: float) -> list[list[tuple[str, str]]]:
    """Rows of (drawing, name) that fit the width; none where there is only one curve and nothing else."""
    entries = [
        (f'<line class="{escape(line.style)}" x1="0" x2="16" y1="0" y2="0"/>', line.name)
        for line in lines
        if not line.faint
    ]
    if len(entries) < 2 and not dots:
        return []
    for dot in dots:
        shape = "ring" if dot.hollow else "disc"
        entries.append((f'<circle class="{escape(dot.style)} {shape}" cx="8" cy="0" r="4.5"/>', dot.name))
    rows: list[list[tuple[str, str]]] = [[]]
    room = width - LEFT - RIGHT
    for entry in entries:
        need = 34 + CHARACTER * len(entry[1])
        if rows[-1] and need > room:
            rows.append([])
            room = width - LEFT - RIGHT
        rows[-1].append(entry)
        room -= need
    return rows


def _rows(legend: list[list[tuple[str, str]]]) -> list[str]:
    parts = []
    for number, row in enumerate(legend):
        across = float(LEFT)
        for drawing, name in row:
            parts.append(
                f'<g transform="translate({across:.1f} {8 + 16 * number})">{drawing}'
                f'<text class="key" x="21" y="0" dy="0.35em">{escape(name)}</text></g>'
            )
            across += 34 + CHARACTER * len(name)
    return parts
