"""How well check tells near copies from other images: makes copies of some images, and counts which are found.

    python benchmarks/near_copies.py DATA --weights FILE

DATA holds images/ and tags.csv. It also prints the pairs of different images that are most alike, for you to look at.
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance

from ktse.checking.near_copies import ALIKE, layout, nearest
from ktse.data.open import open_data
from ktse.features.store import FrozenFeatures
from ktse.models.backbone import Backbone
from ktse.models.feature_head import LEVELS
from ktse.recipe import DataRecipe
from ktse.run_folder import RunFolder
from ktse.runtime.fabric import make_fabric

SIDE = 384


def cropped(image: Image.Image, share: float) -> Image.Image:
    """An image without a share of its width and height, most of it at the top left."""
    width, height = image.size
    left, top = round(0.8 * share * width), round(0.8 * share * height)
    return image.crop((left, top, left + round((1 - share) * width), top + round((1 - share) * height)))


def burst(image: Image.Image) -> Image.Image:
    """Turned by 2 degrees, nearer, a little brighter."""
    near = cropped(cropped(image.rotate(2, Image.Resampling.BICUBIC), 0.06), 0.04)
    return ImageEnhance.Brightness(near).enhance(1.05)


COPIES: dict[str, tuple[Callable[[Image.Image], Image.Image], int]] = {
    "JPEG 30": (lambda image: image, 30),
    "5 % cropped": (lambda image: cropped(image, 0.05), 90),
    "10 % cropped": (lambda image: cropped(image, 0.1), 90),
    "half the size": (lambda image: image.reduce(2), 90),
    "brighter by 25 %": (lambda image: ImageEnhance.Brightness(image).enhance(1.25), 90),
    "mirrored": (lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT), 90),
    "turned, nearer, brighter": (burst, 90),
}
"""What is made of an image, and the quality of the JPEG in which it is kept."""


def main() -> None:
    """See, copy, see, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--backbone", default="tf_efficientnet_lite2")
    parser.add_argument("--weights", default="hub")
    parser.add_argument("--images", type=int, default=0, help="use this many images, chosen at random; 0: all")
    parser.add_argument("--copied", type=int, default=50, help="images of which copies are made")
    parser.add_argument("--shown", type=int, default=20, help="pairs of images that are printed")
    arguments = parser.parse_args()
    data = open_data(DataRecipe(str(arguments.data / "images"), str(arguments.data / "tags.csv"), validation=0))
    chosen = np.random.default_rng(0).permutation(len(data))
    data = data.take(np.sort(chosen[: arguments.images or None]))
    backbone = Backbone(arguments.backbone, 16, arguments.weights, -1, LEVELS)
    with tempfile.TemporaryDirectory() as place:
        folder, names, made_of = Path(place), list[str](), list[tuple[int, str]]()
        for index in np.random.default_rng(1).permutation(len(data))[: arguments.copied]:
            for kind, (change, quality) in COPIES.items():
                kept = BytesIO()
                change(data.read(int(index))).save(kept, "JPEG", quality=quality)
                names.append(f"{len(names):05}.jpg")
                made_of.append((int(index), kind))
                (folder / names[-1]).write_bytes(kept.getvalue())
        copies = dataclasses.replace(data.take(np.array([index for index, _ in made_of])), root=folder)
        copies = dataclasses.replace(copies, files=tuple(names), ids=tuple(names))
        fabric, run = make_fabric("auto"), RunFolder(folder)
        both = [FrozenFeatures(run, some, backbone, SIDE, 0, fabric) for some in (data, copies)]
        layouts = np.stack([layout(seen[index]) for seen in both for index in range(len(seen.data))])
    _, similarity = nearest(layouts, range(len(data)))
    for kind in COPIES:
        found = similarity[[len(data) + row for row, (_, one) in enumerate(made_of) if one == kind]]
        print(f"{kind}: {(found >= ALIKE).mean():.0%} found, similarity {np.median(found):.2f} in the median")
    own, near = nearest(layouts[: len(data)], range(len(data)))
    pairs = {tuple(sorted((row, int(own[row])))): near[row] for row in range(len(data))}
    print(f"{(near >= ALIKE).sum()} of {len(data)} images have a near copy; the most similar pairs:")
    for one, other in sorted(pairs, key=lambda pair: -pairs[pair])[: arguments.shown]:
        print(f"{pairs[one, other]:.3f}  {data.ids[one]}  {data.ids[other]}")


if __name__ == "__main__":
    main()
