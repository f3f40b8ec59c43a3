"""What check found, as one page on a terminal."""

from __future__ import annotations

from rich.table import Table

from ktse.console import console, in_words, say
from ktse.data.check import Checked

MANY = 30
"""Classes that are shown one by one; of more, the most and the least frequent."""

DOUBTFUL = 20


def show_checked(checked: Checked) -> None:
    """Print counts, sizes, pairs of classes, doubtful tags, then errors and warnings."""
    title = f"{checked.images} images, {checked.untagged} without tags, {checked.validation} for validation"
    table = Table("class", "images", "often with", title=title, title_justify="left")
    order = sorted(checked.classes, key=lambda name: -checked.classes[name])
    shown = order if len(order) <= MANY else [*order[: MANY // 2], *order[-MANY // 2 :]]
    for name in shown:
        table.add_row(name, str(checked.classes[name]), _partners(checked, name))
        if len(order) > MANY and name == order[MANY // 2 - 1]:
            table.add_row(f"... {len(order) - len(shown)} more", "", "")
    console.print(table)
    for name, (low, middle, high) in checked.sizes.items():
        console.print(f"{name}: {low} to {high} pixels, median {middle}")
    if checked.disk:
        parts = ", ".join(f"{name} {in_words(count)}" for name, count in checked.disk.items())
        console.print(f"disk: a run will keep about {in_words(sum(checked.disk.values()))} of these images ({parts})")
    if checked.doubtful:
        table = Table("image", "tag", "says", "doubt", title=f"{len(checked.doubtful)} tags are probably wrong")
        for entry in checked.doubtful[:DOUBTFUL]:
            table.add_row(entry["id"], entry["class"], "yes" if entry["tagged"] else "no", f"{entry['score']:.2f}")
        console.print(table)
    for text in checked.errors:
        say(f"error: {text}")
    for text in checked.warnings:
        say(f"warning: {text}")


def _partners(checked: Checked, name: str) -> str:
    names = list(checked.classes)
    row = checked.together[names.index(name)]
    partners = sorted(((count, other) for count, other in zip(row, names, strict=True) if other != name), reverse=True)
    total = max(1, checked.classes[name])
    return ", ".join(f"{other} {100 * count / total:.0f} %" for count, other in partners[:2] if count)
