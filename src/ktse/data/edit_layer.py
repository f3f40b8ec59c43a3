"""The edit layer of a run: what a person has drawn, accepted and rejected. The run's own masks stay as they are.

corrections/ID.png           label map that the person has corrected or accepted; --corrections learns from these
corrections/.drafts/ID.png   an edit that is not accepted yet; nothing learns from it
corrections/journal.jsonl    one line for each thing that was done: time, image, action, state, revision, threshold, and
                             the tags of the image, once a person has changed them

The files say what is there, the journal how it came about. A line is added after its file is written, so that a process
that is killed between the two loses nothing.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from threading import Lock
from typing import Any, Literal, cast, get_args

import numpy as np

from ktse.data.dataset import TaggedImages
from ktse.errors import RunError
from ktse.files import read_label_map, read_lines, write_label_map
from ktse.runtime.console import say
from ktse.runtime.shapes import A_NUMBER, COUNT, WORD, misfit
from ktse.runtime.words import many

State = Literal["open", "accepted", "corrected", "rejected", "trusted"]
Action = Literal["draft", "accept", "reject", "reopen", "trust", "tags"]

STATES, DECIDED = get_args(State), ("accepted", "corrected")

LINE = {"revision": COUNT, "threshold": A_NUMBER, "tags": [WORD]}
"""What a line of the journal holds, beside names."""


class OutdatedError(Exception):
    """Somebody else has changed the image since it was read.

    Args:
        revision: the revision that the image has now.
    """

    def __init__(self, revision: int) -> None:
        self.revision = revision
        super().__init__(f"the image has revision {revision} now")


class OutsideError(RunError):
    """A link leads out of the folder of the corrections."""


@dataclass(frozen=True)
class Entry:
    """What a person has done with an image.

    Attributes:
        state: "open"; "accepted": the mask of the run is right; "corrected": another mask takes its place; "rejected";
            "trusted": `ktse accept` has accepted the mask of the run unseen, so that nothing learns from it.
        revision: how often the image was changed; a change must name the revision that it starts from.
        draft: whether there is an edit that is not accepted yet.
        threshold: the background threshold that the edit was last cut with; None: the run's own.
        tags: classes that a person says are in the image; None: as they were given.
    """

    state: State = "open"
    revision: int = 0
    draft: bool = False
    threshold: float | None = None
    tags: tuple[str, ...] | None = None


class EditLayer:
    """The edit layer of one run; one process works on it at a time, with any number of threads.

    Args:
        root: the folder; made when something is first written.
        ids: the images of the run.
        masks: name of what the run's masks were made from; masks that were trusted are open again when it changes.
    """

    def __init__(self, root: Path, ids: Collection[str], masks: str = "") -> None:
        self.root, self._masks = root, masks
        self._lock = Lock()
        self._whole = False  # whether the journal is known to end with a whole line
        self._journal = root / "journal.jsonl"
        self._entries = self._known(frozenset(ids))

    def entry(self, image_id: str) -> Entry:
        """What was done with an image."""
        return self._entries.get(image_id, Entry())

    def decided(self) -> list[str]:
        """Images whose mask was accepted or corrected."""
        return [name for name, entry in self._entries.items() if entry.state in DECIDED]

    def rejected(self) -> list[str]:
        """Images whose mask was rejected, without a better one."""
        return [name for name, entry in self._entries.items() if entry.state == "rejected"]

    def label(self, image_id: str) -> np.ndarray | None:
        """The edit of an image: the draft if there is one, else the accepted mask, else None.

        Raises:
            RunError: it cannot be read.
        """
        draft = self._draft(image_id)
        return read_label_map(self._inside(draft)) if draft.is_file() else self.accepted(image_id)

    def path(self, image_id: str) -> Path:
        """The corrected or accepted mask of an image."""
        return self.root / f"{image_id}.png"

    def save_draft(self, image_id: str, label: np.ndarray, revision: int, threshold: float | None = None) -> Entry:
        """Keep an edit that is not accepted yet; `drop_draft` is for one that changes nothing any more.

        Args:
            image_id: the image.
            label: (H, W) label map.
            revision: the revision that the edit starts from.
            threshold: the background threshold that it was cut with.

        Raises:
            OutdatedError: the image has another revision.
        """
        with self._changing(image_id, revision) as entry:
            write_label_map(self._inside(self._draft(image_id)), label, durable=True)
            return self._done(
                image_id, "draft", _looked_at(dataclasses.replace(entry, draft=True, threshold=threshold))
            )

    def drop_draft(self, image_id: str, revision: int) -> Entry:
        """Forget an edit, as everything in it was undone.

        Raises:
            OutdatedError: the image has another revision.
        """
        with self._changing(image_id, revision) as entry:
            self._inside(self._draft(image_id)).unlink(missing_ok=True)
            return self._done(image_id, "draft", dataclasses.replace(entry, draft=False, threshold=None))

    def accepted(self, image_id: str) -> np.ndarray | None:
        """The accepted mask of an image, if there is one.

        Raises:
            RunError: it cannot be read.
        """
        path = self.path(image_id)
        return read_label_map(self._inside(path)) if path.is_file() else None

    def accept(
        self, image_id: str, label: np.ndarray, revision: int, *, same: bool, threshold: float | None = None
    ) -> Entry:
        """Store a mask that is right, so that it is learned from.

        Args:
            image_id: the image.
            label: (H, W) label map.
            revision: the revision that the edit starts from.
            same: whether it is the run's own mask.
            threshold: the background threshold that it was cut with.

        Raises:
            OutdatedError: the image has another revision.
        """
        state: State = "accepted" if same else "corrected"
        with self._changing(image_id, revision) as entry:
            write_label_map(self._inside(self.path(image_id)), label, durable=True)
            decided = dataclasses.replace(entry, state=state, draft=False, threshold=threshold)
            done = self._done(image_id, "accept", decided)
            self._draft(image_id).unlink(missing_ok=True)
            return done

    def reject(self, image_id: str, revision: int) -> Entry:
        """Note that a mask is wrong; an edit of it is kept as a draft.

        Raises:
            OutdatedError: the image has another revision.
        """
        return self._withdraw(image_id, revision, "reject", "rejected")

    def reopen(self, image_id: str, revision: int) -> Entry:
        """Take back that a mask was accepted or rejected; an edit of it is kept as a draft.

        Raises:
            OutdatedError: the image has another revision.
        """
        return self._withdraw(image_id, revision, "reopen", "open")

    def retag(self, image_id: str, tags: Collection[str], revision: int) -> Entry:
        """Note which classes are in an image, in place of its tags; to take that back, note those that it had.

        Raises:
            OutdatedError: the image has another revision.
        """
        with self._changing(image_id, revision) as entry:
            return self._done(image_id, "tags", _looked_at(dataclasses.replace(entry, tags=tuple(sorted(tags)))))

    def retagged(self) -> list[str]:
        """Images whose tags a person has changed."""
        return [name for name, entry in self._entries.items() if entry.tags is not None]

    def tagged(self, data: TaggedImages) -> TaggedImages:
        """The images with the tags that a person has given them; classes that the data do not have are left aside."""
        place = {name: index for index, name in enumerate(data.ids)}
        tags = data.tags.copy()
        for name in self.retagged():
            said = self.entry(name).tags or ()
            if name in place:
                tags[place[name]] = [one in said for one in data.classes]
        return dataclasses.replace(data, tags=tags)

    def trust(self, names: Collection[str]) -> None:
        """Note that masks of the run are accepted unseen, these and no others, unless a person has done something.

        Args:
            names: images; those with a state other than "open" or "trusted", or with an edit, are left alone.
        """
        with self._lock:
            known = {name: self.entry(name) for name in {*names, *self._entries}}
            free = {name: entry for name, entry in known.items() if not entry.draft}
            more = {name: entry for name, entry in free.items() if name in names and entry.state == "open"}
            less = {name: entry for name, entry in free.items() if name not in names and entry.state == "trusted"}
            self._note("trust", {name: dataclasses.replace(entry, state="trusted") for name, entry in more.items()})
            self._note("reopen", {name: dataclasses.replace(entry, state="open") for name, entry in less.items()})

    def _withdraw(self, image_id: str, revision: int, action: Action, state: State) -> Entry:
        with self._changing(image_id, revision) as entry:
            path, draft = self._inside(self.path(image_id)), self._inside(self._draft(image_id))
            kept = entry.draft
            if path.is_file() and entry.state == "corrected" and not kept:
                draft.parent.mkdir(parents=True, exist_ok=True)
                path.replace(draft)
                kept = True
            path.unlink(missing_ok=True)
            return self._done(image_id, action, dataclasses.replace(entry, state=state, draft=kept))

    def _draft(self, image_id: str) -> Path:
        return self.root / ".drafts" / f"{image_id}.png"

    def _inside(self, path: Path) -> Path:
        """A path, unless links lead it out of the folder."""
        if path.is_symlink() or not path.parent.resolve().is_relative_to(self.root.resolve()):
            raise OutsideError(f"{path} is a link out of {self.root}", hint="Remove the link.")
        return path

    @contextmanager
    def _changing(self, image_id: str, revision: int) -> Iterator[Entry]:
        """Within the block, this thread alone changes something, and the image has the revision that is expected."""
        with self._lock:
            entry = self.entry(image_id)
            if entry.revision != revision:
                raise OutdatedError(entry.revision)
            yield entry

    def _done(self, image_id: str, action: Action, entry: Entry) -> Entry:
        self._note(action, {image_id: entry})
        return self._entries[image_id]

    def _note(self, action: Action, entries: Mapping[str, Entry]) -> None:
        """Add a line for each image to the journal; its entry gets the next revision."""
        if not entries:
            return
        time = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
        done, lines = {}, []
        for name, entry in entries.items():
            done[name] = dataclasses.replace(entry, revision=entry.revision + 1)
            line: dict[str, Any] = {"time": time, "image": name, "action": action, "state": entry.state}
            line |= {"revision": done[name].revision, "threshold": entry.threshold}
            line |= {"masks": self._masks} if entry.state == "trusted" else {}
            line |= {"tags": entry.tags} if entry.tags is not None else {}
            lines.append(json.dumps(line, ensure_ascii=False) + "\n")
        self._append(lines)
        self._entries |= done

    def _append(self, lines: Iterable[str]) -> None:
        self.root.mkdir(parents=True, exist_ok=True)
        if not self._whole:
            _cut_off_torn_line(self._journal)
            self._whole = True
        with self._journal.open("a", encoding="utf-8") as file:
            file.writelines(lines)
            file.flush()
            os.fsync(file.fileno())

    def _known(self, ids: frozenset[str]) -> dict[str, Entry]:
        """What the journal says of these images, as far as the files agree."""
        entries = {}
        for line in read_lines(self._journal):
            name, state = line.get("image"), line.get("state")
            if not isinstance(name, str) or name not in ids or not isinstance(state, str):
                continue
            if wrong := misfit(line, LINE):
                hint = "Remove this line; the masks stay."
                raise RunError(f"{self._journal} is damaged", where=wrong, hint=hint)
            if state == "trusted" and line.get("masks") != self._masks:
                state = "open"
            if state in STATES:
                tags = tuple(line["tags"]) if "tags" in line else None
                entries[name] = Entry(cast(State, state), line.get("revision", 0), False, line.get("threshold"), tags)
        masks, drafts = _pictures(self.root), _pictures(self.root / ".drafts")
        for name in ids & (entries.keys() | masks | drafts):
            entry = entries.get(name, Entry())
            if (entry.state in DECIDED) != (name in masks):
                entry = dataclasses.replace(entry, state="corrected" if name in masks else "open")
            entries[name] = dataclasses.replace(entry, draft=name in drafts)
        return entries


def with_corrected_tags(data: TaggedImages, folder: Path) -> TaggedImages:
    """The images of a data set with the tags that a person has corrected, if the folder is that of an edit layer.

    Raises:
        RunError: its journal is damaged.
    """
    if not (folder / "journal.jsonl").is_file():
        return data
    found = EditLayer(folder, data.ids).tagged(data)
    if changed := int((found.tags != data.tags).any(axis=1).sum()):
        say(f"corrected tags: {many(changed, 'image')}")
    return found


def only_tags(folder: Path) -> bool:
    """Whether a folder is that of an edit layer without any accepted mask: a person may have corrected tags alone."""
    return (folder / "journal.jsonl").is_file() and not _pictures(folder)


def _looked_at(entry: Entry) -> Entry:
    """The same, but no longer accepted unseen."""
    return dataclasses.replace(entry, state="open") if entry.state == "trusted" else entry


def _pictures(folder: Path) -> set[str]:
    """Names of the PNG files in a folder and its subfolders, hidden ones aside, without the ending."""
    names = (path.relative_to(folder).as_posix() for path in folder.rglob("*.png"))
    return {name.removesuffix(".png") for name in names if not name.startswith(".") and "/." not in name}


def _cut_off_torn_line(path: Path) -> None:
    """Remove the last line of a journal if a kill cut it short, so that the next one is not added to it."""
    content = path.read_bytes() if path.is_file() else b""
    if content and not content.endswith(b"\n"):
        os.truncate(path, content.rfind(b"\n") + 1)
