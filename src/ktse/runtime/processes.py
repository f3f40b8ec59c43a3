"""One run by many processes, started by torchrun on one machine or on many that share the run folder.

Training is shared out by Fabric. Stages that go through images one by one take turns: each process does its share.
Everything else is done by the first process while the others wait. Nothing here loads torch in a single process.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar, cast

T = TypeVar("T")

LAUNCHED = ("RANK", "LOCAL_RANK", "GROUP_RANK", "WORLD_SIZE", "TORCHELASTIC_RUN_ID", "MASTER_ADDR", "MASTER_PORT")
"""What torchrun tells each process of its part in one run; how many share the machine is true of runs apart, too."""


def rank() -> int:
    """Number of this process, from 0."""
    return int(os.environ.get("RANK", "0"))


def world_size() -> int:
    """Number of processes; 1 without torchrun."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def own_cores() -> int:
    """Cores of this machine that are this process's share; at least 1."""
    return max(1, (os.cpu_count() or 1) // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))


def is_running(process: int) -> bool:
    """Whether this machine has a process of this number now; Windows cannot be asked, and says yes.

    One that has ended, and whose parent has not asked how, is not running.
    """
    if sys.platform == "win32":
        return True
    with suppress(OSError):  # the name of the program, in brackets, may hold spaces
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # of another user
        return True
    return True


def my_share(items: Sequence[T]) -> Sequence[T]:
    """The items that this process does; give the same items in the same order to every process.

    One that has only joined (`claims.joining`) has no share: it does what it claims.
    """
    return items[rank() :: world_size()] if rank() < world_size() else items[:0]


@contextmanager
def alone() -> Iterator[None]:
    """Within the block, each process works for itself on a device of its own and waits for no other.

    The settings of torchrun are removed from the environment meanwhile. Enter it before the first use of a GPU.
    """
    before = dict(os.environ)
    if world_size() > 1:
        import torch

        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
        devices = visible.split(",") if visible else [str(index) for index in range(torch.cuda.device_count())]
        if devices:
            os.environ["CUDA_VISIBLE_DEVICES"] = devices[int(os.environ.get("LOCAL_RANK", "0")) % len(devices)]
        for name in LAUNCHED:
            os.environ.pop(name, None)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def wait_for_all() -> None:
    """Return once every process has come here; at once in a single process. Fabric must have been launched before."""
    if world_size() > 1:
        import torch.distributed

        torch.distributed.barrier()


def from_first(answer: Callable[[], T]) -> T:
    """What the first process answers, so that all of them do the same; Fabric must have been launched before."""
    if world_size() == 1:
        return answer()
    import torch.distributed

    found = [answer() if rank() == 0 else None]
    torch.distributed.broadcast_object_list(found)
    return cast(T, found[0])


def meet() -> None:
    """Let the processes that torchrun started find each other, and wait for all of them."""
    if world_size() > 1:
        from ktse.runtime.fabric import make_fabric

        make_fabric("fp32")
        wait_for_all()
