"""What each stage has made: size and hash of every file, noted when it is finished, and looked at before it is used.

index/STAGE.json   the stage's entry of the manifest, and of each of its files the size and the hash

A model or checkpoint is sealed besides: its header holds a hash of the whole file, so that it can be judged anywhere.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ktse.errors import KtseError
from ktse.files import PART, digest, read_json, read_label_map, read_lines, read_npz, read_table, settle
from ktse.recipe import Recipe
from ktse.run_folder import RunFolder
from ktse.staleness import Stage, gone

SMALL = 2**24
"""Bytes of a file whose content is looked at whenever a run is opened; of a larger one, when it is used."""

UNSEALED = "0" * 32
"""What stands in a header in place of the hash while that is computed."""

SEAL = re.compile(rb'(?<="seal":"\\").{32}(?=\\"")')

CHECKPOINT = "checkpoint.safetensors"

EMPTY, GONE, SIZE, CONTENT = "is empty", "is gone", "has another size than was written", "is not what was written"
FOREIGN = "was made from something else"


def seal(path: Path) -> None:
    """Put the header of a safetensors file in order, so that equal content is equal bytes, and the file's hash into it.

    Args:
        path: a file whose metadata has the entry "seal", which is UNSEALED as JSON.
    """
    with path.open("rb+") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode().ljust(length)
        file.seek(8)
        file.write(text)
        file.flush()
        found = digest(path)
        file.seek(8)
        file.write(SEAL.sub(found.encode(), text, 1))


def broken_seal(path: Path) -> str:
    """Why a safetensors file is not as it was sealed, in words; empty if it is, or never was sealed."""
    hashed = hashlib.blake2b(digest_size=16)
    with path.open("rb") as file:
        start = file.read(8)
        length = int.from_bytes(start, "little")
        if length > path.stat().st_size:
            return "is cut short"
        header = file.read(length)
        if (found := SEAL.search(header)) is None:
            return ""
        hashed.update(start + SEAL.sub(UNSEALED.encode(), header, 1))
        while block := file.read(2**20):
            hashed.update(block)
    return "" if hashed.hexdigest().encode() == found[0] else CONTENT


def damage(path: Path, keys: Collection[str] = ()) -> str:
    """Why a file cannot be a result, judged by itself alone, in words; empty if nothing speaks against it.

    Args:
        path: the file.
        keys: what the result may be made from, if the file says what it is made from; none: anything.
    """
    if path.stat().st_size == 0:
        return EMPTY
    try:
        match path.suffix:
            case ".npz":
                read_npz(path)
            case ".png":
                read_label_map(path)
            case ".jsonl" if not read_lines(path):
                return "cannot be read"
            case ".jsonl":
                pass
            case ".csv":
                read_table(path)
            case ".json" | ".safetensors":
                return _damage_by_key(path, keys)
            case _:
                path.read_text(encoding="utf-8")
    except (KtseError, UnicodeDecodeError, OSError, ValueError):
        return "cannot be read"
    return ""


def _damage_by_key(path: Path, keys: Collection[str]) -> str:
    if path.suffix == ".safetensors" and (why := broken_seal(path)):
        return why
    said = made_for(path)
    return FOREIGN if keys and said and said not in keys else ""


def made_for(path: Path) -> str:
    """The key of the stage that a model, a checkpoint or a summary says it is of; empty if it does not say.

    Raises:
        KtseError: it is damaged.
        ValueError: it is no file of its kind.
    """
    if path.suffix == ".json":
        content = read_json(path)
        return str(content.get("key", "")) if isinstance(content, dict) else ""
    with path.open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    return str(json.loads(header.get("__metadata__", {}).get("key", '""')))


def note(run: RunFolder, stage: Stage, entry: Mapping[str, Any]) -> None:
    """Wait until all files of a stage are on the disk, and note them, with the stage's entry of the manifest."""
    names = sorted(_sizes(run, stage))
    paths = [run.path(name) for name in names]
    settle(paths)
    with ThreadPoolExecutor(4) as pool:
        hashes = list(pool.map(digest, paths))
    files = {name: [path.stat().st_size, found] for name, path, found in zip(names, paths, hashes, strict=True)}
    run.write_index(stage.name, {"entry": dict(entry), "files": files})


