"""The picture in the README: the best image of a run, one at the median and the worst, as the run's report shows them.

    python benchmarks/picture.py runs/demo --out docs/demo.jpg

Images are ranked by the mIoU of their fused masks, so that none is chosen by eye.
"""

from __future__ import annotations

import argparse
import base64
import io
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from ktse.pipeline import Job
from ktse.reporting.gallery import Row, gallery
from ktse.run_folder import RunFolder

WIDTH, GAP, LINE = 168, 6, 18
"""Pixels: a picture's width, the space between two, the height of a line of words."""


def drawn(rows: list[tuple[str, Row]]) -> Image.Image:
    """Rows of pictures, their columns named once, each row with its group, its tags and its mIoU."""
    columns = [picture.name for picture in rows[0][1].pictures]
    decoded = [[_decoded(picture.source) for picture in row.pictures] for _, row in rows]
    heights = [max(image.height for image in images) for images in decoded]
    size = (len(columns) * (WIDTH + GAP) - GAP, LINE + sum(height + GAP + LINE for height in heights))
    sheet = Image.new("RGB", size, "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    for place, name in enumerate(columns):
        draw.text((place * (WIDTH + GAP), 1), name, "black", font)
    top = LINE
    for (group, row), images, height in zip(rows, decoded, heights, strict=True):
        for place, image in enumerate(images):
            sheet.paste(image, (place * (WIDTH + GAP), top))
        tags = ", ".join(name for name, _ in row.tags)
        scores = "   ".join(f"{name} {score:.0f} %" for name, score in row.scores.items())
        draw.text((0, top + height + 1), f"{group}. Tags: {tags}.   mIoU: {scores}", "black", font)
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
    found = gallery(run, job.data, job.truth)
    if found.by != "fused":
        raise SystemExit(f"{run.root} has no measured fused masks: give ktse run --masks DIR, or repeat it")
    sheet = drawn([(group, rows[0]) for group, rows in found.groups])
    sheet.save(arguments.out, quality=90, optimize=True)
    print(f"{arguments.out}: {sheet.width} x {sheet.height} pixels, {arguments.out.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
