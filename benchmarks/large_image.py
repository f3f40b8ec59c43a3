"""Peak memory and time of every stage on a data set with one image of 40 megapixels; each in a process of its own.

    python benchmarks/large_image.py FOLDER [--ending jpg] [any setting of ktse run, such as --seed.long_side 256]

Writes a data set of drawn scenes, one of them enlarged to 8000 x 5000, and a run with a small network into FOLDER. The
settings that decide about memory (seed.long_side, seed.scales, refine.*, predict.*) are the defaults of
the recipe's classes, not those of a packaged recipe.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import sys
import time
from multiprocessing import get_context
from pathlib import Path

from PIL import Image

from ktse.data.demo.scenes import make_scenes

LARGE = (8000, 5000)
SMALL = """
classify: {backbone: resnet10t, weights: none, epochs: 1, warmup: 1, crop: 64, long_side: [64, 96], workers: 0}
segment: {encoder: resnet10t, weights: classify, epochs: 1, crop: 64, long_side: [64, 96], workers: 0}
refine: {threshold: 0.3}
"""


def make(folder: Path, ending: str) -> None:
    """Write ten scenes with masks, the first of them large."""
    make_scenes(folder, images=10, size=(160, 100))
    first = sorted((folder / "images").iterdir())[0]
    with Image.open(first) as image:
        image.convert("RGB").resize(LARGE, Image.Resampling.BICUBIC).save(first.with_suffix(f".{ending}"))
    with Image.open(folder / "masks" / f"{first.stem}.png") as mask:
        mask.resize(LARGE, Image.Resampling.NEAREST).save(folder / "masks" / f"{first.stem}.png")
    if first.suffix != f".{ending}":
        first.unlink()
    table = (folder / "tags.csv").read_text(encoding="utf-8")
    (folder / "tags.csv").write_text(table.replace(first.name, f"{first.stem}.{ending}"), encoding="utf-8")


def do(stage: str, arguments: list[str]) -> None:
    """Do one stage in this process, and print what it took."""
    from ktse import cli, pipeline

    pipeline.STAGES = {stage: pipeline.STAGES[stage]}  # ktse run, up to here
    start = time.perf_counter()
    status = cli.main(arguments)
    peaks = [resource.getrusage(who).ru_maxrss / 2**10 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    seconds = time.perf_counter() - start
    print(f"{stage:>9}: {seconds:6.1f} s, peak {peaks[0]:5.0f} MB, of a worker {peaks[1]:4.0f} MB", flush=True)
    sys.exit(status)


def main() -> None:
    """Do every stage of a run in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--ending", default="jpg")
    known, settings = parser.parse_known_args()
    from ktse.pipeline import STAGES

    shutil.rmtree(known.folder, ignore_errors=True)
    make(known.folder, known.ending)
    (known.folder / "small.yaml").write_text(SMALL, encoding="utf-8")
    arguments = [
        "run", str(known.folder / "images"), "--tags", str(known.folder / "tags.csv"), "--masks",
        str(known.folder / "masks"), "--out", str(known.folder / "run"), "--recipe", str(known.folder / "small.yaml"),
        *settings,
    ]  # fmt: skip
    for stage in STAGES:
        if stage != "affinity":
            process = get_context("spawn").Process(target=do, args=(stage, arguments))
            process.start()
            process.join()
            if process.exitcode:
                sys.exit(process.exitcode)


if __name__ == "__main__":
    main()
