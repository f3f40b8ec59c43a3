"""A verdict as page and card show it: words for each level, signs with their commands, classes by level."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal

from ktse.errors import RunError
from ktse.quality.verdict import LEVELS, WORDS, Level, Sign, Verdict, read_verdict
from ktse.reporting.wording import clip
from ktse.run_folder import RunFolder

MOST_SIGNS = 40
"""Signs that are shown; of more, the number."""

MOST_NAMES = 200
"""Classes of a level that are named; of more, the number."""

LONGEST_TEXT = 600
"""Characters of a sign that are shown."""

WORD = r"""(?:'[^']*'|"[^"]*"|[^\s"'`]*[^\s"'`.,;])"""
# A command between backticks, or "ktse VERB", what it is about, and its options; not the words after that.
COMMANDS = re.compile(rf"`([^`]+)`|(?<![\w./-])(ktse [a-z]+ {WORD}(?: --[\w.-]+(?:[ =]{WORD})?| [A-Z]{{2,}}\b)*)")


@dataclass(frozen=True)
class Step:
    """A part of what to do next.

    Attributes:
        kind: "command" is one to copy, "code" a name, "text" anything else.
        text: the part.
    """

    kind: Literal["command", "code", "text"]
    text: str


@dataclass(frozen=True)
class Group:
    """Signs with the same next step.

    Attributes:
        signs: the worst first.
        steps: what to do next.
    """

    signs: list[Sign]
    steps: list[Step]

    @property
    def here(self) -> bool:
        """Whether the next step is to look at the page itself."""
        commands = [step.text for step in self.steps if step.kind == "command"]
        return bool(commands) and all(text.startswith("ktse report ") for text in commands)


@dataclass(frozen=True)
class Judgement:
    """A verdict, ready to be shown.

    Attributes:
        level: of the run; empty if it was not judged yet.
        head: the verdict in a few words.
        words: the rest of its sentence.
        groups: signs by their next step, the worst first.
        more: number of signs that are left out.
        classes: level, number of classes, and the names of the first of them; the worst level first.
    """

    level: Level | Literal[""]
    head: str
    words: str
    groups: list[Group]
    more: int
    classes: list[tuple[Level, int, list[str]]]


def read(run: RunFolder) -> Verdict | None:
    """The verdict on a run; None if it was not judged yet.

    Raises:
        RunError: it is damaged.
    """
    try:
        verdict = read_verdict(run)
        levels = [*verdict.classes.values(), *(sign.level for sign in verdict.signs)] if verdict else []
        levels += [verdict.run, verdict.masks, verdict.model] if verdict else []
        wrong = [str(level) for level in levels if level not in LEVELS]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        wrong = [f"{type(error).__name__} {error}"]
    if wrong:
        hint = f"Judge the run again: ktse evaluate {run.root}"
        raise RunError(f"the verdict in {run.path('evaluation.json')} is damaged", where=wrong[0], hint=hint)
    return verdict


def head(level: str) -> str:
    """A level in at most three words."""
    found = next((WORDS[known] for known in LEVELS if known == level), "not judged yet")
    return found.partition(":")[0].capitalize()


def show(verdict: Verdict | None, root: str) -> Judgement:
    """Arrange a verdict for reading.

    Args:
        verdict: None if the run was not judged yet.
        root: the run folder, as it is written in a command; it takes the place of RUN in commands.
    """
    if verdict is None:
        return Judgement("", head(""), "", [], 0, [])
    by_next: dict[str, list[Sign]] = {}
    for sign in verdict.signs[:MOST_SIGNS]:
        by_next.setdefault(sign.next, []).append(replace(sign, text=clip(sign.text, LONGEST_TEXT), next=""))
    groups = [Group(signs, steps(clip(text, LONGEST_TEXT), root)) for text, signs in by_next.items()]
    classes: list[tuple[Level, int, list[str]]] = []
    for level in reversed(LEVELS):
        names = [name for name, found in verdict.classes.items() if found == level]
        if names:
            classes.append((level, len(names), names[:MOST_NAMES]))
    first, _, words = verdict.sentence.partition(": ")
    return Judgement(verdict.run, first.capitalize(), words, groups, max(0, len(verdict.signs) - MOST_SIGNS), classes)


def steps(text: str, root: str) -> list[Step]:
    """Split what to do next into words and commands."""
    found: list[Step] = []
    end = 0
    for match in COMMANDS.finditer(text):
        code = (match[1] or match[2]).strip()
        command = code.startswith(("ktse ", "pip ", "python "))
        # A function, since a path may hold what a replacement would read as a reference.
        code = re.sub(r"(?<=\s)RUN(?=\s|$)", lambda _: root, code) if command else code
        found += [Step("text", text[end : match.start()]), Step("command" if command else "code", code)]
        end = match.end()
    found.append(Step("text", text[end:]))
    return [step for step in found if step.text.strip(" .,;:")]
