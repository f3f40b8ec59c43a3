"""What a machine lacks, in words: memory, and processes that have died of it. Libraries say both in many ways."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager

from ktse.errors import KtseError, MachineError

NO_MEMORY = re.compile(r"out of memory|(can't|cannot|failed to|unable to) allocate|not enough memory|bad_alloc", re.I)
"""What torch, its allocators on each device, numpy and onnxruntime say."""

DEAD_WORKER = re.compile(r"DataLoader worker .*(exited unexpectedly|is killed)", re.S)

FEWER = "compute.workers"

CARRIED = re.compile(r"Caught \w+ in DataLoader worker .*\nktse\.\w+\.\w+: (.*)", re.S)
"""How torch carries an error of ktse over from a process that reads images."""


@contextmanager
def machine_limits(lower: str = "") -> Iterator[None]:
    """Turn want of memory, and the death of another process, into an error that says what to lower.

    Args:
        lower: settings that decide how much memory the block needs, in words.

    Raises:
        MachineError: the machine lacks memory, or ended a process.
    """
    try:
        yield
    except KtseError as error:
        if carried := CARRIED.match(error.what):
            raise type(error)(carried[1].strip()) from error
        raise
    except Exception as error:
        text = str(error)
        if isinstance(error, BrokenProcessPool) or (isinstance(error, RuntimeError) and DEAD_WORKER.search(text)):
            hint = f"Most often the memory was full. Lower {FEWER} (0: no other processes), and repeat the command."
            raise MachineError("a process that reads images has died", where=_first(error), hint=hint) from error
        named = type(error).__name__ in ("OutOfMemoryError", "MemoryError", "_ArrayMemoryError")
        if named or (not isinstance(error, OSError) and NO_MEMORY.search(text)):
            device = "the GPU" if re.search(r"CUDA|MPS|GPU", text) else "the machine"
            hint = f"Lower {lower}. What is finished stays." if lower else "What is finished stays."
            raise MachineError(f"the memory of {device} is full", where=_first(error), hint=hint) from error
        raise


def _first(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
