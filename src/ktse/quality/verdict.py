"""A verdict on a run: one level for the run, one for each class, and the signs behind them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from ktse.run_folder import RunFolder

Level = Literal["good", "look", "do-not-use"]

LEVELS: tuple[Level, ...] = get_args(Level)
"""From best to worst."""

WORDS: dict[Level, str] = {
    "good": "good: nothing was found that speaks against these results",
    "look": "look at it: some results may be wrong",
    "do-not-use": "do not use: these results are probably wrong",
}


@dataclass(frozen=True)
class Sign:
    """One observation that speaks against a result.

    Attributes:
        level: "look" or "do-not-use".
        about: the class it concerns; empty: the whole run.
        text: what was seen, one sentence.
        next: what to do about it; a command where there is one.
    """

    level: Level
    about: str
    text: str
    next: str


@dataclass(frozen=True)
class Verdict:
    """Whether the results of a run should be used.

    Attributes:
        run: level of the run.
        classes: level of each class, by name.
        signs: the worst first; none for a good run.
    """

    run: Level
    classes: dict[str, Level]
    signs: tuple[Sign, ...]

    @classmethod
    def of(cls, signs: Iterable[Sign], classes: Iterable[str]) -> Verdict:
        """The verdict that follows from signs.

        The run has the worst level of the signs that concern all of it. A class has the worst level of the run's
        and its own signs. If a class is worse than the run, the run is at least "look"; if half of the classes
        should not be used, neither should the run.
        """
        order = sorted(signs, key=lambda sign: -LEVELS.index(sign.level))
        run = _worst(sign.level for sign in order if not sign.about)
        levels = {name: _worst([run, *(sign.level for sign in order if sign.about == name)]) for name in classes}
        if any(level != run for level in levels.values()):
            run = _worst([run, "look"])
        if levels and 2 * list(levels.values()).count("do-not-use") >= len(levels):
            run = "do-not-use"
        return cls(run, levels, tuple(order))

    @property
    def sentence(self) -> str:
        """The verdict in words, without a full stop."""
        return WORDS[self.run]

    def to_json(self) -> dict[str, Any]:
        """Plain values, as in evaluation.json."""
        signs = [{"level": one.level, "class": one.about, "text": one.text, "next": one.next} for one in self.signs]
        return {"run": self.run, "classes": self.classes, "signs": signs}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Verdict:
        """The verdict in evaluation.json."""
        signs = tuple(Sign(one["level"], one["class"], one["text"], one["next"]) for one in content["signs"])
        return cls(content["run"], dict(content["classes"]), signs)


def read_verdict(run: RunFolder) -> Verdict | None:
    """The verdict on a run; None if it has not been evaluated yet."""
    content = run.evaluation()
    return Verdict.from_json(content["verdict"]) if "verdict" in content else None


def _worst(levels: Iterable[Level]) -> Level:
    return max(levels, key=LEVELS.index, default="good")
