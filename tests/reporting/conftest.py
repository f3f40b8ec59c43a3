"""A made-up but plausible run: drawn photos, CAMs, masks, predictions, curves, and an evaluation."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from ktse.data.dataset import TaggedImages
from ktse.data.masks import Truth
from ktse.files import write_json, write_label_map, write_npz
from ktse.quality.verdict import Level, Sign, Verdict
from ktse.recipe import Recipe
from ktse.recipe.load import recipe_from_dict
from ktse.run_folder import RunFolder

CLASSES = ("bag", "dress", "trousers", "skirt", "outerwear", "hat", "shorts")
SIZE = (64, 96)


@dataclass
class Fake:
    run: RunFolder
    data: TaggedImages
    truth: Truth

    def evaluation(self) -> dict[str, Any]:
        return json.loads(self.run.path("evaluation.json").read_text())


def draw(root: Path, rng: np.random.Generator, count: int, classes: tuple[str, ...]) -> tuple[TaggedImages, Truth]:
    """Ellipses in the colour of their class on a soft ground, and where they are."""
    tags = np.zeros((count, len(classes)), dtype=bool)
    names, truth = [], {}
    for index in range(count):
        width, height = SIZE if index % 4 else SIZE[::-1]
        ground = np.linspace(150, 220, height)[:, None, None] + rng.normal(0, 9, (height, width, 3))
        photo = Image.fromarray(ground.clip(0, 255).astype(np.uint8))
        label = Image.new("L", photo.size)
        for k in rng.choice(len(classes), size=int(rng.integers(1, 4)), replace=False):
            x, y = rng.uniform(0.2, 0.8, 2) * (width, height)
            a, b = rng.uniform(0.12, 0.3, 2) * (width, height)
            hue = np.random.default_rng(int(k)).integers(30, 220, 3)
            ImageDraw.Draw(photo).ellipse((x - a, y - b, x + a, y + b), fill=tuple(map(int, hue)))
            ImageDraw.Draw(label).ellipse((x - a, y - b, x + a, y + b), fill=int(k) + 1)
            tags[index, k] = True
        name = f"{index:04d}"
        (root / "images").mkdir(parents=True, exist_ok=True)
        (root / "truth").mkdir(exist_ok=True)
        photo.save(root / "images" / f"{name}.png")
        label.save(root / "truth" / f"{name}.png")
        names.append(name)
        truth[name] = root / "truth" / f"{name}.png"
    validation = np.arange(count) % 5 == 0
    files = tuple(f"{name}.png" for name in names)
    return TaggedImages(root / "images", files, tuple(names), classes, tags, validation), Truth(truth)


def spoil(label: np.ndarray, rng: np.random.Generator, strength: int) -> np.ndarray:
    """A mask as a network might make it: shifted, and undecided along some borders."""
    moved = np.roll(label, rng.integers(-strength, strength + 1, 2), axis=(0, 1)).copy()
    border = (moved != np.roll(moved, 2, axis=0)) & (rng.random(label.shape) < 0.8)
    moved[border] = 255
    return moved


def log(run: RunFolder, rng: np.random.Generator) -> None:
    """metrics.jsonl of both trainings, with a collapse in the first."""
    extra = (
        "transfer",
        "background",
        "foreground",
        "inter_class",
        "stitched_background",
        "stitched_foreground",
        "global_alignment",
        "local_alignment",
    )
    lines: list[dict[str, Any]] = []
    for step in [*range(500), *range(300, 800)]:
        epoch = step / 40
        terms = {"classification": 0.08 + 0.6 * np.exp(-epoch / 3) + rng.normal(0, 0.015)}
        if epoch >= 7.5:
            age = epoch - 7.5
            terms |= {
                name: (0.2 + 0.1 * i) * (0.4 + 0.6 * np.exp(-age / 4)) + rng.normal(0, 0.01)
                for i, name in enumerate(extra)
            }
        phase, lr = "ktse" if epoch >= 7.5 else "warmup", 0.01 * (1 - epoch / 20) ** 0.9
        total = sum(terms.values())
        lines.append({"epoch": epoch, "step": step, "lr": lr, "phase": phase, "total": total, "terms": terms})
        if len(lines) == 500:
            lines.append(
                {
                    "epoch": epoch,
                    "step": step,
                    "event": "collapse: went back to epoch 7.5 with a quarter of the learning rate",
                }
            )
    segment = [
        {"epoch": i / 40, "step": i, "lr": 0.01 * (1 - i / 480) ** 0.9, "total": t, "terms": {"segmentation": t}}
        for i in range(480)
        for t in [0.25 + 1.2 * np.exp(-i / 90) + rng.normal(0, 0.03)]
    ]
    for stage, entries in (("classify", lines), ("segment", segment)):
        run.path(stage).mkdir(parents=True, exist_ok=True)
        run.path(stage, "metrics.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in entries))


def evaluation(data: TaggedImages, rng: np.random.Generator, truths: int, *, with_truth: bool) -> dict[str, Any]:
    def tag_part(mask: np.ndarray, easier: float) -> dict[str, Any]:
        by_class = {
            name: {
                "images": int(data.tags[mask, k].sum()),
                **{key: float(rng.uniform(45, 90) + easier) for key in ("precision", "recall", "ap")},
            }
            for k, name in enumerate(data.classes)
        }
        return {
            "images": int(mask.sum()),
            "exact": 41.37 + easier,
            "f1": 78.21 + easier,
            "map": 81.84 + easier,
            "by_class": by_class,
        }

    content: dict[str, Any] = {
        "unit": "percent",
        "classes": list(data.classes),
        "warnings": [],
        "tags": {"train": tag_part(~data.validation, 8.0), "validation": tag_part(data.validation, 0.0)},
    }
    if not with_truth:
        return content
    thresholds = np.linspace(0, 1, 51)
    for stage, best, place in (("seed", 36.4, 0.34), ("mask", 42.3, 0.42), ("prediction", 40.53, None)):
        iou = {"background": 81.24} | {name: float(rng.uniform(10, 70)) for name in data.classes}
        if stage == "mask":
            iou[data.classes[-1]] = None
        part = {
            "miou": best - 1.1,
            "iou": iou,
            "threshold": None,
            "threshold_source": None,
            "oracle": None,
            "images": truths,
            "tags_used": stage != "prediction",
            "scales": [1.0] if stage == "prediction" else [0.5, 1.0, 1.5, 2.0],
            "split": "all",
            "undecided": 0.0 if stage == "prediction" else 0.0342,
            "curve": None,
            "by_split": {
                "train": {"miou": best - 0.9, "images": truths * 4 // 5},
                "validation": {"miou": best - 3.3, "images": truths // 5},
            },
        }
        if place is not None:
            curve = np.maximum(best - 90 * (thresholds - place) ** 2, 9.2)
            part |= {
                "threshold": place + 0.11,
                "threshold_source": "chosen from the scores of all images, without true masks",
                "curve": {"thresholds": thresholds.tolist(), "miou": curve.tolist()},
                "oracle": {"miou": best, "threshold": place, "iou": {n: v and v + 1.7 for n, v in iou.items()}},
            }
        content[stage] = part
    content["warnings"] = ["The class hat occurs in 9 images only; its numbers are rough."]
    return content


def fill(
    run: RunFolder, data: TaggedImages, truth: Truth, rng: np.random.Generator, *, with_truth: bool = True
) -> None:
    """Write every file of a finished run."""
    run.write_recipe(Recipe())
    run.write_classes(data.classes)
    versions = {"ktse": "0.1.0", "torch": "2.8.0", "python": "3.12.4"}
    for stage, seconds in (
        ("classify", 4321.0),
        ("seed", 312.4),
        ("refine", 201.0),
        ("segment", 2512.9),
        ("predict", 88.0),
        ("evaluate", 20.3),
    ):
        entry = {"state": "done", "key": "k", "started": "2025-06-01T13:20:11", "seconds": seconds, "device": "cpu"}
        run.record(stage, {**entry, "peak_memory_mb": 2345.6 if seconds > 300 else 812.0, "versions": versions})
    log(run, rng)
    confidence, images = ["id,confidence,foreground"], ["id,split,seed,mask,prediction"]
    for index, name in enumerate(data.ids):
        keys = np.flatnonzero(data.tags[index])
        size = data.read(index).size
        label = np.asarray(Image.open(truth.paths[name])) if name in truth.paths else np.zeros(size[::-1], np.uint8)
        cam = np.zeros((len(keys), size[1] // 4, size[0] // 4), dtype=np.float16)
        for number, k in enumerate(keys):
            soft = np.asarray(
                Image.fromarray((label == k + 1).astype(np.float32)).resize(
                    (cam.shape[2], cam.shape[1]), Image.Resampling.BOX
                )
            )
            fall = np.linspace(1, 0.25, cam.shape[1])[:, None]
            cam[number] = np.clip(soft * fall + rng.random(cam.shape[1:]) * 0.08, 0, 1)
        write_npz(run.seed_path(name), keys=keys, cam=cam, logits=rng.normal(size=len(data.classes)).astype(np.float32))
        strength = int(rng.integers(1, 2 + max(size) // 14))
        write_label_map(run.mask_path(name), spoil(label, rng, strength))
        write_label_map(
            run.prediction_path(name), np.roll(label, rng.integers(-strength, strength + 1, 2), axis=(0, 1))
        )
        score = 90 - 500 * strength / max(size) + rng.normal(0, 3)
        confidence.append(f"{name},{0.4 + score / 200:.4f},0.31")
        split = "validation" if data.validation[index] else "train"
        if name in truth.paths:
            images.append(f"{name},{split},{score - 9:.3f},{score:.3f},{'' if index == 3 else f'{score - 2:.3f}'}")
    run.path("masks", "confidence.csv").write_text("\n".join(confidence) + "\n")
    write_json(
        run.path("masks", "summary.json"),
        {"threshold": 0.53, "threshold_source": "chosen from the scores of all images", "warnings": []},
    )
    if with_truth:
        run.path("evaluation_images.csv").write_text("\n".join(images) + "\n")
    write_json(run.path("evaluation.json"), evaluation(data, rng, len(truth.paths), with_truth=with_truth))


def make(root: Path, count: int = 15, classes: tuple[str, ...] = CLASSES, *, with_truth: bool = True) -> Fake:
    rng = np.random.default_rng(0)
    data, truth = draw(root, rng, count, classes)
    run = RunFolder(root / "photos")
    fill(run, data, truth, rng, with_truth=with_truth)
    return Fake(run, data, truth)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Fake:
    """A finished run with true masks; read it only."""
    return make(tmp_path_factory.mktemp("finished"))


@pytest.fixture
def blind(tmp_path: Path) -> Fake:
    """A finished run without true masks."""
    return make(tmp_path, count=7, with_truth=False)


@pytest.fixture
def judged(tmp_path: Path) -> Callable[[Level], Fake]:
    """Gives a finished run with a verdict of a level; unless that is good, the class hat is bad."""
    made = make(tmp_path)
    made.run.path("segment", "model.safetensors").write_bytes(b"")

    def judge(level: Level) -> Fake:
        calibrate = f"draw 5 true masks, then: ktse refine {made.run.root} --calibrate DIR"
        signs = [
            Sign("do-not-use", "hat", "The masks of 'hat' are empty.", calibrate),
            Sign("look", "dress", "3 tags of 'dress' may be wrong.", "ktse check RUN lists them"),
        ]
        signs += [Sign("do-not-use", "", "Masks are <b>noise</b>.", "`ktse report RUN`")] * (level == "do-not-use")
        content = made.evaluation() | {"verdict": Verdict.of(signs if level != "good" else (), CLASSES).to_json()}
        write_json(made.run.path("evaluation.json"), content)
        return made

    return judge


@pytest.fixture
def bare(tmp_path: Path) -> Fake:
    """A run that holds nothing but its recipe."""
    data, truth = draw(tmp_path, np.random.default_rng(1), 3, CLASSES)
    run = RunFolder(tmp_path / "bare")
    run.write_recipe(recipe_from_dict({"data": {"images": "photos"}}))
    return Fake(run, data, truth)
