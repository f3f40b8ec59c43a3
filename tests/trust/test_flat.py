"""Five hundred epochs of a tiny training: memory, open files, threads and files on the disk stay as they were."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from machine import in_child
from workshop import SETTINGS, Workshop, amount

pytestmark = pytest.mark.trust

FIRST = 50
"""The epoch after which nothing grows any more: whatever is made once has been made."""

MIB = 8
"""How much more memory a process may hold at the end: 450 epochs that keep 20 kB each hold more."""

WAYS = {
    "images": [*SETTINGS, "--compute.workers", "1"],
    "features": [
        *("--recipe", "fast", "--weights", "none", "--seed.long_side", "64", "--predict.long_side", "64"),
        *("--classify.backbone", "test_byobnet", "--classify.long_side", "[64,64]"),
        *("--segment.encoder", "test_byobnet", "--segment.long_side", "[64,64]"),
    ],
}
"""Trainings that see images, which another process reads, and those that see features, which were computed once."""


def taken(root: Path) -> dict[str, int]:
    """What this process takes now."""
    memory = re.findall(r"VmRSS:\s+(\d+)", Path("/proc/self/status").read_text())[0]
    return {
        "MiB of memory": int(memory) // 1024,
        "open files": len(list(Path("/proc/self/fd").iterdir())),
        "threads": len(list(Path("/proc/self/task").iterdir())),
        "files in the run folder": sum(path.is_file() for path in root.rglob("*")),
    }


@pytest.mark.parametrize("way", WAYS)
def test_nothing_grows(workshop: Workshop, report: Callable[[str], None], tmp_path: Path, way: str) -> None:
    epochs = max(2 * FIRST, amount(500))

    def work() -> int:
        import ktse.recipe.classify
        import ktse.recipe.segment
        from ktse.cli import main
        from ktse.training.checkpoint import Checkpoints

        ktse.recipe.classify.LEAST_IMAGES = ktse.recipe.segment.LEAST_IMAGES = 8
        save, notes = Checkpoints.save, (tmp_path / "notes.jsonl").open("w", buffering=1)

        def noted(self: Checkpoints, state: object, keep: str = "") -> None:
            save(self, state, keep)  # type: ignore[arg-type]
            notes.write(json.dumps({"epoch": state.epoch, **taken(workshop.run)}) + "\n")  # type: ignore[attr-defined]

        Checkpoints.save = noted  # type: ignore[method-assign]
        return main(words)

    words = [*workshop.words()[: -len(SETTINGS) - 2], *WAYS[way], "--segment.most_images", "0"]
    words += [
        *("--classify.epochs", str(epochs), "--classify.warmup", str(FIRST // 2)),
        "--segment.epochs",
        str(epochs),
    ]
    workshop.clear()
    assert in_child(work, workshop.said) == 0, workshop.text
    assert threading.active_count() == 1
    notes = [json.loads(line) for line in (tmp_path / "notes.jsonl").read_text().splitlines()]
    for stage in ("classify", "segment"):
        first = next(number for number, note in enumerate(notes) if note["epoch"] == FIRST)
        last = next(number for number, note in enumerate(notes) if note["epoch"] == epochs)
        begin, end = notes[first], notes[last]
        notes = notes[last + 1 :]
        report(f"{stage} on {way}: {begin}, {end}")
        assert end["MiB of memory"] <= begin["MiB of memory"] + MIB
        assert all(end[what] == begin[what] for what in ("open files", "threads", "files in the run folder"))
