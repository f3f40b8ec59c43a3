"""What the verdict says of runs that were made bad on purpose, without true masks and with them.

    python benchmarks/verdicts.py DATA --weights FILE --out DIR

DATA holds images/, tags.csv (image,tags; tags separated by ;), classes.txt and masks/. Each run takes some of its
images, is made without true masks, judged, and judged again with them. Finished runs in DIR are not repeated.
"""

from __future__ import annotations

import argparse
import csv
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import ktse
from ktse.errors import KtseError

SMALL = {
    "classify.crop": 160,
    "classify.long_side": [160, 224],
    "seed.scales": [1.0],
    "seed.long_side": 256,
    "segment.crop": 160,
    "segment.long_side": [160, 224],
    "segment.most_images": 4000,
    "predict.long_side": 256,
}
"""Settings that make a run of a hundred images short."""

Rows = dict[str, list[str]]


@dataclass
class Sabotage:
    """One way to make a run bad.

    Attributes:
        expected: levels that are right.
        images: how many are taken.
        tags: changes the tags of the images.
        picture: changes a picture.
        mask: changes a true mask.
        settings: changes to the recipe.
        weights: in place of those that were given.
    """

    expected: str
    images: int = 120
    tags: Callable[[Rows, np.random.Generator], Rows] = lambda rows, _: rows
    picture: Callable[[Image.Image], Image.Image] | None = None
    mask: Callable[[np.ndarray], np.ndarray] = lambda mask: mask
    settings: dict[str, Any] = field(default_factory=dict)
    weights: str = ""


def random_tags(share: float) -> Callable[[Rows, np.random.Generator], Rows]:
    """Give a share of the images the tags of any other image."""

    def change(rows: Rows, rng: np.random.Generator) -> Rows:
        names, values = list(rows), list(rows.values())
        return {name: values[rng.integers(len(values))] if rng.random() < share else rows[name] for name in names}

    return change


def most_frequent(rows: Rows, rng: np.random.Generator) -> Rows:
    """Keep one class and the images that have it."""
    tags = [tag for row in rows.values() for tag in row]
    kept = max(sorted(set(tags)), key=tags.count)
    return {name: [kept] for name, row in rows.items() if kept in row}


def noise(image: Image.Image) -> Image.Image:
    """Grey noise in place of a picture."""
    rng = np.random.default_rng(image.width)
    return Image.fromarray(rng.integers(120, 136, (image.height, image.width, 3), dtype=np.uint8))


SABOTAGES = {
    "nothing": Sabotage("good, look"),
    "60 % of the images with tags of another image": Sabotage("do-not-use", tags=random_tags(0.6)),
    "all images with tags of another image": Sabotage("do-not-use", tags=random_tags(1.0)),
    "one class, on every image": Sabotage("do-not-use", tags=most_frequent),
    "12 images": Sabotage("do-not-use", images=12),
    "40 images": Sabotage("look, do-not-use", images=40),
    "blank pictures": Sabotage("do-not-use", picture=noise),
    "pictures of 24 pixels": Sabotage("do-not-use", picture=lambda image: image.resize((24, 24))),
    "learning rate of the classifier 1": Sabotage("do-not-use", settings={"classify.lr": 1.0}),
    "one epoch": Sabotage("look, do-not-use", settings={"classify.epochs": 1, "classify.warmup": 1}),
    "random initial weights": Sabotage("do-not-use", weights="none"),
    "background threshold 0.01": Sabotage("do-not-use", settings={"refine.threshold": 0.01}),
    "background threshold 0.97": Sabotage("do-not-use", settings={"refine.threshold": 0.97}),
    "learning rate of the model 10": Sabotage("do-not-use", settings={"segment.lr": 10.0, "segment.clip": 0.0}),
    "true masks of other classes": Sabotage("do-not-use", mask=lambda mask: np.where(mask > 0, mask % 2 + 1, 0)),
}


def prepare(data: Path, place: Path, name: str, sabotage: Sabotage) -> tuple[Path, Path, Path]:
    """Write the images, tags and masks of a sabotage; returns where they are."""
    rng = np.random.default_rng(0)
    with (data / "tags.csv").open(newline="", encoding="utf-8") as file:
        rows = {row["image"]: [tag for tag in row["tags"].split(";") if tag] for row in csv.DictReader(file)}
    measured = [image for image in rows if (data / "masks" / f"{Path(image).stem}.png").is_file()]
    taken = [measured[index] for index in rng.permutation(len(measured))[: sabotage.images]]
    changed = sabotage.tags({image: rows[image] for image in taken}, rng)
    shutil.rmtree(place, ignore_errors=True)
    images, masks = place / "images", place / "masks"
    images.mkdir(parents=True)
    masks.mkdir()
    for image in changed:
        with Image.open(data / "images" / image) as opened:
            picture = opened.convert("RGB")
        picture = sabotage.picture(picture) if sabotage.picture else picture
        picture.save(images / f"{Path(image).stem}.png")
        mask = Image.open(data / "masks" / f"{Path(image).stem}.png").resize(picture.size, Image.Resampling.NEAREST)
        Image.fromarray(sabotage.mask(np.asarray(mask)).astype(np.uint8)).save(masks / f"{Path(image).stem}.png")
    with (place / "tags.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(
            [("image", "tags"), *((f"{Path(image).stem}.png", ";".join(row)) for image, row in changed.items())]
        )
    return images, place / "tags.csv", masks


def judged(name: str, sabotage: Sabotage, data: Path, out: Path, weights: str) -> str:
    """Make a run, and its line of the table."""
    place = out / "".join(letter if letter.isalnum() else "-" for letter in name)
    found = []
    try:
        if not (place / "run" / "report.html").is_file():
            images, tags, _ = prepare(data, place, name, sabotage)
            classes = {} if "one class" in name else {"data.classes": str(data / "classes.txt")}
            ktse.run(
                images, tags=tags, out=place / "run", weights=sabotage.weights or weights,
                settings={**SMALL, **classes, **sabotage.settings},
            )  # fmt: skip
        masks = place / ("masks" if "one class" not in name else "none")
        for given in (None, masks):
            if given is None or given.is_dir():
                found.append(ktse.evaluate(place / "run", masks=given or ""))
    except KtseError as error:
        return f"| {name} | {sabotage.expected} | refused | | | {str(error).splitlines()[0]} |"
    levels = [f"{result['verdict']['masks']}, {result['verdict']['model']}" for result in found]
    miou = found[-1].get("fused", found[-1].get("mask", {})).get("miou")
    sign = next(iter(found[0]["verdict"]["signs"]), {"text": ""})["text"]
    cells = (levels[0], levels[1] if len(levels) > 1 else "", "" if miou is None else f"{miou:.1f}", sign)
    return f"| {name} | {sabotage.expected} | {' | '.join(cells)} |"


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", default="", help="names that contain this")
    arguments = parser.parse_args()
    print(
        "| what was done | right | masks, model without truth | with truth | mIoU | worst sign without truth |\n"
        + "|---" * 6
        + "|"
    )
    for name, sabotage in SABOTAGES.items():
        if arguments.only in name:
            print(judged(name, sabotage, arguments.data, arguments.out, arguments.weights), flush=True)


if __name__ == "__main__":
    main()
