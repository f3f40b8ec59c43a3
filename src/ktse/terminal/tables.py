"""Results as tables on standard output."""

from __future__ import annotations

from typing import Any

from rich.table import Column, Table

from ktse.quality.expected import SURE
from ktse.runtime.console import show
from ktse.runtime.words import duration, many, visible
from ktse.verbs.accept import Accepted
from ktse.verbs.status import Status
from ktse.verbs.verify import Verified

MEASURED = ("seed", "mask", "fused", "prediction")

REASONS = 3
"""Reasons why a stage is stale that are shown."""


def show_evaluation(result: dict[str, Any]) -> None:
    """Print what was measured with true masks; one line if there were none."""
    table = Table(Column("stage", no_wrap=True), "mIoU %", "threshold", "oracle mIoU %", "at", "images", "tags used")
    for stage in MEASURED:
        if stage in result:
            entry, oracle = result[stage], result[stage]["oracle"] or {}
            cells = (entry["miou"], entry["threshold"], oracle.get("miou"), oracle.get("threshold"), entry["images"])
            texts = ["-" if cell is None else f"{cell:.3g}" if isinstance(cell, float) else str(cell) for cell in cells]
            table.add_row(stage, *texts, "yes" if entry["tags_used"] else "no")
    show(table if table.row_count else "no true masks were given: only the tags are measured")


def show_status(status: Status) -> None:
    """Print where a run stands: its stages, the verdict with its signs, and what comes next."""
    table = Table(Column("stage", no_wrap=True), "state", "took", "why")
    for stage in status.stages:
        more = len(stage.why) - REASONS
        reasons = [*stage.why[:REASONS], *([f"... and {more} more"] if more > 0 else [])]
        took = "-" if stage.seconds is None else duration(stage.seconds)
        table.add_row(stage.stage, stage.state, took, visible("; ".join(reasons)))
    show(table)
    if status.verdict is not None:
        show(f"verdict: {status.verdict.sentence}")
        for sign in status.verdict.signs:
            show(f"  - {sign.about + ': ' if sign.about else ''}{sign.text}")
            if sign.next:
                show(f"    next: {sign.next}")
    if status.rest:
        show(status.rest)
    show(f"next: {status.next}")


def show_accepted(accepted: Accepted) -> None:
    """Print how many masks were accepted unseen, how many are left, and how good each group probably is."""
    table = Table(Column("masks", no_wrap=True), "number", "expected mIoU", f"{SURE:.0%} sure")
    for name, count, mean in (
        ("accepted by ktse", accepted.accepted, accepted.accepted_iou),
        ("left", accepted.left, accepted.left_iou),
    ):
        cells = ("-", "-") if mean is None else (f"{mean.middle:.2f}", f"{mean.low:.2f}–{mean.high:.2f}")
        table.add_row(name, f"{count:,}", *cells)
    table.add_row("checked by you", f"{accepted.checked:,}", "-", "-")
    show(table)
    show(accepted.why)


def show_verified(verified: Verified) -> None:
    """Print every file of a run that is not as it should be, and what comes next."""
    table = Table(Column("file", no_wrap=True), "what is wrong", "what was done" if verified.repaired else "--repair")
    for one in verified.wrong:
        table.add_row(one.file, one.what, one.repair)
    if verified.wrong:
        show(table)
    if verified.unknown:
        earlier = "an earlier version made them, so that each file was judged by itself"
        show(f"nothing is noted of the files of {', '.join(verified.unknown)}: {earlier}")
    bad = f"{len(verified.wrong)} wrong" if verified.wrong else "nothing is wrong"
    show(f"{many(verified.files, 'file')} of {verified.run}: {bad}")
    show(f"next: {verified.next}")
