"""Time and memory against straightforward code (baseline/), and how both grow: writes benchmarks/RESULTS.md.

    make bench

Each measurement is a process of its own, ours and the straightforward one in turn. Times are medians with smallest and
largest; memory is the process's peak above what it held when the work began, after a first call on a tiny case. What
both give is compared in the same run, and must be equal but for rounding.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import tempfile
import time
from collections.abc import Callable
from datetime import date
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

import torch
from cases import CASES, GROWTH
from torch import Tensor

RESULTS = Path(__file__).parent / "RESULTS.md"


def resident(key: str) -> float:
    """VmRSS or VmHWM of this process in MiB (Linux), or its peak where there is no /proc."""
    status = Path("/proc/self/status")
    if not status.is_file():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    lines = status.read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key)) / 1024


def measure(name: str, who: str, size: int, threads: int, out: Path) -> dict[str, float]:
    """Do the work once in this process and store the result; its seconds and memory."""
    torch.set_num_threads(threads)
    case = CASES[name]
    work: Callable[[Any], Tensor] = getattr(case, who)
    given = case.given(size)
    work(case.given(case.tiny))
    clear = Path("/proc/self/clear_refs")
    if clear.is_file():
        clear.write_text("5", encoding="utf-8")
    before, started, clock = resident("VmRSS"), time.process_time(), time.perf_counter()
    result = work(given)
    seconds, wall = time.process_time() - started, time.perf_counter() - clock
    torch.save(result, out)
    return {"cpu": seconds, "wall": wall, "mib": resident("VmHWM") - before}


def in_process(*arguments: Any) -> dict[str, float]:
    """One measurement in a process of its own, which finds the libraries loaded and nothing else done."""
    with get_context("fork").Pool(1) as pool:
        return pool.apply(measure, arguments)


def row(name: str, size: int, threads: int, repeats: int, folder: Path, rival: bool = True) -> str:
    """Measure one kind of work, compare the results, and return a line of the table."""
    found: dict[str, list[dict[str, float]]] = {"ours": [], "plain": []}
    whose = ("ours", "plain") if rival else ("ours",)
    for _ in range(repeats):
        for who in whose:
            found[who].append(in_process(name, who, size, threads, folder / f"{who}.pt"))
    label = CASES[name].label.format(size=size) + ("" if threads == 1 else f", {threads} threads")
    cells = [
        f"{spread(found[who], 'cpu')} | {spread(found[who], 'wall')} | {spread(found[who], 'mib')}" for who in whose
    ]
    if not rival:
        return f"| {label} | {cells[0]} |"
    same = agreement(*(torch.load(folder / f"{who}.pt", weights_only=True) for who in whose), CASES[name].tolerance)
    ratios = [median(e[key] for e in found["plain"]) / median(e[key] for e in found["ours"]) for key in ("cpu", "mib")]
    return f"| {label} | {cells[0]} | {cells[1]} | **{ratios[0]:.1f}x** | **{ratios[1]:.1f}x** | {same} |"


def spread(entries: list[dict[str, float]], key: str) -> str:
    """Median and range."""
    values = sorted(entry[key] for entry in entries)
    return f"{median(values):.3g} ({values[0]:.3g}..{values[-1]:.3g})"


def agreement(ours: Tensor, plain: Tensor, tolerance: float) -> str:
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
    if not worst <= tolerance:
        raise SystemExit(f"results differ by {worst:.3g}")
    return f"differ by {worst:.0e}"


def processor() -> str:
    """The processor's name."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def main() -> None:
    """Measure everything, print it, and write RESULTS.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    packages = ", ".join(f"{name} {version(name)}" for name in ("ktse", "torch", "numpy"))
    lines = [
        "# How fast is ktse, and how much memory does it take?",
        "",
        f"Written by `make bench` on {date.today()}: {processor()}, {os.cpu_count()} cores (load {load:.1f} at the "
        f"start), Python {platform.python_version()}, {packages}. {arguments.repeats} repeats, one thread unless "
        "said otherwise: median (smallest..largest) of processor seconds, wall seconds, and MiB above the start. "
        "*Straightforward* is our own code after the published descriptions ([baseline](baseline)), measured in the "
        "same run.",
        "",
        "| work | ours: CPU s | wall s | MiB | straightforward: CPU s | wall s | MiB | CPU time | memory | results |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    with tempfile.TemporaryDirectory() as folder:
        for name, case in CASES.items():
            for size in case.sizes:
                lines.append(row(name, size, 1, arguments.repeats, Path(folder)))
                print(lines[-1], flush=True)
        lines += ["", "## Growth", "", "| work | CPU s | wall s | MiB |", "|---|---|---|---|"]
        for name, size, threads in GROWTH:
            lines.append(row(name, size, threads, arguments.repeats, Path(folder), rival=False))
            print(lines[-1], flush=True)
    RESULTS.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
