"""One image of 40 megapixels among small ones: the whole job within a bounded amount of memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fakes import TAGS, draw

MEASURE = """
import resource, sys
import ktse.recipe.masks
ktse.recipe.masks.SEED_PIXELS = ktse.recipe.masks.REFINE_PIXELS = 65536
from ktse.cli import main
for number, folder in enumerate(sys.argv[1:3]):
    arguments = ["run", f"{folder}/images", "--tags", f"{folder}/tags.csv", "--masks", f"{folder}/masks"]
    assert main([*arguments, "--out", f"{folder}/run", *sys.argv[3:]]) == 0
    print("peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""
SETTINGS = [
    "--recipe", "demo", "--classify.epochs", "1", "--classify.warmup", "1", "--classify.crop", "32",
    "--classify.long_side", "[32,40]", "--segment.epochs", "1", "--segment.crop", "32", "--segment.long_side",
    "[32,40]", "--refine.threshold", "0.3", "--compute.workers", "0", "--weights", "none", "--seed.scales", "[2.0]",
    "--predict.long_side", "64",
]  # fmt: skip
LIMIT = 1300
"""Megabytes beyond what the same run takes on small images. The scores of all pixels at the image's own size, a float
for each of PAR's 48 neighbours, or what a network computes of it, would each be far more."""


def write(folder: Path, large: bool) -> str:
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    lines = ["image,tags"]
    for number, tags in enumerate(TAGS[:5]):
        image, boxes = draw(tags, number)
        mask = np.zeros((60, 72), dtype=np.uint8)
        for tag, (left, top, right, bottom) in boxes.items():
            mask[top:bottom, left:right] = ("cat", "dog", "person").index(tag) + 1
        label = Image.fromarray(mask)
        if large and number == 2:  # with two tags
            image, label = image.resize((8000, 5000)), label.resize((8000, 5000), Image.Resampling.NEAREST)
        image.save(folder / "images" / f"{number}.jpg")
        label.save(folder / "masks" / f"{number}.png")
        lines.append(f"{number}.jpg,{';'.join(tags)}")
    (folder / "tags.csv").write_text("\n".join(lines), encoding="utf-8")
    return str(folder)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not say how much memory a process took at most")
def test_forty_megapixels_take_bounded_memory(tmp_path: Path) -> None:
    folders = write(tmp_path / "small", large=False), write(tmp_path / "large", large=True)
    command = [sys.executable, "-c", MEASURE, *folders, *SETTINGS]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr
    before, after = (int(line.split()[1]) for line in done.stdout.splitlines() if line.startswith("peak"))
    if sys.platform == "darwin":
        before, after = before // 1024, after // 1024
    assert after - before < LIMIT
    for name in ("masks/2.png", "confident/2.png", "predictions/2.png"):
        with Image.open(tmp_path / "large" / "run" / name) as image:
            assert image.size == (8000, 5000)