def wrong(run: RunFolder, recipe: Recipe, stage: Stage, ids: Iterable[str], *, whole: bool = False) -> dict[str, str]:
    """What is wrong with the files of a finished stage: by name, in words.

    Args:
        run: the run folder.
        recipe: its settings.
        stage: which stage; it is finished.
        ids: names of the images; none where they are not known.
        whole: look at the content of each file, not of the small ones that there are few of.
    """
    there = _sizes(run, stage)
    found = {name: GONE for name in gone(run, recipe, stage, ids) if name not in there}
    noted = known(run, stage)
    if noted is None:  # of an earlier version, or its note is lost: each file must speak for itself
        entry = run.manifest().get(stage.name, {})
        keys = {entry.get("key", ""), entry.get("adopted", "")}
        judged = ((name, damage(run.path(name), keys)) for name in there if whole or not image_of(stage, name))
        return found | {name: why for name, why in judged if why}
    for name, (size, before) in noted.items():
        if name not in there:
            if not spare(stage, name):
                found[name] = GONE
        elif there[name] != size:
            found[name] = SIZE if there[name] else EMPTY
        elif (whole or (size <= SMALL and not image_of(stage, name))) and digest(run.path(name)) != before:
            found[name] = CONTENT
    return found


def stamp(run: RunFolder) -> object:
    """What is another one as soon as a record of the run has changed."""
    files = [run.path("manifest.json"), *run.path("index").glob("*.json")]
    stats = {path.name: path.stat() for path in files if path.is_file()}
    return {name: (stat.st_mtime_ns, stat.st_size, stat.st_ino) for name, stat in stats.items()}


def known(run: RunFolder, stage: Stage) -> dict[str, tuple[int, str]] | None:
    """Size and hash of each file of a finished stage; None if nothing is noted, or of another result."""
    index = run.index(stage.name)
    of_this = index.get("entry", {}).get("key") == run.manifest().get(stage.name, {}).get("key")
    return index["files"] if of_this and index.get("files") else None


def strange(run: RunFolder, stage: Stage) -> list[str]:
    """Files among those of a finished stage that it has not written."""
    noted = known(run, stage)
    return [] if noted is None else sorted(_sizes(run, stage).keys() - noted.keys())


def spare(stage: Stage, name: str) -> bool:
    """Whether a result is complete without a file: checkpoints and curves of a training that has ended."""
    return stage.trained and name != stage.last and not name.endswith("/summary.json")


def made_with(stage: Stage, names: Iterable[str]) -> list[str]:
    """Files that must go so that these are made again: all of an image; of the rest, the one that is written last."""
    found = dict.fromkeys(names)
    for name in list(found):
        if image_id := image_of(stage, name):
            found |= dict.fromkeys(kind.format(image_id) for kind in stage.each)
        elif stage.last and not spare(stage, name):
            found[stage.last] = None
    return list(found)


def image_of(stage: Stage, name: str) -> str:
    """The image that a file is of; empty for one that is of all of them."""
    for kind in stage.each:
        start, _, end = kind.partition("{}")
        if name.startswith(start) and name.endswith(end):
            return name[len(start) : -len(end)]
    return ""


def files_of(run: RunFolder, stage: Stage) -> list[str]:
    """Every file of a stage that is there, relative to the run folder."""
    return sorted(_sizes(run, stage, checkpoints=True))


def _sizes(run: RunFolder, stage: Stage, *, checkpoints: bool = False) -> dict[str, int]:
    """The files of a stage, relative to the run folder, and their bytes.

    A checkpoint is not a result, may be removed, and is sealed.
    """
    found = {}
    for output in stage.outputs:
        path = run.path(output)
        if path.is_file():
            found[output] = path.stat().st_size
        for place, _, names in os.walk(path):
            inside = os.path.relpath(place, run.root).replace(os.sep, "/")
            for name in names:
                if not PART.fullmatch(name) and (checkpoints or name != CHECKPOINT):
                    found[f"{inside}/{name}"] = Path(place, name).stat().st_size
    return found
