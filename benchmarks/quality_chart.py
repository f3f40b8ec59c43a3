"""The chart in the README, drawn from a table of measures.

python benchmarks/quality_chart.py docs/measurements/quality.csv docs/quality.svg
"""

from __future__ import annotations

import argparse
import csv
from html import escape
from pathlib import Path

LEFT, BAR, LINE, SCALE = 100, 16, 20, 5
"""Pixels: width of the names, height of a bar and of its line, and length of one percent."""

COLOURS = ("#9aa5b1", "#4f86c6", "#2a5c9a", "#e08a1e")


def drawn(rows: list[dict[str, str]]) -> str:
    """An SVG picture: the name of each row, and below it a bar for each measure."""
    stages = [name for name in rows[0] if name != "data"]
    parts, top = [], 8
    for row in rows:
        parts.append(_text(0, top, row["data"], "start", "bold"))
        top += LINE
        for colour, stage in zip(COLOURS, stages, strict=True):
            length = float(row[stage]) * SCALE
            parts.append(_text(LEFT - 8, top, stage, "end"))
            parts.append(f'<rect x="{LEFT}" y="{top}" width="{length:.0f}" height="{BAR}" fill="{colour}"/>')
            parts.append(_text(LEFT + length + 6, top, f"{row[stage]} %", "start"))
            top += LINE
        top += LINE // 2
    width = LEFT + 100 * SCALE
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {top}" width="{width}" height="{top}" '
        'role="img" aria-label="mIoU of seeds, masks, fused masks and predictions" '
        'font-family="sans-serif" font-size="13">'
        f'<rect width="{width}" height="{top}" fill="#ffffff"/>{"".join(parts)}</svg>\n'
    )


def _text(x: float, y: float, words: str, anchor: str, weight: str = "normal") -> str:
    place = f'x="{x:.0f}" y="{y + 12}" text-anchor="{anchor}" font-weight="{weight}"'
    return f"<text {place}>{escape(words)}</text>"


def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    with arguments.table.open(newline="", encoding="utf-8") as file:
        arguments.out.write_text(drawn(list(csv.DictReader(file))), encoding="utf-8")


if __name__ == "__main__":
    main()
