"""What the parser finds wrong with a command line, in plain words."""

from __future__ import annotations

import re

from ktse.terminal.parser import VERBS, required_arguments

WORDS = (
    (r'Parser key "([^"]+)": ', r"--\1: "),
    (r"<class 'int'>", "whole number"),
    (r"<class 'float'>", "number"),
    (r"<class 'bool'>", "true or false"),
    (r"<class 'tuple'>", "list, such as '[a, b]'"),
    (r"<class 'str'>", "text"),
    (r"a typing\.Literal\[(.*?)\]", r"one of \1"),
    (r"typing\.Literal\[(.*?)\]", r"\1"),
    (
        r"Does not validate against any of the Union subtypes Subtypes: \[(.*?)\] Errors: .*Given value: (.*)",
        r"Expected one of \1. Got value: \2",
    ),
)
"""Patterns in what the parser says, and what stands in their place."""

MISSING = re.compile(r"the following arguments are required: (.*)")


def in_plain_words(text: str, name: str) -> str:
    """What the parser says, in one line and without the names of Python's types.

    Args:
        text: its message.
        name: the verb, or whatever stands in its place.
    """
    text = " ".join(text.split())
    if name in VERBS and (missing := MISSING.search(text)):
        keys = {key.strip().rpartition(".")[2] for key in missing[1].split(",")}
        typed = [words for key, words in required_arguments(VERBS[name]) if key in keys]
        return f"missing: {', '.join(typed)}"
    for pattern, words in WORDS:
        text = re.sub(pattern, words, text)
    return text
