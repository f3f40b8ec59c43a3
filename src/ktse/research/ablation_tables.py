"""ablation.md, ablation.csv and ablation.svg: what has been measured so far, beside the paper's figures."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ktse.files import atomic
from ktse.reporting.charts import Chart, ChartRow, Mark, figure, row_chart
from ktse.research.arms import PLAIN, Arm, Table
from ktse.research.results import MEASURES, Result, Spread, by_seed, paired, spread

NONE = "–"
COLLAPSED = "collapsed"
SERIES = {"oracle": ("oracle threshold", "series-1"), "miou": ("label-free threshold", "series-2")}
"""What the picture shows: words and colour by measure."""

PAPER = "series-4"


@dataclass(frozen=True)
class Summary:
    """What is known about a whole ablation.

    Attributes:
        lines: sentences for the head of ablation.md.
        seeds: every seed.
        classes: names of all classes, background first.
    """

    lines: list[str]
    seeds: list[int]
    classes: list[str]


def write_all(out: Path, tables: Sequence[Table], results: Sequence[Result], summary: Summary) -> None:
    """Write the three files anew."""
    texts = {
        "ablation.md": markdown(tables, results, summary),
        "ablation.svg": picture(tables, results),
    }
    for name, text in texts.items():
        with atomic(out / name) as part:
            part.write_text(text, encoding="utf-8")
    with atomic(out / "ablation.csv") as part, part.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows(tables, results, summary))


def markdown(tables: Sequence[Table], results: Sequence[Result], summary: Summary) -> str:
    """The tables with words around them."""
    measures = [name for name in MEASURES if any(result.values.get(name) is not None for result in results)]
    lines = ["# Ablation", "", *summary.lines, ""]
    for table in tables:
        lines += [f"## {table.title}", "", *_table(table, results, summary, measures), ""]
        lines += [*_by_class(table, results, summary), ""]
    return "\n".join(lines).rstrip() + "\n"


def _table(table: Table, results: Sequence[Result], summary: Summary, measures: Sequence[str]) -> list[str]:
    reference = next(arm for arm in table.arms if arm.name == table.reference)
    published = any(arm.paper is not None and arm is not reference for arm in table.arms)
    head = ["arm"]
    for measure in measures:
        head += [MEASURES[measure]] if measure == "tag_f1" else [MEASURES[measure], f"against {reference.words}"]
    head += ["the paper, on VOC", "its difference"] if published else []
    lines = [_row([*head, "runs"]), _row(["---"] * (len(head) + 1))]
    for arm in table.arms:
        cells = [arm.words]
        for measure in measures:
            values = by_seed(results, arm.name, measure)
            cells.append(_mean(spread(list(values.values())), _missing(arm, results)))
            if measure != "tag_f1":
                against = None if arm is reference else paired(values, by_seed(results, reference.name, measure))
                cells.append(_difference(against))
        if published:
            gain = _gain(arm, reference)
            cells.append(NONE if arm.paper is None else f"{arm.paper:.1f}")
            cells.append(NONE if gain is None else f"{gain:+.1f}")
        lines.append(_row([*cells, _state(arm, results, len(summary.seeds))]))
    return lines


def _by_class(table: Table, results: Sequence[Result], summary: Summary) -> list[str]:
    """Mean IoU of each class at the oracle threshold; a row for each class."""
    shown = [arm for arm in table.arms if any(result.arm == arm.name and result.iou for result in results)]
    if not shown:
        return []
    lines = [
        "By class: seed IoU % at the oracle threshold, mean over the seeds.",
        "",
        _row(["class", *(arm.words for arm in shown)]),
        _row(["---"] * (len(shown) + 1)),
    ]
    for name in summary.classes:
        iou = [[result.iou.get(name) for result in results if result.arm == arm.name] for arm in shown]
        found = [spread([value for value in values if value is not None]) for values in iou]
        lines.append(_row([name, *(NONE if each is None else f"{each.mean:.1f}" for each in found)]))
    return lines


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _mean(found: Spread | None, missing: str) -> str:
    if found is None:
        return missing
    return f"{found.mean:.1f}" + (f" ± {found.deviation:.1f}" if found.deviation is not None else "")


def _difference(found: Spread | None) -> str:
    if found is None:
        return NONE
    return f"{found.mean:+.1f}" + (f" ± {found.deviation:.1f}" if found.deviation is not None else "")


def _missing(arm: Arm, results: Sequence[Result]) -> str:
    return COLLAPSED if any(result.collapsed for result in results if result.arm == arm.name) else NONE


def _state(arm: Arm, results: Sequence[Result], seeds: int) -> str:
    mine = [result for result in results if result.arm == arm.name]
    good = sum(not result.collapsed for result in mine)
    parts = [f"{good} of {seeds}" if good < seeds else str(good)]
    numbers = {
        COLLAPSED: sum(bool(result.collapsed) for result in mine),
        "went on with a lower learning rate after a collapse": sum(result.retries > 0 for result in mine),
        "with collapsed masks": sum(bool(result.masks_collapsed) for result in mine),
        "not finished": seeds - len(mine),
    }
    return ", ".join(parts + [f"{number} {words}" for words, number in numbers.items() if number])


def rows(tables: Sequence[Table], results: Sequence[Result], summary: Summary) -> list[list[object]]:
    """One row for each run, with everything that was measured; a run of several tables is there once."""
    arms = {arm.name: arm for table in tables for arm in table.arms}
    names = list(dict.fromkeys(name for result in results for name in result.values))
    head = ["arm", "words", "tables", "seed", "state", "retries", *names, *(f"iou {name}" for name in summary.classes)]
    lines: list[list[object]] = [[*head, "paper"]]
    for result in results:
        arm = arms[result.arm]
        inside = " ".join(table.name for table in tables if arm.name in [other.name for other in table.arms])
        state = COLLAPSED if result.collapsed else "masks collapsed" if result.masks_collapsed else "done"
        cells = [result.values.get(name) for name in names] + [result.iou.get(name) for name in summary.classes]
        lines.append(
            [
                arm.name,
                arm.words,
                inside,
                result.seed,
                state,
                result.retries,
                *("" if cell is None else cell for cell in cells),
                "" if arm.paper is None else arm.paper,
            ]
        )
    return lines


def picture(tables: Sequence[Table], results: Sequence[Result]) -> str:
    """A chart for each table: paired differences to its reference, of every seed and in the mean, and the paper's."""
    charts = []
    for table in tables:
        reference = next(arm for arm in table.arms if arm.name == table.reference)
        # The paper's gain over a plain CAM would leave no room for the small changes of the other tables.
        published = reference.name == PLAIN.name
        rows = [_reference(reference, results), *(_against(arm, reference, results, published) for arm in table.arms)]
        legend = [(words, style) for words, style in SERIES.values()] + [("the paper, on VOC", PAPER)] * published
        words = f"Difference to: {reference.words}. Small dots: seeds; disc and bar: mean, one standard deviation."
        drawing = row_chart(
            [row for row in rows if row is not None],
            title=table.title,
            x_label="difference of seed mIoU, points",
            legend=legend,
            reference=0.0,
        )
        charts.append(Chart(table.title, words, drawing))
    return figure(charts, "Ablation")


