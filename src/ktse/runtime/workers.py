"""Work that other processes of this machine do."""

from __future__ import annotations

import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from typing import Any, TypeVar

from ktse.runtime.processes import own_cores

T = TypeVar("T")


def in_processes(function: Callable[..., T], jobs: Iterable[tuple[Any, ...]], workers: int) -> Iterator[T]:
    """Results of a function in the order of its jobs, which are drawn only as fast as they are worked off.

    Args:
        function: a function of a module, so that other processes find it.
        jobs: arguments of each call.
        workers: number of processes; -1: one a core; 0: this process does the work.
    """
    count = own_cores() if workers < 0 else workers
    if count == 0:
        yield from (function(*job) for job in jobs)
        return
    waiting: deque[Future[T]] = deque()
    # An interruption is for the process that gives out the jobs; it tells the others.
    with ProcessPoolExecutor(count, initializer=signal.signal, initargs=(signal.SIGINT, signal.SIG_IGN)) as pool:
        try:
            for job in jobs:
                waiting.append(pool.submit(function, *job))
                if len(waiting) > 2 * count:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
