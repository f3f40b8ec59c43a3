"""Time and peak memory of opening, and of checking, data sets of growing size; each in a process of its own.

    python benchmarks/open_data.py FOLDER [--rows 1000 10000 100000 1000000] [--check 10000]

Writes the data sets into FOLDER: links to a few tiny images, a thousand in each subfolder, and a CSV of tags.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = 20
LINKS = 30_000
"""Hard links to one file; file systems allow some ten thousand."""


def make(folder: Path, rows: int) -> None:
    """Write a data set, unless it is there."""
    if (folder / "tags.csv").is_file():
        return
    rng = np.random.default_rng(0)
    lines = ["image,tags"]
    source = folder / "none"
    for row in range(rows):
        parent = folder / "images" / f"{row // 1000:04d}"
        if row % 1000 == 0:
            parent.mkdir(parents=True, exist_ok=True)
        path = parent / f"{row:07d}.png"
        if row % LINKS == 0:
            source = path
            Image.fromarray(rng.integers(0, 255, (32, 32, 3), dtype=np.uint8)).save(path)
        else:
            os.link(source, path)
        tags = ";".join(f"class {number}" for number in np.flatnonzero(rng.random(CLASSES) < 0.1))
        lines.append(f"{row // 1000:04d}/{row:07d}.png,{tags}")
    (folder / "tags.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def measure(folder: Path, checked: bool) -> None:
    """Open or check in this process, and print seconds and megabytes."""
    from ktse.checking.check import check_images
    from ktse.data.open import open_data
    from ktse.recipe import DataRecipe

    before = _peak()
    start, used = time.perf_counter(), time.process_time()
    data = open_data(DataRecipe(images=str(folder / "images"), tags=str(folder / "tags.csv")))
    opened, opened_peak = time.perf_counter() - start, _peak()
    used = time.process_time() - used
    start = time.perf_counter()
    data.fingerprint()
    hashed = time.perf_counter() - start
    line = f"{len(data):>9,} rows: open {opened:6.2f} s ({used:.2f} s of processor), {opened_peak - before:5.0f} MB"
    line += f"; fingerprint {hashed:6.2f} s"
    if checked:
        start = time.perf_counter()
        check_images(data)
        line += f"; check {time.perf_counter() - start:6.1f} s, {_peak() - opened_peak:5.0f} MB more,"
        line += f" largest worker {resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**10:.0f} MB"
    print(line, flush=True)


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def main() -> None:
    """Measure every size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000, 10_000, 100_000, 1_000_000])
    parser.add_argument("--check", type=int, default=10_000, help="largest number of rows that is also checked")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    for rows in arguments.rows:
        if arguments.one:
            measure(arguments.folder, rows <= arguments.check)
            continue
        folder = arguments.folder / str(rows)
        make(folder, rows)
        command = [sys.executable, __file__, str(folder), "--rows", str(rows), "--check", str(arguments.check), "--one"]
        subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
