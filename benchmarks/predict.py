"""Prediction on the CPU: torch against the exported model in onnxruntime, and the memory that a large image takes.

    python benchmarks/predict.py [MODEL] [--data DATA] [--repeats 7] [--threads 1]

MODEL is a run folder or segment/model.safetensors of one; without it, a network with random weights, whose answers mean
nothing but cost the same. DATA holds images/ and, for mIoU, masks/; without it, images are noise. All arms predict the
same images in turn, whole calls of Predictor.predict from a decoded image to a label map. Images per second are medians
over the repeats with smallest and largest; ratios are medians of the ratios within each repeat, as the machine's speed
changes meanwhile. Memory is the peak of a process of its own that predicts one image of 8,000 x 8,000 pixels in tiles,
all libraries included.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
import onnxruntime
import torch
from PIL import Image

import ktse
from ktse.data.image import read_image
from ktse.exporting.onnx import export_onnx
from ktse.files import read_label_map
from ktse.models.segmenter import Portable, Segmenter, describe
from ktse.models.weights import save_tensors
from ktse.prediction.files import predict_folder
from ktse.prediction.onnx import OnnxModel
from ktse.prediction.predictor import Predictor
from ktse.quality.metrics import Confusion
from ktse.recipe import PredictRecipe, SegmentRecipe
from ktse.runtime.fabric import native_bf16
from ktse.stages.segment import load_model

LARGE = 8000
LIMIT = 2 * 2**30
"""Bytes that the large image may take."""

PLAIN = {"predict.scales": [1.0], "predict.flip": False, "predict.long_side": 0}


def random_model(folder: Path) -> Path:
    """A file of the default network with random weights and seven classes."""
    recipe, classes = SegmentRecipe(), tuple(f"class {number}" for number in range(1, 8))
    torch.manual_seed(0)
    model = Segmenter(recipe.architecture, recipe.encoder, len(classes), "none")
    save_tensors(folder / "model.safetensors", model.state_dict(), describe(recipe, model, classes))
    return folder / "model.safetensors"


def noise(folder: Path, count: int, size: tuple[int, int]) -> list[Path]:
    """Smooth noise as PNG files of (width, height)."""
    generator, paths = np.random.default_rng(0), []
    for number in range(count):
        small = Image.fromarray(generator.integers(0, 256, (9, 9, 3), dtype=np.uint8))
        paths.append(folder / f"{number:03d}.png")
        small.resize(size, Image.Resampling.BICUBIC).save(paths[-1])
    return paths


def exported(weights: Path, photos: list[Path], folder: Path) -> dict[str, Path]:
    """The model as ONNX, plain and in eight bits."""
    found = {}
    for name, int8 in (("onnxruntime fp32", False), ("onnxruntime int8", True)):
        model, classes = load_model(weights)
        found[name] = folder / f"{name.split()[1]}.onnx"
        export_onnx(Portable(model), classes, PredictRecipe(flip=False), found[name], photos, int8)
    return found


def open_arm(path: Path, precision: str, threads: int) -> Predictor:
    """A predictor that uses as many threads as it may, whatever computes it."""
    predictor = ktse.load(path, settings={**PLAIN, "predict.precision": precision})
    if isinstance(predictor.model, OnnxModel):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        predictor.model.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return predictor


def throughput(
    arms: dict[str, Predictor], images: list[Image.Image], truths: list[np.ndarray | None], repeats: int
) -> None:
    """Print images per second of each arm, the ratio to the first one, equal labels, and mIoU where it is known."""
    seconds: dict[str, list[float]] = {name: [] for name in arms}
    labels: dict[str, list[np.ndarray]] = {}
    for name, arm in arms.items():  # also warms up
        labels[name] = [arm.predict(image).label for image in images]
    order = list(arms)
    for number in range(repeats):
        for name in order[number % len(order) :] + order[: number % len(order)]:
            start = time.perf_counter()
            for image in images:
                arms[name].predict(image)
            seconds[name].append((time.perf_counter() - start) / len(images))
    first = order[0]
    print("| computed by | images/s (smallest..largest) | ratio | equal labels | mIoU % |\n|---|---|---|---|---|")
    for name in order:
        rates = sorted(1 / value for value in seconds[name])
        ratio = median(slow / own for slow, own in zip(seconds[first], seconds[name], strict=True))
        pairs = zip(labels[first], labels[name], strict=True)
        equal = float(np.mean([(one == other).mean() for one, other in pairs]))
        print(
            f"| {name} | {median(rates):.3g} ({rates[0]:.3g}..{rates[-1]:.3g}) | {ratio:.2f}x | {100 * equal:.2f} % "
            f"| {miou(labels[name], truths, len(arms[name].classes))} |"
        )


def miou(labels: list[np.ndarray], truths: list[np.ndarray | None], classes: int) -> str:
    """Mean IoU over the images with a true mask, or a dash."""
    confusion = Confusion(classes)
    known = [(true, label) for true, label in zip(truths, labels, strict=True) if true is not None]
    for true, label in known:
        confusion.add(true, label)
    return f"{100 * confusion.miou:.2f}" if known else "-"


def large(model: Path, image: Path, threads: int) -> None:
    """Predict one image in this process, and print seconds and the peak of its memory as JSON."""
    torch.set_num_threads(threads)
    predictor, start = open_arm(model, "fp32", threads), time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        (written,) = predict_folder(predictor, image, Path(folder))
        shape = read_label_map(written).shape
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 2**10)
    print(json.dumps({"seconds": seconds, "bytes": peak, "shape": shape}))


def memory(models: dict[str, Path], folder: Path, threads: int) -> None:
    """Print the peak memory of each model on the large image."""
    (image,) = noise(folder, 1, (LARGE, LARGE))
    print(f"\n| {LARGE:,} x {LARGE:,} in tiles, computed by | peak of the process | below 2 GiB |\n|---|---|---|")
    for name, model in models.items():
        command = [sys.executable, __file__, "--large", str(model), str(image), "--threads", str(threads)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        found = json.loads(done.stdout)
        if found["shape"] != [LARGE, LARGE]:
            raise SystemExit(f"the prediction has the shape {found['shape']}")
        print(
            f"| {name} | {found['bytes'] / 2**30:.2f} GiB | {'yes' if found['bytes'] < LIMIT else 'NO'} |", flush=True
        )


def main() -> None:
    """Measure and print Markdown tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", type=Path)
    parser.add_argument("--data", type=Path, help="folder with images/ and masks/")
    parser.add_argument("--images", type=int, default=20)
    parser.add_argument("--size", type=int, nargs=2, default=(256, 384), help="width and height of the noise")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--no-memory", action="store_true", help="leave the large image out")
    parser.add_argument("--large", nargs=2, type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.large:
        large(*arguments.large, arguments.threads)
        return
    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        given = arguments.model or random_model(folder)
        weights = given / "segment" / "model.safetensors" if given.is_dir() else given
        if arguments.data:
            every = sorted(path for path in (arguments.data / "images").rglob("*") if path.is_file())
            masks = [arguments.data / "masks" / f"{path.stem}.png" for path in every]
            pairs = [pair for pair in zip(every, masks, strict=True) if pair[1].is_file()] or list(
                zip(every, masks, strict=True)
            )
            pairs = pairs[:: max(1, len(pairs) // arguments.images)][: arguments.images]
            photos = [photo for photo, _ in pairs]
            truths = [read_label_map(mask) if mask.is_file() else None for _, mask in pairs]
        else:
            photos = noise(folder, arguments.images, tuple(arguments.size))
            truths = [None] * len(photos)
        files = exported(weights, photos, folder)
        arms = {"torch fp32": open_arm(weights, "fp32", arguments.threads)}
        if native_bf16("cpu"):
            arms["torch bf16"] = open_arm(weights, "bf16", arguments.threads)
        arms |= {arm: open_arm(path, "fp32", arguments.threads) for arm, path in files.items()}
        print(
            f"{platform.processor() or platform.machine()}, {arguments.threads} thread(s) of {os.cpu_count()} cores, "
            f"torch {torch.__version__}, onnxruntime {onnxruntime.__version__}; {len(photos)} images, "
            f"{arguments.repeats} repeats\n"
        )
        throughput(arms, [read_image(path) for path in photos], truths, arguments.repeats)
        if not arguments.no_memory:
            memory({"torch fp32": weights, "onnxruntime fp32": files["onnxruntime fp32"]}, folder, arguments.threads)


if __name__ == "__main__":
    main()
