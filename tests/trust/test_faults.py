"""A finished run of which one file is damaged, exchanged or removed: found before it is used, and healed or named."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from machine import content
from workshop import Workshop, amount

pytestmark = pytest.mark.trust

FAULTS = ("flip", "cut", "empty", "exchange", "remove")
SPARE = ("metrics.jsonl", "warmup.safetensors", "checkpoint.safetensors")
"""Files of a training that nothing can make again but the training; without them, the result is whole."""


def harm(path: Path, fault: str, other: Path, chance: random.Random) -> None:
    """Do something to a file."""
    held = path.read_bytes()
    if fault == "flip" and held:
        place = chance.randrange(len(held))
        path.write_bytes(held[:place] + bytes([held[place] ^ (1 << chance.randrange(8))]) + held[place + 1 :])
    elif fault == "cut":
        path.write_bytes(held[: chance.randrange(max(1, len(held)))])
    elif fault == "empty":
        path.write_bytes(b"")
    elif fault == "exchange" and other.is_file():
        shutil.copyfile(other, path)
    else:
        path.unlink()


def uses(workshop: Workshop, out: Path) -> dict[str, list[str]]:
    """Commands that read a finished run, and write to a folder if they write at all."""
    run, photo = str(workshop.run), str(next((workshop.scenes / "images").iterdir()))
    return {
        "run": workshop.words(),
        "evaluate": ["evaluate", run],
        "status": ["status", run],
        "report": ["report", run],
        "masks": ["export", run, "--format", "coco", "--out", str(out)],
        "predict": ["predict", run, photo, "--out", str(out)],
        "refine": ["refine", run, "--refine.threshold", "0.31"],
        "segment": ["segment", run, "--segment.lr", "0.05"],
    }


def test_one_file_is_wrong(
    workshop: Workshop, report: Callable[[str], None], chance: random.Random, tmp_path: Path
) -> None:
    out, right = tmp_path / "out", {}
    for name, words in uses(workshop, out).items():  # what each gives when nothing is wrong
        fresh(workshop, out)
        assert workshop.do(words) == 0, workshop.text
        right[name] = made(workshop, out, name)
    names = sorted(name for name in content(workshop.reference) if name != "log.txt")
    wrong, seen = [], Counter()
    for number in range(amount(200)):
        name, fault = chance.choice(names), FAULTS[number % len(FAULTS)]
        use, words = chance.choice(list(uses(workshop, out).items()))
        fresh(workshop, out)
        harm(workshop.run / name, fault, workshop.other / name, chance)
        case = f"{fault} {name}, then {use}"
        code = workshop.do(words)
        if "Traceback" in workshop.text:
            wrong.append(f"{case}: traceback")
        if code == 0:
            given = made(workshop, out, use)
            bad = [file for file, expected in right[use].items() if given.get(file, expected) != expected]
            bad += [file for file in right[use] if file not in given and file != name]
            wrong += [f"{case}: {file} is wrong, and nothing is said" for file in bad if file != name]
        seen["refused" if code else "done"] += 1
        fresh(workshop, out)
        harm(workshop.run / name, fault, workshop.other / name, chance)
        code = workshop.do(["verify", str(workshop.run)])
        here = workshop.run / name
        same = here.is_file() and here.read_bytes() == (workshop.reference / name).read_bytes()
        named = Path(name).name in workshop.text or name.startswith(("index/", "manifest.json"))
        if not named and not same and not (fault == "remove" and name.endswith(SPARE)):
            wrong.append(f"{case}: verify does not name it")
        workshop.do(["verify", str(workshop.run), "--repair"])
        trouble = "Traceback" in workshop.text
        code = workshop.do(workshop.words())
        after = [
            text for text in workshop.complaints() if not text.endswith(tuple(f"{spare} is lost" for spare in SPARE))
        ]
        if code or after or trouble or "Traceback" in workshop.text:
            wrong.append(f"{case}: not repaired: {code} {after}")
    report(f"{amount(200)} faults in a finished run ({dict(seen)}): {len(wrong)} not found, healed or named")
    assert not wrong


def fresh(workshop: Workshop, out: Path) -> None:
    """The finished run as it was."""
    workshop.clear()
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(workshop.reference, workshop.run)


def made(workshop: Workshop, out: Path, use: str) -> dict[str, bytes]:
    """What a command has made."""
    if use in ("masks", "predict"):
        return content(out)
    if use == "refine":
        return content(workshop.run / "masks")
    if use == "segment":
        return content(workshop.run / "segment")
    return {"evaluation.json": (workshop.run / "evaluation.json").read_bytes()} if use == "evaluate" else {}
