"""Plain CAM against KTSE: the same network, data and epochs, KTSE's terms off and on; mIoU of seeds and all masks.

    python benchmarks/plain_against_ktse.py DATA --weights FILE --out runs/benchmark --seeds 3 --set classify.epochs=5

DATA holds images/, tags.csv and masks/. A run that is finished is not repeated.
"""

from __future__ import annotations

import argparse
import os
import platform
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch
import yaml

import ktse
from ktse.errors import CollapseError
from ktse.files import read_json
from ktse.recipe.load import load_recipe

STAGES = ("seed", "mask", "fused", "prediction")


def one(data: Path, out: Path, arm: str, seed: int, arguments: argparse.Namespace) -> dict[str, Any] | None:
    """One run's evaluation, or None where training collapsed."""
    settings: dict[str, Any] = dict(pair.split("=", 1) for pair in arguments.set)
    settings = {key: yaml.safe_load(value) for key, value in settings.items()}
    settings["compute.random_seed"] = seed
    if arm == "plain":
        settings["classify.warmup"] = load_recipe(arguments.recipe, settings).classify.epochs
    run = out / f"{data.name}-{arm}-{seed}"
    try:
        ktse.run(
            data / "images",
            tags=data / "tags.csv",
            masks=data / "masks",
            out=run,
            recipe=arguments.recipe,
            weights=arguments.weights,
            settings=settings,
        )
    except CollapseError as error:
        print(f"{arm}, seed {seed}: {error}")
        return None
    evaluation: dict[str, Any] = read_json(run / "evaluation.json")
    return evaluation


def main() -> None:
    """Run both arms for every seed and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--weights", default=None)
    parser.add_argument("--out", type=Path, default=Path("runs/benchmark"))
    parser.add_argument("--recipe", default="fast")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE")
    arguments = parser.parse_args()
    print(f"machine: {platform.processor() or platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}")
    print(
        f"data: {arguments.data.name}, recipe {arguments.recipe}, {' '.join(arguments.set)}, seeds {arguments.seeds}\n"
    )
    print("| arm | stage | mIoU % | oracle mIoU % | threshold | oracle threshold |\n|---|---|---|---|---|---|")
    found: dict[str, list[dict[str, Any] | None]] = {}
    for arm in ("plain", "ktse"):
        found[arm] = runs = [
            one(arguments.data, arguments.out, arm, seed, arguments) for seed in range(arguments.seeds)
        ]
        for stage in STAGES:
            entries = [run[stage] for run in runs if run is not None and stage in run]
            oracles = [entry["oracle"] for entry in entries if entry["oracle"]]
            print(
                f"| {arm} | {stage} | {spread([entry['miou'] for entry in entries])} "
                f"| {spread([oracle['miou'] for oracle in oracles])} "
                f"| {spread([entry['threshold'] for entry in entries if entry['threshold'] is not None], 2)} "
                f"| {spread([oracle['threshold'] for oracle in oracles], 2)} |"
            )
    print("\nktse against plain, seed by seed:")
    for stage in STAGES:
        pairs = [
            ktse_run[stage]["miou"] - plain_run[stage]["miou"]
            for plain_run, ktse_run in zip(found["plain"], found["ktse"], strict=True)
            if plain_run and ktse_run and stage in plain_run
        ]
        print(f"{stage} {spread(pairs)}")


def spread(values: list[float], digits: int = 1) -> str:
    """Mean and standard deviation, or a dash."""
    if not values:
        return "-"
    text = f"{mean(values):.{digits}f}"
    return text if len(values) == 1 else f"{text} ± {stdev(values):.{digits}f}"


if __name__ == "__main__":
    main()
