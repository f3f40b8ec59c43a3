"""A process that is killed, a machine without power: the same command gives the same bytes, and nothing is left."""

from __future__ import annotations

import os
import random
import re
import signal
import time
from collections.abc import Callable

import pytest
from machine import SWITCHED_OFF, Disk
from workshop import Workshop, amount

pytestmark = pytest.mark.trust

Report = Callable[[str], None]


def events(workshop: Workshop) -> int:
    """How many moments there are at which a run can be killed."""
    workshop.clear()
    assert workshop.do(workshop.words(), disk=Disk(workshop.run, 0, False, random.Random(0))) == 0, workshop.text
    return int(re.findall(r"events: (\d+)", workshop.text)[-1])


def chosen(total: int, count: int) -> list[int]:
    """Moments, evenly over all, each once."""
    return sorted({1 + round(number * (total - 1) / max(1, count - 1)) for number in range(min(count, total))})


@pytest.mark.parametrize(("what", "powerless", "count"), [("killed", False, 60), ("power lost", True, 40)])
def test_at_a_write(workshop: Workshop, report: Report, what: str, powerless: bool, count: int) -> None:
    total, bad = events(workshop), {}
    moments = chosen(total, amount(count))
    for moment in moments:
        workshop.clear()
        disk = Disk(workshop.run, moment, powerless, random.Random(moment))
        assert workshop.do(workshop.words(), disk=disk) == SWITCHED_OFF
        if wrong := workshop.recovers():
            bad[moment] = wrong
            report(f"moment {moment}: {wrong}")
    report(f"{what} at {len(moments)} of {total} moments around writes: {len(bad)} lost or wrong")
    assert not bad


def test_killed_at_any_time(workshop: Workshop, report: Report, chance: random.Random) -> None:
    kills, runs, bad = 0, 0, []
    began = time.monotonic()
    workshop.clear()
    assert workshop.do(workshop.words()) == 0
    whole = time.monotonic() - began
    while kills < amount(30):
        runs += 1
        workshop.clear()
        for _ in range(3):
            process = os.fork()
            if process == 0:
                os.setpgid(0, 0)
                workshop.do(workshop.words())
                os._exit(0)
            time.sleep(chance.uniform(0, whole))
            ended = os.waitpid(process, os.WNOHANG)[0]
            if not ended:
                os.killpg(process, signal.SIGKILL)
                os.waitpid(process, 0)
                kills += 1
        if wrong := workshop.recovers():
            bad.append(wrong)
            report(f"run {runs}: {wrong}")
    report(f"killed {kills} times at any time, in {runs} runs: {len(bad)} lost or wrong")
    assert not bad
