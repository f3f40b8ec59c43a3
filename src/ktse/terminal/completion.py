"""Completion of the command line in shells; shtab (the extra completion) writes the script."""

from __future__ import annotations

from collections.abc import Sequence

from ktse.errors import KtseError
from ktse.terminal.parser import COMPLETION, make_parser


def wants_completion(words: Sequence[str]) -> bool:
    """Whether a command line asks for the script of a shell."""
    return bool(words) and words[0].partition("=")[0] == COMPLETION


def completion_script(words: Sequence[str]) -> str:
    """The script that a shell evaluates, such as ``eval "$(ktse --completion bash)"``.

    Args:
        words: ``--completion`` and the name of the shell.

    Raises:
        KtseError: the extra is not installed, or does not know the shell.
    """
    try:
        import shtab
    except ImportError as error:
        raise KtseError(f"{COMPLETION} needs an extra", hint='Install it: pip install "ktse[completion]"') from error
    shell = words[0].partition("=")[2] or "".join(words[1:2])
    if shell not in shtab.SUPPORTED_SHELLS:
        raise KtseError(f"there is no shell {shell!r}", hint=f"Give one of {', '.join(shtab.SUPPORTED_SHELLS)}.")
    return str(shtab.complete(make_parser(), shell))
