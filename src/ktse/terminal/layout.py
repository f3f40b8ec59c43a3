"""How help looks: what an argument means and its default, without the names of Python's types."""

from __future__ import annotations

import re
from argparse import Action

from jsonargparse import DefaultHelpFormatter

NOTES = re.compile(r"\s*\((?P<required>required, )?type: .*?(?:, default: (?P<default>.*))?\)$", re.DOTALL)
"""What is added to each help text: whether it must be given, its type, and its default."""


class Layout(DefaultHelpFormatter):
    """Help of one verb."""

    def _expand_help(self, action: Action) -> str:  # argparse has no public place to change this
        text = plain_notes(super()._expand_help(action))
        return text.removesuffix(" (required)") if action.nargs == "*" else text


def plain_notes(text: str) -> str:
    """A help text whose notes are words; a missing default is not mentioned."""
    notes = NOTES.search(text)
    if notes is None:
        return re.sub(r" \(default: (null|False)\)$", "", text)
    words = text[: notes.start()].removesuffix(".")
    if notes["required"]:
        return f"{words} (required)"
    return words if notes["default"] in (None, "null", "") else f"{words} (default: {notes['default']})"
