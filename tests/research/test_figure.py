from __future__ import annotations

import xml.etree.ElementTree as ElementTree

from markupsafe import Markup

from ktse.research.figure import Chart, Mark, Row, figure, row_chart

SPACE = "{http://www.w3.org/2000/svg}"


def test_marks_lie_in_the_order_of_their_values() -> None:
    rows = [Row(name, [Mark(value, 1.0, (value - 1, value + 1), "series-1")]) for name, value in (("a", 3), ("b", 8))]
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
    drawing = row_chart([Row("<a>", [Mark(1.0, 0.0, (), "series-2")])], title="t", x_label="x")
    svg = figure([Chart("First & only", "words", drawing), Chart("Empty", "", Markup(""))], "all")
    root = ElementTree.fromstring(svg)
    assert root.tag == f"{SPACE}svg"
    headings = [node.text for node in root.iter(f"{SPACE}text") if node.get("class") == "heading"]
    assert headings == ["First & only"]
    assert any(node.tag == f"{SPACE}style" for node in root)


def test_nothing_to_draw() -> None:
    assert row_chart([Row("a", [], "collapsed")], title="t", x_label="x") == ""
