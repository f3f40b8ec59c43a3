"""Whatever is in a file or in a request, it is read, or refused with a message; never a traceback, a crash or a hang.

KTSE_FUZZ is the number of inputs of each parser in the long profile (`make fuzz`).
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from queue import Empty, Queue
from threading import Thread

import pytest
from fuzz_parsers import PARSERS
from fuzz_worker import SECONDS

WORKER = Path(__file__).with_name("fuzz_worker.py")
LOADING = 180
"""Seconds that a worker may take before its first input: it loads torch."""

LIGHT = [name for name, parser in PARSERS.items() if not parser.heavy]


def outcomes(names: list[str], folder: Path, count: int, first: int = 0) -> dict[int, str]:
    """How each input of some parsers, taken in turn, ended; a worker that dies or hangs is followed by another one."""
    found: dict[int, str] = {}
    last = first + count
    while first < last:
        words = [sys.executable, str(WORKER), ",".join(names), str(folder), str(first), str(last - first)]
        with (folder / "stderr.txt").open("w") as said:
            process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=said, text=True)
        lines: Queue[str] = Queue()
        Thread(target=_read, args=(process, lines), daemon=True).start()
        number = None
        while True:
            try:
                line = lines.get(timeout=LOADING if number is None else 4 * SECONDS)
            except Empty:
                line = "hang"
            if line in ("", "hang"):
                break
            if line.isdigit():
                number = int(line)
            elif number is not None:
                found[number] = ast.literal_eval(line)
        process.kill()
        code = process.wait()
        if number is None:
            raise AssertionError((folder / "stderr.txt").read_text())
        if number not in found:
            found[number] = "fault it hangs" if line == "hang" else f"fault the process ended with {code}"
        first = number + 1
    return found


def _read(process: subprocess.Popen[str], lines: Queue[str]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        lines.put(line.rstrip("\n"))
    lines.put("")


def judge(names: list[str], found: dict[int, str]) -> None:
    """Print the counts of each parser, which has every so many-th input, and fail for the first faults."""
    for place, name in enumerate(names):
        mine = [outcome.partition(" ")[0] for number, outcome in found.items() if number % len(names) == place]
        counts = Counter(mine)
        print(
            f"{name}: {len(mine)} inputs, {counts['read']} read, {counts['refused']} refused, {counts['fault']} faults"
        )
    faults = [number for number, outcome in found.items() if outcome.startswith("fault")]
    texts = [f"{names[number % len(names)]} {number}: {found[number][-1500:]}" for number in faults[:5]]
    assert not faults, "\n".join(texts)


def test_some_hostile_inputs(tmp_path: Path) -> None:
    judge(LIGHT, outcomes(LIGHT, tmp_path, 6 * len(LIGHT)))


@pytest.mark.trust
@pytest.mark.parametrize("name", PARSERS)
def test_many_hostile_inputs(name: str, tmp_path: Path) -> None:
    count = int(os.environ.get("KTSE_FUZZ", "1200"))
    judge([name], outcomes([name], tmp_path, count // (4 if PARSERS[name].heavy else 1)))
