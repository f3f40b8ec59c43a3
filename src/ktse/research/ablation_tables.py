"""ablation.md, ablation.csv and ablation.svg: what has been measured so far, beside the paper's figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from ktse.files import write_table, write_text
from ktse.reporting.charts import Chart, ChartRow, Mark, figure, row_chart
from ktse.reporting.wording import plain
from ktse.research.arms import PLAIN, Arm, Table
from ktse.research.results import MEASURES, Result, Spread, by_random_seed, differences, paired, spread

NO_VALUE = "–"
COLLAPSED = "collapsed"
SERIES = {"oracle": ("oracle threshold", "series-1"), "miou": ("label-free threshold", "series-2")}
"""What the picture shows: words and colour by measure."""

PAPER_STYLE = "series-4"


@dataclass(frozen=True)
class Summary:
    """What is known about a whole ablation.

    Attributes:
        lines: sentences for the head of ablation.md.
        random_seeds: every one.
        classes: names of all classes, background first.
    """

    lines: list[str]
    random_seeds: list[int]
    classes: list[str]


def write_all(out: Path, tables: Sequence[Table], results: Sequence[Result], summary: Summary) -> None:
    """Write the three files anew."""
    write_text(out / "ablation.md", markdown(tables, results, summary))
    write_text(out / "ablation.svg", picture(tables, results))
    head, *lines = rows(tables, results, summary)
    write_table(out / "ablation.csv", [str(cell) for cell in head], lines)


def markdown(tables: Sequence[Table], results: Sequence[Result], summary: Summary) -> str:
    """The tables with words around them."""
    measures = [name for name in MEASURES if any(result.values.get(name) is not None for result in results)]
    lines = ["# Ablation", "", *summary.lines, ""]
    for table in tables:
        lines += [f"## {table.title}", "", *_by_arm(table, results, summary, measures), ""]
        lines += [*_by_class(table, results, summary), ""]
    return "\n".join(lines).rstrip() + "\n"


def _by_arm(table: Table, results: Sequence[Result], summary: Summary, measures: Sequence[str]) -> list[str]:
    reference = table.reference_arm
    published = any(arm.paper is not None and arm is not reference for arm in table.arms)
    lines = []
    for arm in table.arms:
        cells = [("arm", arm.words)]  # heading and content; two columns may have one heading
        for measure in measures:
            values = by_random_seed(results, arm.name, measure)
            cells.append((MEASURES[measure], _text(spread(values.values()), _missing(arm, results))))
            if measure != "tag_f1":
                against = None if arm is reference else paired(values, by_random_seed(results, reference.name, measure))
                cells.append((f"against {reference.words}", _text(against, NO_VALUE, "+")))
        if published:
            gain = _gain(arm, reference)
            cells.append(("the paper, on VOC", NO_VALUE if arm.paper is None else f"{arm.paper:.1f}"))
            cells.append(("its difference", NO_VALUE if gain is None else f"{gain:+.1f}"))
        lines.append([*cells, ("runs", _state(arm, results, len(summary.random_seeds)))])
    return _table([name for name, _ in lines[0]], [[cell for _, cell in line] for line in lines])


def _by_class(table: Table, results: Sequence[Result], summary: Summary) -> list[str]:
    """Mean IoU of each class at the oracle threshold; a row for each class."""
    found = {arm.words: [result.iou for result in results if result.arm == arm.name] for arm in table.arms}
    shown = {words: runs for words, runs in found.items() if any(runs)}
    if not shown:
        return []
    lines = []
    for name in summary.classes:
        values = [[value for iou in runs if (value := iou.get(name)) is not None] for runs in shown.values()]
        lines.append([name, *(f"{mean(known):.1f}" if known else NO_VALUE for known in values)])
    words = "By class: seed IoU % at the oracle threshold, mean over the random seeds."
    return [words, "", *_table(["class", *shown], lines)]


def _table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> list[str]:
    return ["| " + " | ".join(map(plain, cells)) + " |" for cells in (head, ["---"] * len(head), *lines)]


def _text(found: Spread | None, missing: str, sign: str = "") -> str:
    if found is None:
        return missing
    return format(found.mean, f"{sign}.1f") + ("" if found.deviation is None else f" ± {found.deviation:.1f}")


def _missing(arm: Arm, results: Sequence[Result]) -> str:
    return COLLAPSED if any(result.collapsed for result in results if result.arm == arm.name) else NO_VALUE


def _state(arm: Arm, results: Sequence[Result], runs: int) -> str:
    mine = [result for result in results if result.arm == arm.name]
    good = sum(not result.collapsed for result in mine)
    numbers = {
        COLLAPSED: sum(bool(result.collapsed) for result in mine),
        "went on with a lower learning rate after a collapse": sum(result.retries > 0 for result in mine),
        "with collapsed masks": sum(bool(result.masks_collapsed) for result in mine),
        "not finished": runs - len(mine),
    }
    parts = [f"{number} {words}" for words, number in numbers.items() if number]
    return ", ".join([f"{good} of {runs}" if good < runs else str(good), *parts])


def rows(tables: Sequence[Table], results: Sequence[Result], summary: Summary) -> list[list[object]]:
    """One row for each run, with everything that was measured; a run of several tables is there once."""
    arms = {arm.name: arm for table in tables for arm in table.arms}
    names = list(dict.fromkeys(name for result in results for name in result.values))
    head = [
        "arm",
        "words",
        "tables",
        "random_seed",
        "state",
        "retries",
        *names,
        *(f"iou {name}" for name in summary.classes),
    ]
    lines: list[list[object]] = [[*head, "paper"]]
    for result in results:
        arm = arms[result.arm]
        inside = " ".join(table.name for table in tables if arm in table.arms)
        state = COLLAPSED if result.collapsed else "masks collapsed" if result.masks_collapsed else "done"
        numbers = [*map(result.values.get, names), *map(result.iou.get, summary.classes), arm.paper]
        cells = ["" if number is None else number for number in numbers]
        lines.append([arm.name, arm.words, inside, result.random_seed, state, result.retries, *cells])
    return lines


def picture(tables: Sequence[Table], results: Sequence[Result]) -> str:
    """A chart for each table: paired differences to its reference, by random seed and in the mean, and the paper's."""
    charts = []
    for table in tables:
        reference = table.reference_arm
        # The paper's gain over a plain CAM would leave no room for the small changes of the other tables.
        published = reference.name == PLAIN.name
        rows = [_reference_row(reference, results)]
        rows += [_row(arm, reference, results, published) for arm in table.arms if arm is not reference]
        legend = [*SERIES.values(), *([("the paper, on VOC", PAPER_STYLE)] if published else [])]
        label = "difference of seed mIoU, points"
        words = (
            f"Difference to: {reference.words}. Small dots: random seeds; disc and bar: mean, one standard deviation."
        )
        drawing = row_chart(rows, title=table.title, x_label=label, legend=legend, reference=0.0)
        charts.append(Chart(table.title, words, drawing))
    return figure(charts, "Ablation")


