"""The picture in the README: the best image of a run, one at the median and the worst, as the run's report shows them.

    python benchmarks/picture.py runs/demo --out docs/demo.jpg

Images are ranked by the mIoU of their fused masks, so that none is chosen by eye.
"""

from __future__ import annotations

import argparse
import base64
import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ktse.job import Job
from ktse.reporting.gallery import image_scores
from ktse.reporting.pictures import Painter, Picture
from ktse.run_folder import RunFolder

WIDTH, GAP, LINE = 168, 6, 18
"""Pixels: a picture's width, the space between two, the height of a line of words."""

ALLOWANCE = 1_000_000
"""Characters that a picture may take: enough for its largest size."""


def drawn(rows: list[tuple[str, list[Picture]]]) -> Image.Image:
    """Rows of pictures, their columns named once, each row with its words."""
    columns = [picture.name for picture in rows[0][1]]
    decoded = [[_decoded(picture.source) for picture in pictures] for _, pictures in rows]
    heights = [max(image.height for image in images) for images in decoded]
    size = (len(columns) * (WIDTH + GAP) - GAP, LINE + sum(height + GAP + LINE for height in heights))
    sheet = Image.new("RGB", size, "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    for place, name in enumerate(columns):
        draw.text((place * (WIDTH + GAP), 1), name, "black", font)
    top = LINE
    for (words, _), images, height in zip(rows, decoded, heights, strict=True):
        for place, image in enumerate(images):
            sheet.paste(image, (place * (WIDTH + GAP), top))
        draw.text((0, top + height + 1), words, "black", font)
        top += height + GAP + LINE
    return sheet


def _decoded(source: str) -> Image.Image:
    image = Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2])))
    return image.resize((WIDTH, round(image.height * WIDTH / image.width)), Image.Resampling.LANCZOS)


def main() -> None:
    """Draw the best image, one at the median, and the worst."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    run = RunFolder.existing(arguments.run)
    job = Job(run, run.read_recipe())
    data, scores = job.data, image_scores(run, job.data.ids)
    fused = np.where(data.tags.any(axis=1), scores["fused"], np.nan)
    order = [int(index) for index in np.argsort(-fused, kind="stable") if np.isfinite(fused[index])]
    if len(order) < 3:
        raise SystemExit(f"{run.root} has no measured fused masks: give ktse run --masks DIR, or repeat it")
    painter, rows = Painter(run, data, job.given.truth), []
    for group, index in (("Best", order[0]), ("Around the median", order[len(order) // 2]), ("Worst", order[-1])):
        tags = ", ".join(data.classes[k] for k in np.flatnonzero(data.tags[index]))
        measured = "   ".join(f"{name} {column[index]:.0f} %" for name, column in scores.items())
        rows.append((f"{group}. Tags: {tags}.   mIoU: {measured}", painter.row(index, ALLOWANCE)))
    sheet = drawn(rows)
    sheet.save(arguments.out, quality=90, optimize=True)
    print(f"{arguments.out}: {sheet.width} x {sheet.height} pixels, {arguments.out.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
