"""What a person sees while long work goes on: a bar with rate and time left on a terminal, nothing in pipes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from ktse.processes import rank

T = TypeVar("T")

console = Console(stderr=True, highlight=False)


class _Rate(ProgressColumn):
    """Finished items per second."""

    def render(self, task: Task) -> Text:
        """Return the rate as text, or a dash while it is unknown."""
        speed = task.finished_speed or task.speed
        return Text("-/s" if speed is None else f"{speed:.1f}/s", style="dim")


def track(items: Iterable[T], label: str, *, total: int, done: int = 0) -> Iterator[T]:
    """Yield the items behind a progress bar.

    Args:
        items: what is iterated over.
        label: the words before the bar.
        total: number of items in all, finished ones included.
        done: how many of them an earlier, interrupted call has finished.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal or rank() > 0, transient=True) as bar:
        task = bar.add_task(label, total=total, completed=done)
        for item in items:
            yield item
            bar.advance(task)


def say(text: str) -> None:
    """Print one line for the user to standard error, so that standard output stays for results."""
    if rank() == 0:
        console.print(text, markup=False, soft_wrap=True)


def in_words(count: float) -> str:
    """Bytes in MB or GB."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{max(1, round(count / 1e6))} MB"
