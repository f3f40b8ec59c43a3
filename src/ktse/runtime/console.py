"""What a person sees: progress and messages on standard error, results on standard output.

On a terminal, progress is a bar. In a pipe or a file it is a line for each stage and epoch, without control characters.
All messages are also in the log of the verb (ktse.runtime.log).
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich import progress as bars
from rich.console import Console, RenderableType
from rich.table import Column
from rich.text import Text

from ktse.runtime.log import current_log
from ktse.runtime.processes import rank
from ktse.runtime.progress import about, current_run
from ktse.runtime.words import visible

T = TypeVar("T")

# Class and file names are shown as they are, brackets and colons included.
console = Console(stderr=True, highlight=False, markup=False, emoji=False)

WIDE = 160
"""Columns of a table that does not go to a terminal."""


class _Rate(bars.ProgressColumn):
    """Finished items per second."""

    def render(self, task: bars.Task) -> Text:
        """Return the rate as text, or a dash while it is unknown."""
        speed = task.finished_speed or task.speed
        return Text("-/s" if speed is None else f"{speed:.1f}/s", style="dim")


class _RunLeft(bars.ProgressColumn):
    """What is left of the whole run."""

    def render(self, task: bars.Task) -> Text:
        """Return the estimate in words; nothing while there is none."""
        run = current_run()
        left = run.left if run is not None else None
        return Text("" if left is None else f"{about(left)} left", style="dim", no_wrap=True)


def track(
    items: Iterable[T], label: str, *, total: int, done: int = 0, turn: tuple[int, int] | None = None
) -> Iterator[T]:
    """Yield the items behind a progress bar.

    Args:
        items: what is iterated over.
        label: the words before the bar.
        total: number of items in all, finished ones included.
        done: how many of them an earlier, interrupted call has finished.
        turn: which time these items are gone through, from 0, and how many times in all, where that is the whole stage.
    """
    run = current_run()
    columns = _columns(run is not None)
    if run is not None:
        label = f"{run.place}, {label}"
        if turn is None:
            run.expect(total - done)
        else:
            run.resume((turn[0] + done / max(1, total)) / turn[1])
    with bars.Progress(*columns, console=console, disable=not console.is_terminal or rank() > 0, transient=True) as bar:
        task = bar.add_task(label, total=total, completed=done)
        for number, item in enumerate(items, start=done + 1):
            yield item
            bar.advance(task)
            if run is not None:
                run.advance() if turn is None else run.at((turn[0] + number / max(1, total)) / turn[1])
                run.tell()


def _columns(whole: bool) -> tuple[bars.ProgressColumn, ...]:
    """What stands in a bar: of a whole run, what is left of that; it all fits into 80 columns."""
    label = bars.TextColumn("{task.description}", table_column=Column(no_wrap=True))
    left = (_Rate(), bars.TimeElapsedColumn(), bars.TextColumn("left"), bars.TimeRemainingColumn())
    return (label, bars.BarColumn(10), bars.MofNCompleteColumn(), *((_RunLeft(),) if whole else left))


def say(text: str) -> None:
    """Print one message for the user to standard error, so that standard output stays for results."""
    if rank() == 0:
        console.print(visible(text), markup=False, soft_wrap=True)
        if (log := current_log()) is not None:
            log.write(text)


def say_once(text: str) -> None:
    """The same, once for each call of a verb; nothing outside of a verb."""
    log = current_log()
    if log is not None and text not in log.once:
        log.once.add(text)
        say(text)


def say_stage(stage: str) -> None:
    """Say that a stage of a whole run begins; nothing where it is the only one that is done."""
    if (run := current_run()) is not None:
        say(f"{run.place}: {stage}{time_left()}")
        run.tell()


def time_left() -> str:
    """How long the whole run will still take, as the end of a message; empty while nobody can tell."""
    run = current_run()
    return f" ({run.words})" if run is not None and run.words else ""


def show(result: RenderableType) -> None:
    """Print a result, a table or a line, to standard output."""
    width = None if sys.stdout.isatty() else WIDE
    if isinstance(result, str):
        result = visible(result)
    Console(highlight=False, markup=False, emoji=False, width=width).print(result, soft_wrap=isinstance(result, str))


def in_words(count: float) -> str:
    """Bytes in MB or GB."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{max(1, round(count / 1e6))} MB"
