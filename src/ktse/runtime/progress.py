"""How far a whole run is, and how long what is left of it will take: an estimate from what was measured so far."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

from ktse.runtime.attended import tell
from ktse.runtime.words import many

ENOUGH = 5.0
"""Seconds of work from which an estimate is made."""

SMALL = 0.05
"""Share of the whole work below which a stage says nothing about the pace of the others."""

OFTEN = 1.0
"""Seconds after which a program that looks at the run is told again how far it is."""

BRIEF = 0.5
"""Seconds below which a stage did nothing, as its result was there already."""


class WholeRun:
    """The stages of a run, one after another, and what each takes in comparison with the others.

    Args:
        weights: expected work of each stage, in any unit, in the order of the stages.
        clock: seconds from any start.
    """

    def __init__(self, weights: Mapping[str, float], clock: Callable[[], float] = time.monotonic) -> None:
        self._weights, self._clock = dict(weights), clock
        self._names = list(self._weights)
        self._number, self._started, self._share = -1, clock(), 0.0
        self._done = self._total = 0
        self._spent, self._finished = 0.0, 0.0
        self._before: float | None = None
        self._told = -math.inf

    def begin(self, stage: str) -> None:
        """A stage begins, which ends the one before."""
        self.end()
        self._number, self._started = self._names.index(stage), self._clock()
        self._share, self._done, self._total, self._before = 0.0, 0, 0, None
        self._told = -math.inf

    def end(self) -> None:
        """The stage has ended."""
        seconds = self._clock() - self._started
        if self._number >= 0 and seconds < BRIEF:
            self._weights[self.stage] = 0.0
        elif self._number >= 0 and self._counts:
            self._spent += seconds
            self._finished += self._current

    @property
    def _current(self) -> float:
        return self._weights[self.stage]

    @property
    def _counts(self) -> bool:
        """Whether the stage is large enough to tell the pace of the others; those that were done already are none."""
        return self._current > SMALL * sum(self._weights.values())

    def expect(self, items: int) -> None:
        """The stage goes through so many more items."""
        self._total += items

    def advance(self) -> None:
        """One of these items is done."""
        self._done += 1
        self._share = self._done / max(1, self._total)

    def resume(self, share: float) -> None:
        """The stage begins with a share, 0..1, done by an earlier call; only its first word counts."""
        if self._before is None:
            self._before = min(share, 0.99)
            self._weights[self.stage] *= 1 - self._before

    def at(self, share: float) -> None:
        """A share, 0..1, of the stage is done, what an earlier call has done included."""
        before = self._before or 0.0
        self._share = (share - before) / (1 - before)

    @property
    def stage(self) -> str:
        """The stage that is being done."""
        return self._names[self._number]

    @property
    def place(self) -> str:
        """Where the run is, such as "stage 2 of 8"."""
        return f"stage {self._number + 1} of {len(self._names)}"

    @property
    def left(self) -> float | None:
        """Seconds that the run will still take; None while too little was measured.

        What is left of a stage goes on as the stage did; a later stage takes as much longer or shorter than expected as
        the stages so far.
        """
        if self._number < 0:
            return None
        current = self._current
        seconds, share = self._clock() - self._started, min(1.0, self._share)
        later = sum(self._weights[name] for name in self._names[self._number + 1 :])
        counts = share > 0 and self._counts
        spent, work = self._spent + seconds * counts, self._finished + current * share * counts
        if spent < ENOUGH or work <= 0:
            return None
        pace = spent / work
        rest = seconds * (1 - share) / share if share > 0 and seconds >= ENOUGH else pace * current * (1 - share)
        return rest + pace * later

    def tell(self) -> None:
        """Tell a program that looks at this one what is being done, the share of it, 0..1, and the seconds left.

        Nothing if it was told just now, unless another stage has begun.
        """
        if self._clock() - self._told >= OFTEN:
            self._told = self._clock()
            tell({"stage": self.stage, "share": min(1.0, self._share), "left": self.left})

    @property
    def words(self) -> str:
        """The estimate in words, such as "about 12 minutes left of the run"; empty while there is none."""
        left = self.left
        return "" if left is None else f"{about(left)} left of the run"


def about(seconds: float) -> str:
    """A time in words, no more precise than an estimate can be: "less than a minute", "about 12 minutes"."""
    minutes = seconds / 60
    if minutes < 1:
        return "less than a minute"
    if minutes < 100:
        return f"about {many(round(minutes), 'minute')}"
    hours = minutes / 60
    return f"about {hours:.1f} hours" if hours < 9.5 else f"about {round(hours)} hours"


_current: ContextVar[WholeRun | None] = ContextVar("whole_run", default=None)


def current_run() -> WholeRun | None:
    """The run that is under way, if all of its stages are being done."""
    return _current.get()


@contextmanager
def whole_run(weights: Mapping[str, float]) -> Iterator[WholeRun]:
    """Within the block, all stages of a run are done.

    Args:
        weights: expected work of each stage, in any unit, in the order of the stages.
    """
    run = WholeRun(weights)
    token = _current.set(run)
    try:
        yield run
    finally:
        _current.reset(token)
