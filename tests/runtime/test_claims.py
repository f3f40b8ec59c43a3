"""Independent processes make each image once; one that dies loses none, and one that stopped spoils none."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from ktse.runtime.claims import FOLDER, Offer, OverError, Part, SharedImages, current_offer, joining, require_claim
from ktse.runtime.lock import NAME, Holder, create

WORK = """
import os, sys, time
from pathlib import Path
from ktse.files import write_text
from ktse.runtime import claims, heartbeat
from ktse.runtime.heartbeat import Silence, beating, showing_life
from ktse.runtime.lock import Holder, locked

root, counts, together, role = Path(sys.argv[1]), eval(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
claims.SILENCE, heartbeat.BEAT = 2.0, 0.2

def wait(condition):
    while not condition():
        time.sleep(0.01)

def make(count):
    part = claims.Part(root, "stage", f"part {count}", "key")
    out = root / str(count)
    images = claims.SharedImages(count, lambda index: not (out / str(index)).is_file(), part)
    first = True
    for index in images:
        with (out / f"made-{index}").open("a") as file:
            file.write(f"{os.getpid()}\\n")
        if first:  # nobody goes on before all have begun
            first = False
            (out / f"began-{os.getpid()}").touch()
            wait(lambda: len(list(out.glob("began-*"))) >= min(together, count))
        if role == "victim":
            (out / "reached").touch()
            wait(lambda: (out / "go on").exists())
        write_text(out / str(index), role if role == "victim" else f"image {index}")
        images.tell(index, [index / 3])
    return images.told

if role == "holder":
    with locked(root), beating(root), claims.sharing(root, {}):
        for count in counts:
            (root / str(count)).mkdir(exist_ok=True)
            told = make(count)
            foreign = {i for i in range(count) if str(os.getpid()) not in (root / f"{count}/made-{i}").read_text()}
            assert told == {index: [index / 3] for index in foreign}, told
else:
    with showing_life(claims.sign_of(root, Holder.of_this())):
        (root / f"ready-{os.getpid()}").touch()
        wait(lambda: claims.leader(root, Silence()) is not None)
        while claims.leader(root, Silence()) is not None:
            if (offer := claims.current_offer(root)) is not None:
                try:
                    with claims.joining(offer):
                        make(int(offer.part.name.split()[1]))
                except claims.OverError:
                    (root / f"over-{role}").touch()
            time.sleep(0.01)
"""


STARTED: list[subprocess.Popen[str]] = []


@pytest.fixture(autouse=True)
def ended() -> Iterator[None]:
    """Processes of a test that has failed do not outlive it."""
    yield
    while STARTED:
        STARTED.pop().kill()


def start(root: Path, counts: object, together: int, role: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WORK, str(root), repr(counts), str(together), role]
    STARTED.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True))
    return STARTED[-1]


def end(process: subprocess.Popen[str]) -> None:
    said = process.communicate(timeout=60)[0]
    assert process.returncode == 0, said


def wait_for(path: Path) -> None:
    until = time.monotonic() + 60
    while not list(path.parent.glob(path.name)):
        assert time.monotonic() < until, f"{path} never came"
        time.sleep(0.01)


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_each_image_is_made_once(tmp_path: Path, processes: int) -> None:
    counts = [1, 2, 3, 4, 5, 6, 7]
    others = [start(tmp_path, counts, processes, "other") for _ in range(processes - 1)]
    for _ in others:
        wait_for(tmp_path / "ready-*")
    for process in (start(tmp_path, counts, processes, "holder"), *others):
        end(process)
    for count in counts:
        made = [(tmp_path / f"{count}/made-{index}").read_text().split() for index in range(count)]
        assert all(len(makers) == 1 for makers in made), made
        assert len({maker for (maker,) in made}) == min(processes, count)
        assert all((tmp_path / f"{count}/{index}").read_text() == f"image {index}" for index in range(count))
    assert not (tmp_path / FOLDER).exists() and not (tmp_path / NAME).exists()


@pytest.mark.parametrize("ended_by", [signal.SIGKILL, signal.SIGSTOP])
def test_images_of_a_process_that_died_or_stopped_are_made_by_others(tmp_path: Path, ended_by: signal.Signals) -> None:
    holder, victim = start(tmp_path, [7], 2, "holder"), start(tmp_path, [7], 2, "victim")
    try:
        wait_for(tmp_path / "7/reached")
        victim.send_signal(ended_by)
        end(holder)
    finally:
        (tmp_path / "7/go on").touch()
        victim.send_signal(signal.SIGCONT)
    victim.communicate(timeout=60)
    assert (tmp_path / "over-victim").exists() == (ended_by == signal.SIGSTOP)
    assert [(tmp_path / f"7/{index}").read_text() for index in range(7)] == [f"image {index}" for index in range(7)]
    times = Counter(len((tmp_path / f"7/made-{index}").read_text().split()) for index in range(7))
    assert times == {1: 6, 2: 1}  # the one that it was making was begun twice


TAKE = """
import sys
from pathlib import Path
from ktse.runtime.claims import current_offer
offer = current_offer(Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
print(*[chunk for chunk in range(40) if offer.take_over(chunk)])
"""


def an_offer(root: Path) -> Offer:
    """What a process that lives, this one, shares."""
    part, me = Part(root, "stage", "part", "key"), Holder.of_this()
    folder = root / FOLDER / "part-0"
    folder.mkdir(parents=True)
    said = {"stage": part.stage, "name": part.name, "key": part.key, "leader": json.loads(me.text)}
    create(folder / "offer.json", json.dumps(said))
    create(root / NAME, me.text)
    found = current_offer(root)
    assert found is not None and found.part == part and found.leader == me
    return found


def test_one_of_many_takes_over_what_a_dead_process_has_claimed(tmp_path: Path) -> None:
    offer = an_offer(tmp_path)
    dead = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, text=True)
    former = Holder(offer.me.host, dead.pid, offer.me.since, "an earlier boot 1")
    for chunk in range(40):
        create(offer.folder / f"{chunk}.0", (offer.leader if chunk == 39 else former).text)
    dead.communicate("\n")
    command = [sys.executable, "-c", TAKE, str(tmp_path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    heirs = [subprocess.Popen(command, **pipes) for _ in range(3)]  # type: ignore[call-overload]
    for heir in heirs:
        heir.stdout.readline()
    for heir in heirs:
        heir.stdin.write("\n")
        heir.stdin.flush()
    taken = Counter(int(chunk) for heir in heirs for chunk in heir.communicate(timeout=60)[0].split())
    # The last chunk is that of the process that shares, which makes what it has claimed.
    assert taken == Counter(range(39))


def test_a_process_that_has_joined_writes_only_what_it_has_claimed(tmp_path: Path) -> None:
    offer = an_offer(tmp_path)
    require_claim()  # nobody else needs one
    with joining(offer):
        with pytest.raises(OverError):
            require_claim()
        assert offer.claim(0) and not offer.claim(0)
        require_claim()
        create(offer.folder / "0.1", offer.leader.text)
        with pytest.raises(OverError):
            require_claim()
        assert offer.claim(1)
        require_claim()
        (offer.folder / "offer.json").unlink()
        with pytest.raises(OverError):
            require_claim()
    require_claim()
    assert "RANK" not in os.environ


def test_images_without_a_part_are_this_process_s_own() -> None:
    images = SharedImages(5, lambda index: index != 2)
    assert list(images) == images.left == [0, 1, 3, 4]
    assert images.total == 5
