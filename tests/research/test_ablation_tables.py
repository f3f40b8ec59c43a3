"""The tables: nothing is dropped silently, and every number is where its heading says."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

from ktse.recipe import ClassifyRecipe, ObjectiveRecipe
from ktse.research.ablation_tables import Summary, markdown, picture, rows
from ktse.research.arms import elements, sensitivity
from ktse.research.results import Result

ELEMENTS = elements(ClassifyRecipe())
SUMMARY = Summary(["Words."], [0, 1], ["background", "cat"])


def result(arm: str, random_seed: int, oracle: float, **more: object) -> Result:
    values: dict[str, float | None] = {"oracle": oracle, "miou": oracle - 5, "tag_f1": 90.0, "mask": None}
    return Result(arm, random_seed, values, {"background": 80.0, "cat": oracle}, **more)  # type: ignore[arg-type]


RESULTS = [
    result("plain", 0, 40.0),
    result("plain", 1, 44.0),
    result("sie", 0, 43.0),
    result("sie", 1, 45.0, retries=1),
    result("ssr", 0, 50.0),
    Result("ssr", 1, collapsed="the tags' F1 fell"),
    Result("sie-ssr", 0, collapsed="a"),
    Result("sie-ssr", 1, collapsed="b"),
]


def cells(text: str, first: str) -> dict[str, str]:
    """The row of a table that begins so, by heading; of equal headings the first."""
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    row = next(line for line in lines if line[0] == first)
    found: dict[str, str] = {}
    for name, cell in zip(lines[0], row, strict=True):
        found.setdefault(name, cell)
    return found


def test_means_paired_differences_and_the_papers_figures_stand_side_by_side() -> None:
    text = markdown([ELEMENTS], RESULTS, SUMMARY)
    assert text.startswith("# Ablation\n\nWords.\n")
    row = cells(text, "SIE")
    assert row["seed mIoU % at the oracle threshold"] == "44.0 ± 1.4"
    assert row["against plain CAM"] == "+2.0 ± 1.4"  # +3 and +1
    assert row["seed mIoU % at the label-free threshold"] == "39.0 ± 1.4"
    assert (row["the paper, on VOC"], row["its difference"]) == ("57.1", "+2.9")
    assert row["runs"] == "2, 1 went on with a lower learning rate after a collapse"
    assert "mask mIoU" not in text  # nothing was measured about masks


def test_what_collapsed_or_is_not_finished_is_said() -> None:
    text = markdown([ELEMENTS], RESULTS, SUMMARY)
    one, both, none = cells(text, "SSR"), cells(text, "SIE + SSR"), cells(text, "SIE + SSR + MGA (the recipe as it is)")
    assert one["seed mIoU % at the oracle threshold"] == "50.0" and one["against plain CAM"] == "+10.0"
    assert one["runs"] == "1 of 2, 1 collapsed"
    assert both["seed mIoU % at the oracle threshold"] == "collapsed" and both["runs"] == "0 of 2, 2 collapsed"
    assert none["seed mIoU % at the oracle threshold"] == "–" and none["runs"] == "0 of 2, 2 not finished"
    collapsed = [row for row in rows([ELEMENTS], RESULTS, SUMMARY) if row[4] == "collapsed"]
    assert [row[0] for row in collapsed] == ["ssr", "sie-ssr", "sie-ssr"]


def test_every_class_has_its_mean() -> None:
    text = markdown([ELEMENTS], RESULTS, SUMMARY)
    assert "| cat | 42.0 | 44.0 | 50.0 |" in text  # plain, SIE, SSR: the arms with a result


def test_the_sensitivity_is_compared_with_the_recipe_as_it_is() -> None:
    table = sensitivity(ObjectiveRecipe())
    found = [result("ktse", 0, 60.0), result("plain", 0, 50.0), result("erase_above=0.5", 0, 61.5)]
    row = cells(markdown([table], found, Summary([], [0], ["background", "cat"])), "erasing threshold 0.5")
    assert row["against SIE + SSR + MGA (the recipe as it is)"] == "+1.5"
    assert "the paper, on VOC" in row  # of the recipe and the plain CAM


def test_the_table_of_runs_has_one_row_for_each_and_its_words() -> None:
    head, *lines = rows([ELEMENTS, sensitivity(ObjectiveRecipe())], RESULTS, SUMMARY)
    assert len(lines) == len(RESULTS)
    first = dict(zip(head, lines[0], strict=True))
    assert (first["arm"], first["tables"], first["random_seed"], first["oracle"]) == (
        "plain",
        "elements sensitivity",
        0,
        40.0,
    )
    assert first["iou cat"] == 40.0 and first["mask"] == ""


def test_the_picture_shows_every_difference_and_what_collapsed() -> None:
    svg = picture([ELEMENTS], RESULTS)
    root = ElementTree.fromstring(svg)
    assert "nan" not in svg
    single = [node for node in root.iter() if "single" in (node.get("class") or "")]
    assert len(single) == 2 * 3  # runs with a result and a plain CAM of their seed, at both thresholds
    discs = [node.get("class") for node in root.iter() if node.get("r") == "4"]
    assert discs.count("series-4") == 2  # the paper's, of arms that have been measured
    assert "collapsed" in [node.text for node in root.iter() if (node.get("class") or "") == "words"]