def _reference(arm: Arm, results: Sequence[Result]) -> ChartRow:
    parts = []
    for measure, (words, _) in SERIES.items():
        found = spread(list(by_seed(results, arm.name, measure).values()))
        parts.append(f"{_mean(found, _missing(arm, results))} at the {words}")
    return ChartRow(arm.words, [], ", ".join(parts))


def _against(arm: Arm, reference: Arm, results: Sequence[Result], published: bool) -> ChartRow | None:
    if arm is reference:
        return None
    marks = []
    for measure, (_, style) in SERIES.items():
        values, base = by_seed(results, arm.name, measure), by_seed(results, reference.name, measure)
        found = paired(values, base)
        if found is not None:
            single = [values[seed] - base[seed] for seed in sorted(values.keys() & base.keys())]
            marks.append(Mark(found.mean, found.deviation or 0.0, single, style))
    if not marks:
        return ChartRow(arm.words, [], COLLAPSED if _missing(arm, results) == COLLAPSED else "not measured")
    gain = _gain(arm, reference) if published else None
    return ChartRow(arm.words, [*marks, *([] if gain is None else [Mark(gain, 0.0, (), PAPER)])])


def _gain(arm: Arm, reference: Arm) -> float | None:
    """The paper's difference between two arms, if it has both."""
    if arm is reference or arm.paper is None or reference.paper is None:
        return None
    return arm.paper - reference.paper
