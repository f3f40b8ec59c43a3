"""A process that is killed, a machine without power: the same command gives the same bytes, and nothing is left."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from machine import Disk, content
from workshop import OF_PROCESSES, VARYING, Workshop, amount

pytestmark = pytest.mark.trust

Report = Callable[[str], None]

COMMAND = "import sys, workshop; workshop.hurry(); from ktse.cli import main; sys.exit(main(sys.argv[1:]))"


def begun(workshop: Workshop, *, real: bool = False) -> int:
    """Number of a process, in a group of its own, that does the run: a copy of this one, or a real command."""
    if real:
        command = [sys.executable, "-c", COMMAND, *workshop.words()]
        paths = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        with workshop.said.open("wb") as said:
            return subprocess.Popen(command, env=paths, stdout=said, stderr=said, start_new_session=True).pid
    process = os.fork()
    if process == 0:
        os.setpgid(0, 0)
        os._exit(workshop.do(workshop.words()))
    os.setpgid(process, process)  # here too, as the copy may be stopped before it has done so
    return process


def stop(process: int, after: float, how: signal.Signals = signal.SIGKILL) -> int | None:
    """Send a signal to a group of processes, and wait for its end; its exit code if it ended before."""
    time.sleep(after)
    ended, status = os.waitpid(process, os.WNOHANG)
    if ended:
        return os.waitstatus_to_exitcode(status)
    os.killpg(process, how)
    os.waitpid(process, 0)
    return None


def stage_of(workshop: Workshop) -> str:
    """The stage that a run is in."""
    try:
        entries = json.loads((workshop.run / "manifest.json").read_text())
    except FileNotFoundError:
        return "before the first"
    return next((name for name, entry in entries.items() if entry["state"] == "running"), "between two")


def seconds(workshop: Workshop, *, real: bool = False) -> float:
    """How long the run takes when nothing disturbs it."""
    workshop.clear()
    began = time.monotonic()
    assert os.waitpid(begun(workshop, real=real), 0)[1] == 0, workshop.text
    return time.monotonic() - began


def unlike(workshop: Workshop, moment: Path) -> set[str]:
    """Files that a process leaves that ends at an event, where they are not those of the copy that was kept of it."""

    def ends() -> None:
        disk.events += 1
        if disk.events == int(moment.name):
            os._exit(137)

    workshop.clear()
    disk = Disk(workshop.run, moment, False)
    disk.event = ends  # type: ignore[method-assign]
    assert workshop.do(workshop.words(), disk=disk) == 137
    left, kept = (content(folder, (*VARYING, *OF_PROCESSES)) for folder in (workshop.run, moment))
    return {name for name, _ in left.items() ^ kept.items() if not name.endswith(".part")}


def different(states: Path) -> list[Path]:
    """Of folders that are equal, the first: a flush, for one, changes nothing that a process sees."""
    found: dict[str, Path] = {}
    for state in sorted(states.iterdir()):
        held = hashlib.blake2b()
        for path in sorted(state.rglob("*")):
            name = path.relative_to(state).as_posix()
            if f"{name}/".startswith((".alive/", ".claims/")):
                continue
            # A model is one file under several names.
            same = str(path.stat().st_ino).encode() if path.suffix == ".safetensors" else b""
            held.update(name.encode() + (same or (path.read_bytes() if path.is_file() else b"")))
        found.setdefault(held.hexdigest(), state)
    return list(found.values())


@pytest.mark.parametrize(("what", "lossy", "most"), [("killed", False, 1000), ("power lost", True, 100)])
def test_at_a_write(workshop: Workshop, report: Report, tmp_path: Path, what: str, lossy: bool, most: int) -> None:
    workshop.clear()
    assert workshop.do(workshop.words(), disk=Disk(workshop.run, tmp_path, lossy)) == 0, workshop.text
    total, moments = len(list(tmp_path.iterdir())), different(tmp_path)
    assert lossy or not any(unlike(workshop, moments[len(moments) * part // 5]) for part in (1, 3))
    count = amount(min(most, len(moments)))
    tried = [moments[number * len(moments) // count] for number in range(count)]
    bad = 0
    for number, moment in enumerate(tried):
        workshop.begins_as(moment)
        if wrong := workshop.recovers(whole=lossy or number % 8 == 0):
            bad += 1
            report(f"moment {moment.name}: {wrong}\n{workshop.text}")
    report(
        f"{what} at {total} moments around writes, {count} of {len(moments)} states of the disk: {bad} lost or wrong"
    )
    assert not bad


def test_killed_at_any_time(workshop: Workshop, report: Report, chance: random.Random) -> None:
    kills, runs, bad, stages = 0, 0, 0, Counter[str]()
    whole = seconds(workshop)
    while kills < amount(200):
        runs += 1
        workshop.clear()
        while stop(begun(workshop), chance.uniform(0, whole / 2)) is None:
            kills += 1
            stages[stage_of(workshop)] += 1
        if wrong := workshop.recovers():
            bad += 1
            report(f"run {runs}: {wrong}\n{workshop.text}")
    report(f"killed {kills} times at any time ({dict(stages)}), in {runs} runs: {bad} lost or wrong")
    assert not bad


def test_real_commands_are_like_copies(workshop: Workshop, report: Report, chance: random.Random) -> None:
    whole = seconds(workshop, real=True)
    assert workshop.complaints() == []
    outcomes = []
    for number in range(amount(6)):
        how = (signal.SIGKILL, signal.SIGTERM)[number % 2]
        workshop.clear()
        process = begun(workshop, real=True)
        while not (workshop.run / "manifest.json").is_file():  # before, it has nothing to say
            time.sleep(0.01)
        ended = stop(process, chance.uniform(0, 0.6) * whole, how)
        interrupted = "interrupted; the same command goes on" in workshop.text
        assert ended == 0 or interrupted == (how is signal.SIGTERM), workshop.text
        process = begun(workshop, real=True)
        assert os.waitpid(process, 0)[1] == 0, workshop.text
        outcomes += workshop.complaints()
    report(f"{amount(6)} real commands stopped: {len(outcomes)} lost or wrong")
    assert not outcomes
