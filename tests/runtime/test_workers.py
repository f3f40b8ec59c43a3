"""Work shared out to processes: in order, as it is drawn, and with its errors."""

import os

import numpy as np
import pytest

from ktse.errors import RunError
from ktse.runtime.workers import in_processes


def square(number):
    return np.array([number * number, os.getpid()])


@pytest.mark.parametrize("workers", [0, 2])
def test_processes_keep_the_order_and_draw_jobs_as_they_go(workers):
    drawn = []

    def jobs():
        for number in range(40):
            drawn.append(number)
            yield (number,)

    results = in_processes(square, jobs(), workers)
    first = next(results)
    assert first[0] == 0
    assert len(drawn) < 10
    rest = list(results)
    assert [value for value, _ in rest] == [number * number for number in range(1, 40)]
    assert ({process for _, process in rest} == {os.getpid()}) == (workers == 0)


def fail(number):
    raise RunError(f"job {number} failed")


@pytest.mark.parametrize("workers", [0, 1])
def test_an_error_in_a_process_comes_back(workers):
    with pytest.raises(RunError, match="job 7 failed"):
        list(in_processes(fail, [(7,)], workers))
