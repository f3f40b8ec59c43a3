from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ElementTree

import pytest
from markupsafe import Markup

from ktse.reporting.charts import Chart, ChartRow, Dot, Line, Mark, figure, line_chart, row_chart, ticks
from ktse.reporting.templates import environment

SPACE = "{http://www.w3.org/2000/svg}"


def parse(svg: str) -> ElementTree.Element:
    assert "nan" not in svg and "inf" not in svg
    return ElementTree.fromstring(svg)


def chart(x: list[float], y: list[float], **more: object) -> str:
    return str(line_chart([Line("loss", x, y)], title="t", x_label="epoch", **more))  # type: ignore[arg-type]


def test_one_point_is_a_disc() -> None:
    root = parse(chart([1.0], [2.0]))
    assert root.find("polyline") is None
    assert [node.get("r") for node in root.findall("circle")] == ["3", "6"]


@pytest.mark.parametrize("value", [0.0, 1.0, -3.5, 1e-9, 1e12])
def test_constant(value: float) -> None:
    root = parse(chart([0.0, 1.0, 2.0], [value] * 3))
    line = root.find("polyline")
    assert line is not None
    heights = {point.split(",")[1] for point in (line.get("points") or "").split()}
    assert len(heights) == 1 and 0 < float(heights.pop()) < 190


def test_what_is_not_finite_is_left_out() -> None:
    root = parse(chart([0.0, 1.0, 2.0, math.nan], [1.0, math.nan, 2.0, math.inf]))
    line = root.find("polyline")
    assert line is not None and len((line.get("points") or "").split()) == 2


def test_nothing_to_draw() -> None:
    assert chart([], []) == "" and chart([1.0], [math.nan]) == ""


def test_points_stay_on_the_canvas_and_tell_their_values() -> None:
    lines = [Line("a", [0, 0.5, 1], [10, 40, 20], "seed"), Line("b", [0, 1], [5, 45], "mask", faint=True)]
    svg = str(line_chart(lines, title="t", x_label="threshold", y_label="mIoU", dots=[Dot("best", 0.5, 40.0, "seed")]))
    root = parse(svg)
    for circle in root.findall("circle"):
        assert 0 < float(circle.get("cx") or 0) < 340 and 0 < float(circle.get("cy") or 0) < 190
    assert "a: mIoU 40.0 at threshold 0.5" in svg and ">best<" in svg


def test_names_are_escaped() -> None:
    odd = '<b>&"'
    svg = str(
        line_chart([Line(odd, [0, 1], [0, 1]), Line("b", [0, 1], [0, 1])], title=odd, x_label=odd, begin=(0.5, odd))
    )
    assert odd not in svg
    assert parse(svg).get("aria-label") == odd


def test_long_legends_break() -> None:
    lines = [Line(f"a rather long name {number}", [0, 1], [0, number]) for number in range(4)]
    rows = set(re.findall(r"translate\(44\.0 (\d+)\)", str(line_chart(lines, title="t", x_label="x"))))
    assert len(rows) == 4


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0.07, 0.31), (-3, 12), (0, 4000), (1e-6, 3e-6), (5, 5)])
def test_ticks(low: float, high: float) -> None:
    inside, around = ticks(low, high), ticks(low, high, around=True)
    assert 2 <= len(inside) <= 7 and 2 <= len(around) <= 8
    assert around[0] <= low <= high <= around[-1]


def test_bars_end_at_their_ends() -> None:
    bar = environment().get_template("charts.svg.j2").module.bar  # type: ignore[attr-defined]
    widths = [parse(str(bar(value, "mask"))).findall("rect")[1].get("width") for value in (-5.0, 41.26, 130.0)]
    assert widths == ["0.0", "41.3", "100.0"]


def test_marks_lie_in_the_order_of_their_values() -> None:
    rows = [
        ChartRow(name, [Mark(value, 1.0, (value - 1, value + 1), "series-1")]) for name, value in (("a", 3), ("b", 8))
    ]
    root = ElementTree.fromstring(str(row_chart(rows, title="t", x_label="x", reference=3.0)))
    discs = [node for node in root.findall("circle") if node.get("r") == "4"]
    places = [float(node.get("cx") or 0) for node in discs]
    dashed = next(node for node in root.findall("line") if node.get("class") == "begin")
    assert places[0] < places[1]
    assert float(dashed.get("x1") or 0) == places[0]
    bars = [node for node in root.findall("line") if node.get("class") == "series-1"]
    singles = [float(node.get("cx") or 0) for node in root.findall("circle") if "single" in (node.get("class") or "")]
    assert [float(bars[0].get(end) or 0) for end in ("x1", "x2")] == singles[:2]  # one deviation is 1 here


def test_a_figure_needs_nothing_else_and_leaves_out_what_is_empty() -> None:
    drawing = row_chart([ChartRow("<a>", [Mark(1.0, 0.0, (), "series-2")])], title="t", x_label="x")
    svg = figure([Chart("First & only", "words", drawing), Chart("Empty", "", Markup(""))], "all")
    root = ElementTree.fromstring(svg)
    assert root.tag == f"{SPACE}svg"
    headings = [node.text for node in root.iter(f"{SPACE}text") if node.get("class") == "heading"]
    assert headings == ["First & only"]
    assert any(node.tag == f"{SPACE}style" for node in root)


def test_no_rows_to_draw() -> None:
    assert row_chart([ChartRow("a", [], "collapsed")], title="t", x_label="x") == ""
