"""Two processes that want the same run folder: one works, the other is refused at once, and the result is one run's."""

from __future__ import annotations

import os
import shutil
import time
from collections import Counter
from collections.abc import Callable

import pytest
from machine import in_child
from workshop import Workshop, amount

pytestmark = pytest.mark.trust


def both(workshop: Workshop, words: list[str], apart: float) -> list[tuple[int, str]]:
    """Exit codes and messages of two processes that do the same, the second one a moment later."""
    from ktse.cli import main

    said = [workshop.folder / f"said-{number}.txt" for number in range(2)]
    processes = []
    for number in range(2):
        process = os.fork()
        if process == 0:
            os._exit(in_child(lambda: main(words), said[number]))
        processes.append(process)
        time.sleep(apart)
    codes = [os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) for process in processes]
    return [(code, path.read_text(errors="replace")) for code, path in zip(codes, said, strict=True)]


def start(workshop: Workshop, kind: str) -> list[str]:
    """A folder that two processes want, and what they want with it."""
    workshop.clear()
    if kind in ("finished", "left"):
        shutil.copytree(workshop.reference, workshop.run)
    if kind == "left":  # by a process that was killed
        lock = '{"host": "%s", "process": 4194303, "since": "2026-01-01T00:00:00", "born": "long ago"}'
        import socket

        (workshop.run / ".lock").write_text(lock % socket.gethostname())
    shutil.rmtree(workshop.run / "fused", ignore_errors=True)
    return workshop.words()


def test_two_processes(workshop: Workshop, report: Callable[[str], None]) -> None:
    wrong, seen = [], Counter()
    for number in range(amount(50)):
        kind, apart = ("new", "finished", "left")[number % 3], 0.01 * (number % 7)
        (first, one), (second, two) = both(workshop, start(workshop, kind), apart)
        case = f"{kind}, {apart:.2f} s apart"
        seen[tuple(sorted((first, second)))] += 1
        if "Traceback" in one + two or sorted((first, second)) != [0, 1]:
            wrong.append(f"{case}: {first} {second} {one[-300:]} {two[-300:]}")
        if "another ktse works in" not in (one if first else two):
            wrong.append(f"{case}: not refused plainly: {(one if first else two)[-300:]}")
        wrong += [f"{case}: {text}" for text in workshop.complaints()]
        if (workshop.run / "log.txt").read_text().count("stage 7 of 9: predict") != (1 if kind == "new" else 2):
            wrong.append(f"{case}: the log is doubled")
    report(f"{amount(50)} pairs of processes: {dict(seen)}, {len(wrong)} wrong")
    assert not wrong
