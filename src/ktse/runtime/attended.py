"""A ktse that another program has started and looks at: it ends with that program, and tells it how far it is.

The other program holds the writing end of the standard input. The system closes it however that program ends.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

NAME = "KTSE_ATTENDED"
"""In the environment of a process that is attended."""

MARK = "\x1e"
"""Begins a line for the other program, in JSON; all other lines are for people."""

PATIENCE = 10.0
"""Seconds that a process has to save what it has done, once it is to end."""


def attended() -> bool:
    """Whether another program looks at this one."""
    return NAME in os.environ


def end_with_starter() -> None:
    """End this process, as when it is terminated, when the program that has started it is gone."""
    if attended():
        threading.Thread(target=_wait_and_end, daemon=True).start()


def _wait_and_end() -> None:
    with suppress(OSError):
        while os.read(0, 1024):
            pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(PATIENCE)
    os._exit(130)


def tell(progress: Mapping[str, Any]) -> None:
    """Tell the other program, if there is one, how far this one is.

    Args:
        progress: plain values.
    """
    if attended():
        with suppress(OSError):  # it is gone
            sys.stderr.write(f"{MARK}{json.dumps(progress)}\n")
            sys.stderr.flush()


def told(line: str) -> dict[str, Any] | None:
    """What a line of an attended process tells; None if it is for people."""
    with suppress(ValueError):  # a line that was cut off as the process ended
        if line.startswith(MARK):
            found: dict[str, Any] = json.loads(line[len(MARK) :])
            return found
    return None
