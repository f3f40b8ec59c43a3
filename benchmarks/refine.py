"""PAR with pseudo-labels, and the random walk, against straightforward implementations of the published descriptions.

    OMP_WAIT_POLICY=PASSIVE OMP_NUM_THREADS=1 python benchmarks/refine.py --repeats 5

Prints time and memory of both and their ratios, after checking that both give the same numbers. Every measurement is a
process of its own, ours and theirs in turn; memory is the process's peak above what it held when the work began, after
a first call on a tiny image. Time is the processor time of the process, which other work on the machine disturbs least.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, conv2d, interpolate, pad

from ktse.method.regularisation import UNDECIDED, pseudo_label
from ktse.refinement.par import pixel_adaptive_refinement
from ktse.refinement.random_walk import random_walk

DILATIONS = (1, 2, 4, 8, 12, 24)
SIZES = {"par": (320, 320), "pseudo-label": (320, 320), "walk": (256, 320), "walk-large": (1024, 1024)}


def scene(height: int, width: int) -> dict[str, Tensor]:
    """A smooth picture, a 20-class CAM with three tagged classes, and boundaries at a quarter of the size."""
    generator = torch.Generator().manual_seed(0)

    def smooth(channels: int, rows: int, columns: int) -> Tensor:
        noise = torch.rand(1, channels, rows + 8, columns + 8, generator=generator)
        values = avg_pool2d(noise, 9, 1)
        return (values - values.min()) / (values.max() - values.min())

    rows, columns = -(-height // 4), -(-width // 4)
    tags = torch.zeros(1, 20)
    tags[0, [2, 7, 11]] = 1
    cam = smooth(20, -(-height // 8), -(-width // 8)) * 2 - 0.5
    return {
        "image": smooth(3, height, width), "maps": smooth(3, height, width), "cam": cam, "tags": tags,
        "scores": smooth(2, rows, columns)[0] ** 4, "edge": smooth(1, rows, columns)[0, 0] ** 3 * 0.98,
    }  # fmt: skip


def neighbours_by_convolution(maps: Tensor) -> Tensor:
    """(1, C, H, W) to (1, C, 48, H, W): eight one-hot 3x3 kernels at every dilation."""
    kernel = torch.zeros(8, 1, 3, 3)
    for number, place in enumerate(place for place in range(9) if place != 4):
        kernel[number, 0, place // 3, place % 3] = 1
    _, channels, height, width = maps.shape
    found = [
        conv2d(pad(maps, [d] * 4, mode="replicate").transpose(0, 1), kernel, dilation=d).view(
            1, channels, 8, height, width
        )
        for d in DILATIONS
    ]
    return torch.cat(found, dim=2)


def plain_par(image: Tensor, maps: Tensor, iterations: int = 10) -> Tensor:
    """PAR as its description reads, for one image."""
    maps = interpolate(maps, image.shape[-2:], mode="bilinear", align_corners=True)
    around = neighbours_by_convolution(image)
    spread = around.std(dim=2, keepdim=True)
    colour = (-((((around - image[:, :, None]).abs() / (spread + 1e-8)) / 0.3) ** 2)).mean(dim=1, keepdim=True)
    distance = torch.tensor(
        [d * (math.sqrt(2) if corner else 1) for d in DILATIONS for corner in (1, 0, 1, 0, 0, 1, 0, 1)]
    )
    distance = distance.view(1, 1, 48, 1, 1).expand_as(colour)
    position = -((distance / (distance.std(dim=2, keepdim=True) + 1e-8) / 0.3) ** 2)
    weights = colour.softmax(dim=2) + 0.01 * position.softmax(dim=2)
    for _ in range(iterations):
        maps = (neighbours_by_convolution(maps) * weights).sum(dim=2)
    return maps


def plain_pseudo_label(cam: Tensor, image: Tensor, tags: Tensor) -> Tensor:
    """The pseudo-label as its description reads: one image and one background score at a time."""
    size, half = image.shape[-2:], (image.shape[-2] // 2, image.shape[-1] // 2)
    labels = []
    for picture, activation, tagged in zip(image.split(1), torch.relu(cam).split(1), tags, strict=True):
        normal = activation / (activation.amax(dim=(2, 3), keepdim=True) + 1e-5)
        large = interpolate(normal, size, mode="bilinear", align_corners=False)
        keys = torch.cat([torch.zeros(1, dtype=torch.long), tagged.nonzero()[:, 0] + 1])
        said = []
        for background in (0.3, 0.15):
            planes = torch.cat([torch.full_like(large[:, :1], background), large], dim=1)
            small = interpolate(planes, half, mode="bilinear", align_corners=False)[:, keys].softmax(dim=1)
            refined = plain_par(interpolate(picture, half, mode="bilinear", align_corners=False), small)
            full = interpolate(refined, size, mode="bilinear", align_corners=False)
            said.append(keys[full.argmax(dim=1)])
        label = said[0].clone()
        label[(said[0] == 0) & (said[1] > 0)] = UNDECIDED
        labels.append(label)
    return torch.cat(labels)


def plain_walk(scores: Tensor, edge: Tensor, radius: int = 5, beta: int = 10, doublings: int = 8) -> Tensor:
    """The random walk as its description reads: a dense matrix, squared eight times. Denormals are flushed."""
    torch.set_flush_denormal(True)
    height, width = edge.shape
    number = torch.arange(height * width).view(height, width)
    matrix = torch.eye(height * width)
    for dy in range(radius):
        for dx in range(1 - radius, radius):
            if dy * dy + dx * dx >= radius * radius or (dy, dx) <= (0, 0):
                continue
            rows, left = slice(0, height - dy), max(0, -dx)
            here = number[rows, left : left + width - abs(dx)]
            way = [
                edge[y : y + height - dy, left + x : left + x + width - abs(dx)]
                for y in range(dy + 1)
                for x in range(min(0, dx), max(0, dx) + 1)
                if (dy * x - dx * y) ** 2 / (dy * dy + dx * dx) < 1
            ]
            affinity = (1 - torch.stack(way).amax(dim=0)).flatten()
            source, target = here.flatten(), here.flatten() + dy * width + dx
            matrix[source, target] = affinity
            matrix[target, source] = affinity
    matrix = matrix**beta
    matrix = matrix / matrix.sum(dim=0, keepdim=True)
    for _ in range(doublings):
        matrix = matrix @ matrix
    return ((scores * (1 - edge)).flatten(1) @ matrix).view_as(scores)


def work(name: str, who: str) -> Callable[[dict[str, Tensor]], Tensor]:
    """The function to measure."""
    ours: dict[str, Callable[[dict[str, Tensor]], Tensor]] = {
        "par": lambda s: pixel_adaptive_refinement(s["image"], s["maps"]),
        "pseudo-label": lambda s: pseudo_label(s["cam"], s["image"], s["tags"]),
        "walk": lambda s: random_walk(s["scores"], s["edge"]),
    }
    plain: dict[str, Callable[[dict[str, Tensor]], Tensor]] = {
        "par": lambda s: plain_par(s["image"], s["maps"]),
        "pseudo-label": lambda s: plain_pseudo_label(s["cam"], s["image"], s["tags"]),
        "walk": lambda s: plain_walk(s["scores"], s["edge"]),
    }
    return (ours if who == "ours" else plain)[name.removesuffix("-large")]


def resident(key: str) -> float:
    """VmRSS or VmHWM of this process in MiB (Linux), or its peak where there is no /proc."""
    status = Path("/proc/self/status")
    if not status.is_file():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    lines = status.read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key)) / 1024


@torch.no_grad()
def measure(name: str, who: str, out: Path) -> None:
    """Do the work once in this process; print seconds and memory as JSON and store the result."""
    function, given = work(name, who), scene(*SIZES[name])
    function(scene(64, 64))
    clear = Path("/proc/self/clear_refs")
    if clear.is_file():
        clear.write_text("5", encoding="utf-8")
    before, started, clock = resident("VmRSS"), time.process_time(), time.perf_counter()
    result = function(given)
    seconds, wall = time.process_time() - started, time.perf_counter() - clock
    torch.save(result, out)
    print(json.dumps({"seconds": seconds, "wall": wall, "mib": resident("VmHWM") - before}))


def in_process(name: str, who: str, out: Path) -> dict[str, Any]:
    """One measurement in a fresh process."""
    command = [sys.executable, __file__, "--one", name, who, str(out)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return dict(json.loads(done.stdout))


def row(name: str, repeats: int, folder: Path) -> str:
    """Measure one kind of work, compare the results, and return a line of the table."""
    height, width = SIZES[name]
    label = f"{name} {height}x{width}"
    nodes = (height // 4) * (width // 4)
    dense = 2 * 4 * nodes**2 / 2**30  # squaring holds the matrix and its square
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    fits = not name.startswith("walk") or dense < memory / 2
    found: dict[str, list[dict[str, Any]]] = {"ours": [], "plain": []}
    for _ in range(repeats):
        for who in ("ours", "plain") if fits else ("ours",):
            found[who].append(in_process(name, who, folder / f"{who}.pt"))
    ours = [f"{spread(found['ours'], 'seconds', 's')} | {spread(found['ours'], 'mib', 'MiB')}"]
    if not fits:
        return f"| {label} | {ours[0]} | does not fit: {dense:.0f} GiB | | | |"
    same = agreement(*(torch.load(folder / f"{who}.pt", weights_only=True) for who in ("ours", "plain")))
    ratios = [
        median(e[key] for e in found["plain"]) / median(e[key] for e in found["ours"]) for key in ("seconds", "mib")
    ]
    plain = f"{spread(found['plain'], 'seconds', 's')} | {spread(found['plain'], 'mib', 'MiB')}"
    return f"| {label} | {ours[0]} | {plain} | **{ratios[0]:.1f}x** | **{ratios[1]:.1f}x** | {same} |"


def spread(entries: list[dict[str, Any]], key: str, unit: str) -> str:
    """Median and range."""
    values = sorted(entry[key] for entry in entries)
    return f"{median(values):.3g} {unit} ({values[0]:.3g}..{values[-1]:.3g})"


def agreement(ours: Tensor, plain: Tensor) -> str:
    """How alike both results are.

    Raises:
        SystemExit: not alike enough for a comparison.
    """
    if not ours.is_floating_point():
        share = (ours == plain).double().mean().item()
        if share < 0.999:
            raise SystemExit(f"only {100 * share:.2f} % of the labels are equal")
        return f"{100 * share:.3f} % equal"
    worst = ((ours - plain).abs().max() / plain.abs().max().clamp(min=1)).item()
    if not worst < 1e-4:
        raise SystemExit(f"results differ by {worst:.3g}")
    return f"differ by {worst:.1e}"


def processor() -> str:
    """The processor's name."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def main() -> None:
    """Measure everything and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", nargs="*", default=list(SIZES), help="some of: " + ", ".join(SIZES))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        measure(arguments.one[0], arguments.one[1], Path(arguments.one[2]))
        return
    print(f"{processor()}, {torch.get_num_threads()} thread(s) of {os.cpu_count()} cores, torch {torch.__version__}")
    print(
        f"{arguments.repeats} repeats; median (smallest..largest) of processor time and peak memory above the start\n"
    )
    print("| work | ours | memory | straightforward | memory | time ratio | memory ratio | results |")
    print("|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.work:
            print(row(name, arguments.repeats, Path(folder)), flush=True)


if __name__ == "__main__":
    main()
