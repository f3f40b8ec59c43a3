"""How much memory there is to work with."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from ktse.runtime.fabric import find_device

LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
"""Where Linux says how much a container may have."""


def memory_there() -> int | None:
    """Bytes of memory of the device: of the GPU, or of this machine or container; None if nobody knows.

    Raises:
        RunError: the chosen device is not there.
    """
    if find_device() == "cuda":
        import torch

        return int(torch.cuda.get_device_properties(0).total_memory)
    found = []
    with suppress(AttributeError, OSError, ValueError):  # Windows
        found.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    for path in LIMITS:
        with suppress(OSError, ValueError):  # "max": no limit
            found.append(int(Path(path).read_text(encoding="ascii")))
    return min(found, default=None)
