"""The one error that a user may see: what is wrong, where, and what to do next."""

from __future__ import annotations

from collections.abc import Iterable


class KtseError(Exception):
    """A mistake or a limit that the user can act on; the command line prints it without a traceback.

    Args:
        what: what is wrong, as one sentence.
        where: file, row or key, one string a place; all problems of an input are listed together.
        hint: what to do next.
    """

    shown = 20
    longest = 1000
    """Characters of each part that are shown: a name from a file may be as long as the file."""

    def __init__(self, what: str, *, where: str | Iterable[str] = (), hint: str = "") -> None:
        self.what = what
        self.where = [where] if isinstance(where, str) else list(where)
        self.hint = hint
        super().__init__(str(self))

    def __str__(self) -> str:
        lines = [self._short(self.what)]
        lines += [f"  - {self._short(place)}" for place in self.where[: self.shown]]
        if len(self.where) > self.shown:
            lines.append(f"  - ... and {len(self.where) - self.shown} more")
        if self.hint:
            lines.append(self._short(self.hint))
        return "\n".join(lines)

    @property
    def line(self) -> str:
        """What and where in one line, for a list of many such errors."""
        return self._short(": ".join([self.what, *self.where[: self.shown]]))

    def _short(self, text: str) -> str:
        most = self.longest
        return text if len(text) <= most else f"{text[: most // 2]} ... {text[-most // 4 :]}"


class DataError(KtseError):
    """The input data cannot be used as it is."""


class RecipeError(KtseError):
    """A setting is unknown or out of range."""


class RunError(KtseError):
    """The run folder lacks something, or belongs to something else."""


class CollapseError(KtseError):
    """Training left the regime in which its result means anything."""


class MachineError(KtseError):
    """The machine lacks memory, or has ended a process."""


class ExportError(KtseError):
    """A model cannot be exported, or what was exported does not compute the same."""