def _reference_row(arm: Arm, results: Sequence[Result]) -> ChartRow:
    found = {
        words: spread(by_random_seed(results, arm.name, measure).values()) for measure, (words, _) in SERIES.items()
    }
    missing = _missing(arm, results)
    return ChartRow(arm.words, [], ", ".join(f"{_text(each, missing)} at the {words}" for words, each in found.items()))


def _row(arm: Arm, reference: Arm, results: Sequence[Result], published: bool) -> ChartRow:
    marks = []
    for measure, (_, style) in SERIES.items():
        single = differences(
            by_random_seed(results, arm.name, measure), by_random_seed(results, reference.name, measure)
        )
        if found := spread(single):
            marks.append(Mark(found.mean, found.deviation or 0.0, single, style))
    if not marks:
        return ChartRow(arm.words, [], COLLAPSED if _missing(arm, results) == COLLAPSED else "not measured")
    gain = _gain(arm, reference) if published else None
    return ChartRow(arm.words, marks if gain is None else [*marks, Mark(gain, 0.0, (), PAPER_STYLE)])


def _gain(arm: Arm, reference: Arm) -> float | None:
    """The paper's difference between two arms, if it has both."""
    if arm is reference or arm.paper is None or reference.paper is None:
        return None
    return arm.paper - reference.paper
