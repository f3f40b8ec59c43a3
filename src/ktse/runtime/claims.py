"""Independent processes that make files of the same images: who makes which, by files that only one can create.

.claims/run.json            what the process that holds the lock computes with, and how many processes it is
.claims/NAME/offer.json     what part of a stage it shares now
.claims/NAME/K.0            who makes the images of chunk K; K.1: who has taken them over from a process that died
.claims/NAME/K.made         what the chunk's maker, if it is another one, has found about its images, once all are made

The holder of the lock needs none of the others: in the end it makes whatever is missing.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ktse.runtime.console import say
from ktse.runtime.heartbeat import FOLDER as SIGNS
from ktse.runtime.heartbeat import SILENCE, Silence
from ktse.runtime.lock import Holder, create, holder, read_holder
from ktse.runtime.processes import my_share, rank, world_size

FOLDER = ".claims"

CHUNK, CHUNKS = 16, 64
"""Images of a chunk at most, and chunks that there are at least if there are as many images."""

POLL = 0.2
"""Seconds between looks at what others do."""


class OverError(Exception):
    """A process that has joined has nothing more to do here: all is made, or others make it."""


@dataclass(frozen=True)
class Part:
    """A part of a stage that goes through images one by one, and writes files of each.

    Attributes:
        root: the run folder.
        stage: name of the stage.
        name: of the part.
        key: what the stage is made from.
    """

    root: Path
    stage: str
    name: str
    key: str


class Offer:
    """A part of a stage that is being shared, as one of the processes sees it.

    Args:
        folder: where its claims are.
        part: what is shared.
        leader: the process that shares it.
        me: this process.

    Attributes:
        made: how many images this process has made.
    """

    def __init__(self, folder: Path, part: Part, leader: Holder, me: Holder) -> None:
        self.folder, self.part, self.leader, self.me = folder, part, leader, me
        self.made = 0
        self._mine: tuple[int, int] | None = None
        self._silence = Silence()

    @property
    def is_open(self) -> bool:
        """Whether it is still shared, by a process that lives."""
        return (self.folder / "offer.json").is_file() and leader(self.part.root, self._silence) is not None

    def claim(self, chunk: int) -> bool:
        """Take a chunk that nobody has taken; False if somebody has."""
        return self._create(chunk, 0)

    def take_over(self, chunk: int) -> bool:
        """Take a chunk over from a process that has ended or stopped; False if it works, or if others are quicker."""
        turn = 0
        while (self.folder / f"{chunk}.{turn + 1}").exists():
            turn += 1
        former = read_holder(self.folder / f"{chunk}.{turn}")
        if former is None or former == self.leader or self._lives(former):  # None: a network is late
            return False
        if taken := self._create(chunk, turn + 1):
            say(f"{self.part.stage}: {former} has stopped; others make its images")
        return taken

    def is_mine(self) -> bool:
        """Whether the chunk that this process has claimed last is still its own."""
        if self._mine is None or not (self.folder / "offer.json").is_file():
            return False
        chunk, turn = self._mine
        return (self.folder / f"{chunk}.{turn}").is_file() and not (self.folder / f"{chunk}.{turn + 1}").exists()

    def finish(self, chunk: int, found: Mapping[str, Any], images: int) -> None:
        """Say that all images of a chunk are made, and what was found about them."""
        create(self.folder / f"{chunk}.made", json.dumps(found))
        self.made += images

    def finished(self, chunk: int) -> dict[int, Any] | None:
        """What another process has found about the images of a chunk; None if it has not finished it."""
        with suppress(OSError, ValueError):
            found = json.loads((self.folder / f"{chunk}.made").read_text(encoding="utf-8"))
            return {int(index): value for index, value in found.items()}
        return None

    def _create(self, chunk: int, turn: int) -> bool:
        try:
            created = create(self.folder / f"{chunk}.{turn}", self.me.text)
        except FileNotFoundError:  # it is no longer shared
            return False
        if created:
            self._mine = chunk, turn
        return created

    def _lives(self, one: Holder) -> bool:
        return one.lives and self._silence.of(sign_of(self.part.root, one)) < SILENCE


_joined: ContextVar[Offer | None] = ContextVar("joined", default=None)


class SharedImages:
    """The images of a part that this process makes: iterate over them, and make each before the next one.

    Of the processes of one torchrun each has a fixed share. Otherwise a process takes a chunk after the other, as long
    as no other one has taken it.

    Args:
        count: number of images, the same for every process.
        missing: whether an image is still to be made, by its number.
        part: what is shared; None: nothing.

    Attributes:
        total: number of images, done or not, that this process goes through.
        left: those that are still to be made.
        told: what others have found about images, once all are made.
    """

    def __init__(self, count: int, missing: Callable[[int], bool], part: Part | None = None) -> None:
        self._missing, self._part, self._joined = missing, part, _joined.get()
        self._chunk = max(1, min(CHUNK, count // CHUNKS))
        mine: Sequence[int] = range(count)
        if self._joined is not None:
            mine = mine if part == self._joined.part else ()  # another one is over, or has not begun
        elif part is not None:
            mine = my_share(mine)
        self.total, self.left = len(mine), [index for index in mine if missing(index)]
        self.told: dict[int, Any] = {}
        self._found: dict[str, Any] = {}

    def tell(self, index: int, found: Any) -> bool:
        """Let the holder of the lock know what was found about an image.

        Args:
            index: number of the image.
            found: a value that JSON keeps as it is.

        Returns:
            whether this is another process than the holder, which keeps what it finds itself.
        """
        if self._joined is not None:
            self._found[str(index)] = found
        return self._joined is not None

    def __iter__(self) -> Iterator[int]:
        if self._part is None or world_size() > 1:
            yield from self.left
        elif self._joined is None:
            with _offered(self._part) as offer:
                yield from self._claimed(offer)
        elif self.total:
            yield from self._claimed(self._joined)
            raise OverError

    def _claimed(self, offer: Offer) -> Iterator[int]:
        """Images of chunks that nobody has claimed, then of those whose makers have left something to make."""
        chunks: dict[int, list[int]] = {}
        for index in self.left:
            chunks.setdefault(index // self._chunk, []).append(index)
        others = []
        for number, wanted in chunks.items():
            if offer.claim(number):
                yield from self._made(offer, number, wanted)
            else:
                others.append(number)
        while others if self._joined is None else offer.is_open:
            for number in list(others):
                told = offer.finished(number)
                if told is None and not offer.take_over(number):
                    continue
                others.remove(number)
                self.told |= told or {}
                if told is None or self._joined is None:
                    left = [index for index in chunks[number] if index not in self.told and self._missing(index)]
                    yield from self._made(offer, number, left)
            time.sleep(POLL)

    def _made(self, offer: Offer, number: int, wanted: list[int]) -> Iterator[int]:
        self._found = {}
        yield from wanted
        if self._joined is not None:
            offer.finish(number, self._found, len(wanted))


def require_claim() -> None:
    """Make sure that this process may write: one that has joined writes files of images that it has claimed, no others.

    Raises:
        OverError: others have taken them over, or the part is over.
    """
    offer = _joined.get()
    if offer is not None and not offer.is_mine():
        raise OverError


@contextmanager
def joining(offer: Offer) -> Iterator[None]:
    """Within the block, this process makes images of an offer.

    It is not the first of the run's processes: what is to be said or written of all images is for that one.
    """
    token, before = _joined.set(offer), os.environ.get("RANK")
    os.environ["RANK"] = "1"
    try:
        yield
    finally:
        _joined.reset(token)
        os.environ.pop("RANK") if before is None else os.environ.update(RANK=before)


@contextmanager
def _offered(part: Part) -> Iterator[Offer]:
    me = Holder.of_this()
    offer = Offer(part.root / FOLDER / f"{part.name}-{secrets.token_hex(4)}", part, me, me)
    offer.folder.mkdir(parents=True)
    said = {"stage": part.stage, "name": part.name, "key": part.key, "leader": json.loads(me.text)}
    create(offer.folder / "offer.json", json.dumps(said))
    try:
        yield offer
    finally:
        with suppress(OSError):
            (offer.folder / "offer.json").unlink()
        shutil.rmtree(offer.folder, ignore_errors=True)
        with suppress(OSError):  # it is shared with others still
            offer.folder.parent.rmdir()


def current_offer(root: Path) -> Offer | None:
    """What is shared in a run folder now; None if nothing is."""
    for path in (root / FOLDER).glob("*/offer.json"):
        with suppress(OSError, ValueError, KeyError, TypeError):
            said = json.loads(path.read_text(encoding="utf-8"))
            part = Part(root, said["stage"], said["name"], said["key"])
            return Offer(path.parent, part, Holder(**said["leader"]), Holder.of_this())
    return None


@contextmanager
def sharing(root: Path, terms: Mapping[str, Any]) -> Iterator[None]:
    """Within the block, others may join this process, if it is the one that holds the lock.

    Args:
        root: the run folder.
        terms: what they must agree with.
    """
    if rank() > 0:
        yield
        return
    shutil.rmtree(root / FOLDER, ignore_errors=True)
    (root / FOLDER).mkdir(parents=True, exist_ok=True)
    create(root / FOLDER / "run.json", json.dumps(terms))
    try:
        yield
    finally:
        shutil.rmtree(root / FOLDER, ignore_errors=True)


def terms_of(root: Path) -> dict[str, Any] | None:
    """What processes that join a run must agree with; None if it has not begun."""
    with suppress(OSError, ValueError):
        found = json.loads((root / FOLDER / "run.json").read_text(encoding="utf-8"))
        return found if isinstance(found, dict) else None
    return None


def leader(root: Path, silence: Silence) -> Holder | None:
    """The process that holds the lock of a run and lives, so far as its sign of life tells; None if there is none."""
    found = holder(root)
    return found if found is not None and silence.of(root / SIGNS / "0") < SILENCE else None


def sign_of(root: Path, one: Holder) -> Path:
    """Where a process that has joined a run shows that it lives."""
    return root / SIGNS / f"{one.host}-{one.process}"
