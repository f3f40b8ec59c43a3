"""What it costs that files are on the disk before ktse goes on: runs with and without waiting for the disk, in turn.

    python benchmarks/durability.py IMAGES --tags CSV --out DIR [--weights FILE] [--recipe fast] [--pairs 3]
                                    [--set compute.workers=0]

Of each pair of runs, one finds os.fsync as it is, the other finds it replaced by nothing. Both make the same files.
The ratio of a pair follows whatever else the machine does; so a run with os.fsync says besides how long it has waited.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path
from statistics import mean

RUN = """
import os, sys, threading, time
import ktse.artefacts
from ktse.cli import main

waited, fsync, settle = 0.0, os.fsync, ktse.artefacts.settle

def timed(wait):
    def counted(what):
        global waited
        began = time.perf_counter()
        try:
            return wait(what)
        finally:  # many files at once are waited for by threads, while this one waits for these
            if threading.current_thread() is threading.main_thread():
                waited += time.perf_counter() - began
    return counted

durable = sys.argv[1] == "on"
os.fsync = timed(fsync) if durable else lambda _: None
if durable:
    ktse.artefacts.settle = timed(settle)
code = main(sys.argv[3:])
open(sys.argv[2], "w").write(str(waited))
sys.exit(code)
"""


def one(durable: str, arguments: argparse.Namespace) -> tuple[float, float, float]:
    """Wall, processor and waiting seconds of a run."""
    folder, note = arguments.out / durable, arguments.out / "waited.txt"
    shutil.rmtree(folder, ignore_errors=True)
    command = [sys.executable, "-c", RUN, durable, note, "run", arguments.images, "--tags", arguments.tags]
    command += ["--out", folder, "--recipe", arguments.recipe, "--weights", arguments.weights]
    command += [f"--{setting}" for setting in arguments.set]
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([str(word) for word in command], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    after, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - start
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall, processor, float(note.read_text(encoding="ascii"))


def main() -> None:
    """Do the runs and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images")
    parser.add_argument("--tags", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--weights", default="package")
    parser.add_argument("--recipe", default="fast")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--set", nargs="*", default=[])
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    print("| pair | wall s, on | off | ratio | processor s, on | off | ratio | waited for the disk s | share of wall |")
    print("|---|---|---|---|---|---|---|---|---|")
    walls, processors, shares = [], [], []
    for pair in range(arguments.pairs):
        order = ("on", "off") if pair % 2 == 0 else ("off", "on")
        found = {durable: one(durable, arguments) for durable in order}
        (wall, processor, waited), (wall_off, processor_off, _) = found["on"], found["off"]
        walls.append(wall / wall_off)
        processors.append(processor / processor_off)
        shares.append(waited / wall)
        cells = f"{wall:.1f} | {wall_off:.1f} | {walls[-1]:.3f} | {processor:.1f} | {processor_off:.1f}"
        print(f"| {pair + 1} | {cells} | {processors[-1]:.3f} | {waited:.2f} | {shares[-1]:.2%} |", flush=True)
    print(f"wall ratio {mean(walls):.3f} ({min(walls):.3f} to {max(walls):.3f})")
    print(f"processor ratio {mean(processors):.3f} ({min(processors):.3f} to {max(processors):.3f})")
    print(f"waited for the disk: {mean(shares):.2%} of the wall time ({min(shares):.2%} to {max(shares):.2%})")


if __name__ == "__main__":
    main()
