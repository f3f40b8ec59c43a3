"""A run folder as the page needs it, made of a few files and without any training."""

from __future__ import annotations

import dataclasses
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ktse.data.open import open_data
from ktse.files import write_json, write_label_map, write_npz, write_table
from ktse.recipe.load import load_recipe
from ktse.reviewing.pictures import Pictures
from ktse.run_folder import RunFolder
from typed import command

SIZE = (24, 16)
"""Width and height of the images."""

COLOURS = ((200, 40, 40), (40, 180, 40), (40, 40, 200), (120, 120, 120))
"""What each photo is filled with."""

NAMES = ("beach/001", "beach/002", "park/003", "none")


@pytest.fixture
def reviewed(tmp_path: Path) -> RunFolder:
    """Four images: dog and ball, dog, ball, and one without a tag; scores of 1 in the left half for each tag."""
    images = tmp_path / "photos"
    for name, colour in zip(NAMES, COLOURS, strict=True):
        path = images / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", SIZE, colour).save(path)
    tags = {"beach/001": (1, 2), "beach/002": (1,), "park/003": (2,), "none": ()}
    words = {1: "dog", 2: "ball"}
    rows = [f"{name}.png,{';'.join(words[tag] for tag in found)}\n" for name, found in tags.items()]
    (tmp_path / "tags.csv").write_text("image,tags\n" + "".join(rows))
    (tmp_path / "classes.txt").write_text("dog\nball\n")
    recipe = load_recipe("fast")
    given = {"images": str(images), "tags": str(tmp_path / "tags.csv"), "classes": str(tmp_path / "classes.txt")}
    recipe = dataclasses.replace(recipe, data=dataclasses.replace(recipe.data, validation=0.0, **given))
    run = RunFolder(tmp_path / "run")
    run.write_recipe(recipe)
    run.write_classes(("dog", "ball"))
    for name, found in tags.items():
        label = np.zeros(SIZE[::-1], dtype=np.uint8)
        scores = np.zeros((len(found), 8, 12), dtype=np.uint8)
        if found:
            label[:, :12] = found[0]
            scores[0, :, :6] = 255
        keys = np.array([tag - 1 for tag in found], dtype=np.int32)
        write_label_map(run.mask_path(name), label)
        write_npz(run.scores_path(name), keys=keys, scores=scores)
    rows_of_confidence = [("beach/001", "0.9"), ("beach/002", "0.2"), ("park/003", "0.5"), ("none", "1.0")]
    write_table(run.path("masks", "confidence.csv"), ("id", "confidence"), rows_of_confidence)
    write_json(run.path("masks", "summary.json"), {"threshold": 0.5})
    return run


@pytest.fixture
def pictures(reviewed: RunFolder) -> Pictures:
    """The same, as the page sees it."""
    return open_pictures(reviewed)


def open_pictures(run: RunFolder) -> Pictures:
    """A run as the page sees it when its server starts."""
    return Pictures(run, open_data(run.read_recipe().data))


@contextmanager
def served(run: RunFolder, port: int = 0) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The process and the address of a page."""
    words = command("review", run.root, "--no-browser", "--port", port)
    process = subprocess.Popen(words, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        assert line.startswith("review: http://127.0.0.1:"), line + process.stderr.read()
        yield process, line.split()[1]
    finally:
        process.kill()
        process.communicate()
