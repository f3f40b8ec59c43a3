"""Estimate the disk that a run on VOC or COCO takes, without the data: python benchmarks/disk.py."""

from __future__ import annotations

from ktse.checking.in_advance import disk_need, maps_need
from ktse.pipeline import stages_of
from ktse.recipe.load import load_recipe
from ktse.runtime.console import in_words
from ktse.staleness import Extent

# Name, recipe, images for training, images for validation, classes, pixels of an image, tags of an image.
SETS = (
    ("VOC, train_aug and val", "voc12-official", 10_582, 1_449, 20, 500 * 375, 1.5),
    ("COCO, train2014", "coco14-official", 82_783, 0, 80, 640 * 480, 2.9),
    ("COCO, train2014 and val2014", "coco14-official", 82_783, 40_504, 80, 640 * 480, 2.9),
)


def main() -> None:
    """Print one row of the table in docs/reproduction.md for each data set."""
    print("| data | recipe | seeds | masks and scores | other maps | networks and logs | sum |")
    print("|---|---|---|---|---|---|---|")
    for title, name, training, validation, classes, pixels, tags in SETS:
        images, recipe = training + validation, load_recipe(name)
        extent, stages = (
            Extent(images, training, classes, images * pixels, round(images * pixels * tags)),
            stages_of(recipe),
        )
        maps, total = maps_need(stages, extent, recipe), disk_need(stages, extent, recipe)
        networks = total - sum(maps.values())
        seeds, masks = maps.pop("seeds"), maps.pop("masks")
        cells = (seeds, masks, sum(maps.values()), networks, total)
        print(f"| {title} | `{name}` | {' | '.join(map(in_words, cells))} |")


if __name__ == "__main__":
    main()
