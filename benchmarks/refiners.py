"""Masks of a run by each chain of refiners: mIoU at the chosen and at the best threshold, and what needs no truth.

    python benchmarks/refiners.py RUN --chains '' par crf irn irn,crf

A run needs true masks and its seeds. Its masks are made anew for each chain; those of the last one stay. Explained is
the measure that chooses the threshold without truth, at its best.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import ktse
from ktse.errors import KtseError
from ktse.run_folder import RunFolder


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--chains", nargs="+", default=["", "par", "crf", "par,crf", "irn", "irn,crf"])
    arguments = parser.parse_args()
    rows = []
    for text in arguments.chains:
        chain = [name for name in text.split(",") if name]
        label = " + ".join(chain) or "none"
        start = time.perf_counter()
        try:
            if "irn" in chain:
                ktse.affinity(arguments.run)
            ktse.refine(arguments.run, settings={"refine.method": chain})
        except KtseError as error:
            rows.append(f"| {label} | {error} | | | | | | |")
            continue
        seconds = time.perf_counter() - start
        result = ktse.evaluate(arguments.run)
        if not rows:
            rows.append(row("the seeds themselves", result["seed"]))
        explained = max(RunFolder(arguments.run).summary("masks")["explained"], default=0.0)
        rows.append(row(label, result["mask"], f"{explained:.3f} | {seconds:.0f}"))
        print(rows[-1], flush=True)
    print(f"\n{arguments.run.name}: {result['mask']['images']} true masks\n")
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
