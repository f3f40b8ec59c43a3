"""What is said of an error that nobody has foreseen: it is a fault of ktse, and this is what to report."""

from __future__ import annotations

import platform
import shlex
import sys
import tempfile
import traceback
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from ktse._version import __version__
from ktse.runtime.environment import versions
from ktse.runtime.reading import reason

PLACE = "the issues of the project's repository"


def fault(error: BaseException, words: Sequence[str]) -> str:
    """Keep the traceback of an unforeseen error in a file, and say what to do.

    Args:
        error: what was raised.
        words: the command line.

    Returns:
        the message; with the traceback itself where no file can be written.
    """
    trace = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    known = ""
    with suppress(Exception):  # a message about a fault must not end in another one
        known = ", ".join(f"{name} {number}" for name, number in versions().items())
    system = f"Python {sys.version.split()[0]}, {platform.platform()}"
    text = f"ktse {__version__}: {shlex.join(['ktse', *words])}\n{system}\n{known}\n\n{trace}"
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="ktse-fault-", suffix=".txt", delete=False, encoding="utf-8", errors="backslashreplace"
        ) as file:
            file.write(text)
        kept = f"Report it in {PLACE}, with this file: {Path(file.name)}"
    except OSError:
        kept = f"Report it in {PLACE}, with these lines:\n{text}"
    what = f"{type(error).__name__}: {reason(error)[:300]}"
    return f"this is a fault of ktse, not yours ({what})\n{kept}\nWhat is finished stays."
