"""One run by many processes, started by torchrun on one machine or on many that share the run folder.

Training is shared out by Fabric. Stages that go through images one by one take turns: each process does its share.
Everything else is done by the first process while the others wait. Nothing here loads torch in a single process.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


def rank() -> int:
    """Number of this process, from 0."""
    return int(os.environ.get("RANK", "0"))


def world_size() -> int:
    """Number of processes; 1 without torchrun."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def my_share(items: Sequence[T]) -> Sequence[T]:
    """The items that this process does; give the same items in the same order to every process."""
    return items[rank() :: world_size()]


def wait_for_all() -> None:
    """Return once every process has come here; at once in a single process. Fabric must have been launched before."""
    if world_size() > 1:
        import torch.distributed

        torch.distributed.barrier()
