"""Masks of a run by each chain of refiners: mIoU at the chosen and at the best threshold, and what needs no truth.

    python benchmarks/refiners.py RUN --chains '' par crf irn irn,crf

A run needs true masks and its seeds; the masks are made in a copy of it. Explained is the measure that chooses the
threshold without truth, at its best.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import ktse
from ktse import pipeline
from ktse.errors import KtseError
from ktse.job import Job
from ktse.run_folder import RunFolder


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--chains", nargs="+", default=["", "par", "crf", "par,crf", "irn", "irn,crf"])
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.run.parent) as place:
        measure(seeds_alone(arguments.run, Path(place, arguments.run.name)), arguments.chains)


def seeds_alone(run: Path, copy: Path) -> Path:
    """A copy of a run without what is made from its masks."""
    later = shutil.ignore_patterns("features", "segment", "adapt", "predictions", "fused")
    shutil.copytree(run, copy, ignore=later)
    job = Job(RunFolder(copy), RunFolder(copy).read_recipe())
    for stage in (pipeline.SEGMENT, pipeline.ADAPT, pipeline.PREDICT):
        job.clear(stage)
        job.run.record(stage.name, {})
    return copy


def measure(run: Path, chains: list[str]) -> None:
    """Print the table of a run that has no model."""
    rows = []
    for text in chains:
        chain = [name for name in text.split(",") if name]
        label = " + ".join(chain) or "none"
        start = time.perf_counter()
        try:
            if "irn" in chain:
                ktse.affinity(run)
            ktse.refine(run, settings={"refine.method": chain})
        except KtseError as error:
            rows.append(f"| {label} | {error} | | | | | | |")
            continue
        seconds = time.perf_counter() - start
        result = ktse.evaluate(run)
        if not rows:
            rows.append(row("the seeds themselves", result["seed"]))
        explained = max(RunFolder(run).summary("masks")["explained"], default=0.0)
        rows.append(row(label, result["mask"], f"{explained:.3f} | {seconds:.0f}"))
        print(rows[-1], flush=True)
    print(f"\n{run.name}: {result['mask']['images']} true masks\n")
    head = "refiners", "mIoU %", "threshold", "at the best threshold", "best threshold", "confidence", "explained"
    print(f"| {' | '.join(head)} | seconds |")
    print("|---|---|---|---|---|---|---|---|")
    print("\n".join(rows))


def row(label: str, entry: dict[str, Any], more: str = " | ") -> str:
    """One line of the table."""
    best, sure = entry["oracle"], entry.get("confidence_correlation")
    return (
        f"| {label} | {entry['miou']:.1f} | {entry['threshold']:.2f} | {best['miou']:.1f} | {best['threshold']:.2f} "
        f"| {'' if sure is None else f'{sure:.2f}'} | {more} |"
    )


if __name__ == "__main__":
    main()
