"""A run with drawn masks, for all tests of exports: no network is trained for them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from ktse.data.dataset import TaggedImages
from ktse.files import write_json, write_label_map
from ktse.quality.verdict import Sign, Verdict
from ktse.run_folder import RunFolder

SIZE = (40, 56)
"""Height and width of every image."""

CLASSES = ("cat", "dog", "ball")


def blob(seed: int, classes: int = len(CLASSES), undecided: bool = True) -> np.ndarray:
    """A (H, W) label map of smooth regions: 0, classes, and 255 in a corner."""
    rng = np.random.default_rng(seed)
    label = np.zeros(SIZE, np.uint8)
    for number in range(1, classes + 1):
        field = Image.fromarray(rng.random((5, 7)).astype(np.float32)).resize(SIZE[::-1], Image.Resampling.BICUBIC)
        label[np.asarray(field) > 0.75] = number
    if undecided:
        label[-6:, :9] = 255
    return label


def drawn_run(
    folder: Path, files: tuple[str, ...], classes: tuple[str, ...] = CLASSES, labels: list[np.ndarray] | None = None
) -> tuple[RunFolder, TaggedImages, list[np.ndarray]]:
    """A run folder with a mask of every file, and photos in FOLDER/photos; returns run, data and masks."""
    ids = image_ids(files)
    labels = labels or [blob(number, len(classes)) for number in range(len(files))]
    run = RunFolder(folder / "run")
    for number, (file, name) in enumerate(zip(files, ids, strict=True)):
        write_label_map(run.mask_path(name), labels[number])
        (folder / "photos" / file).parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "photos" / file)
    tags, kept_out = np.ones((len(files), len(classes)), bool), np.zeros(len(files), bool)
    return run, TaggedImages(folder / "photos", files, ids, classes, tags, kept_out), labels


def image_ids(files: tuple[str, ...]) -> tuple[str, ...]:
    """Ids as a run gives them: the name before the ending, the whole name where two share that."""
    stems = [file.rpartition(".")[0] for file in files]
    return tuple(file if stems.count(stem) > 1 else stem for file, stem in zip(files, stems, strict=True))


def judge(run: RunFolder, *signs: Sign, classes: tuple[str, ...] = CLASSES) -> Verdict:
    """Write a verdict into a run, as evaluate does."""
    verdict = Verdict.of(signs, classes)
    write_json(run.path("evaluation.json"), {"verdict": verdict.to_json()})
    return verdict


def write_confidence(run: RunFolder, known: dict[str, float]) -> None:
    """The table that refine writes."""
    rows = ["id,confidence", *(f"{name},{value}" for name, value in known.items())]
    run.path("masks", "confidence.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")


def undone(label: np.ndarray) -> np.ndarray:
    """What a format without 255 can hold."""
    return np.where(label == 255, 0, label)
