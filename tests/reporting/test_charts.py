from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ElementTree

import pytest

from ktse.reporting.charts import Dot, Line, bar, line_chart, ticks


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
    widths = [parse(str(bar(value, "mask"))).findall("rect")[1].get("width") for value in (-5.0, 41.26, 130.0)]
    assert widths == ["0.0", "41.3", "100.0"]
