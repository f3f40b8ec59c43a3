"""What check found, as one page on a terminal."""

from __future__ import annotations

from rich.table import Table

from ktse.checking.check import Checked, typical_side
from ktse.checking.in_advance import detail
from ktse.runtime.console import in_words, say, show
from ktse.runtime.progress import about
from ktse.runtime.words import many, visible

MANY = 30
"""Classes that are shown one by one; of more, the most and the least frequent."""

DOUBTFUL = 20
"""Doubtful tags, and near copies, that are shown one by one."""

SAID = 30
"""Errors, and warnings, that are shown one by one."""


def show_checked(checked: Checked) -> None:
    """Print counts, sizes, pairs of classes, doubtful tags, then errors and warnings."""
    show(f"{many(checked.images, 'image')}, {checked.untagged:,} without tags, {checked.validation:,} for validation")
    table = Table("class", "images", "often with")
    order = sorted(checked.classes, key=lambda name: -checked.classes[name])
    shown = order if len(order) <= MANY else [*order[: MANY // 2], *order[-MANY // 2 :]]
    for name in shown:
        table.add_row(visible(name), str(checked.classes[name]), visible(_partners(checked, name)))
        if len(order) > MANY and name == order[MANY // 2 - 1]:
            table.add_row(f"... {len(order) - len(shown)} more", "", "")
    show(table)
    for name, (low, middle, high) in checked.sizes.items():
        show(f"{name}: {low} to {high} pixels, median {middle}")
    if checked.true_masks:
        show(checked.true_masks)
    _show_costs(checked)
    if checked.doubtful:
        _show_doubtful(checked)
    if checked.near_copies:
        _show_near_copies(checked)
    for kind, texts in (("error", checked.errors), ("warning", checked.warnings)):
        for text in texts[:SAID]:
            say(f"{kind}: {text}")
        if len(texts) > SAID:
            say(f"... and {many(len(texts) - SAID, f'more {kind}')}: --json prints all")


def _show_costs(checked: Checked) -> None:
    if checked.seconds:
        show(f"time: a run will take {about(checked.seconds)}, if this machine stays as busy as it is")
    if checked.memory_said:
        show(f"memory: {checked.memory_said}")
    if checked.disk:
        parts = ", ".join(f"{name} {in_words(count)}" for name, count in checked.disk.items())
        total = in_words(sum(checked.disk.values()))
        show(f"disk: a run will keep about {total} for these images ({parts}), besides its networks")
    if checked.smallest:
        show(f"detail: {detail(checked.smallest, typical_side(checked.sizes))}")


def _show_doubtful(checked: Checked) -> None:
    judges = {"initial": "the backbone before training", "trained": "the trained network, which has seen them"}
    judge = judges.get(checked.doubtful_judge, "")
    show(f"{many(len(checked.doubtful), 'tag is', 'tags are')} probably wrong, says {judge}")
    table = Table("image", "tag", "says", "doubt")
    for entry in checked.doubtful[:DOUBTFUL]:
        table.add_row(
            visible(entry["id"]),
            visible(entry["class"]),
            "yes" if entry["tagged"] else "no",
            f"{entry['score']:.2f}",
        )
    show(table)


def _show_near_copies(checked: Checked) -> None:
    table = Table("image", "almost the same as", "in", "similarity")
    for pair in checked.near_copies[:DOUBTFUL]:
        place = "validation, the other in training" if pair["across"] else "the same part"
        table.add_row(visible(pair["id"]), visible(pair["like"]), place, f"{pair['score']:.2f}")
    show(table)
    if more := len(checked.near_copies[DOUBTFUL:]):
        show(f"... and {many(more, 'more pair')}: noticed.json in the run lists them")


def _partners(checked: Checked, name: str) -> str:
    names = list(checked.classes)
    row = checked.together[names.index(name)]
    partners = sorted(((count, other) for count, other in zip(row, names, strict=True) if other != name), reverse=True)
    total = max(1, checked.classes[name])
    return ", ".join(f"{other} {100 * count / total:.0f} %" for count, other in partners[:2] if count)
