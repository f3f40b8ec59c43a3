"""How well check finds wrong tags: flips tags at random, ranks them all, and counts.

    python benchmarks/wrong_tags.py DATA --weights FILE

DATA holds images/ and tags.csv. The backbone, and with it the ranking, has never seen the tags.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from pathlib import Path

import numpy as np

from ktse.checking.doubtful_tags import find_doubts, image_features, most_doubtful
from ktse.data.open import open_data
from ktse.models.backbone import Backbone
from ktse.recipe import ClassifyRecipe, DataRecipe


def main() -> None:
    """Flip, rank, count, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--weights", default="hub")
    parser.add_argument("--share", type=float, default=0.2, help="share of the tags, present or absent, to flip")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--images", type=int, default=0, help="use this many images, chosen at random; 0: all")
    arguments = parser.parse_args()
    images, tags = (str(arguments.data / name) for name in ("images", "tags.csv"))
    data = open_data(DataRecipe(images, tags, validation=0))
    if arguments.images:
        data = data.take(np.random.default_rng(0).permutation(len(data))[: arguments.images])
    recipe = dataclasses.replace(ClassifyRecipe(), weights=arguments.weights)
    start = time.perf_counter()
    backbone = Backbone(recipe.backbone, recipe.output_stride, recipe.weights)
    features = image_features(backbone, data, recipe)
    print(f"{len(data)} images, {data.tags.size} tags and absent tags; features: {time.perf_counter() - start:.0f} s")
    start = time.perf_counter()
    clean = find_doubts(features, data.tags)
    print(
        f"ranking: {time.perf_counter() - start:.1f} s; called wrong among the tags as given: {(clean >= 1).mean():.1%}"
    )
    for seed in range(arguments.seeds):
        flipped = np.random.default_rng(seed).random(data.tags.shape) < arguments.share
        doubts = find_doubts(features, data.tags ^ flipped)
        count = int(flipped.sum())
        first = most_doubtful(doubts)[:count]
        hits = flipped[first[:, 0], first[:, 1]]
        print(
            f"seed {seed}: {count} flipped; among the first {count}: precision = recall {hits.mean():.1%} "
            f"(chance {flipped.mean():.1%}); called wrong: {(doubts >= 1).sum()}, "
            f"precision {flipped[doubts >= 1].mean():.1%}, recall {flipped[doubts >= 1].sum() / count:.1%}"
        )


if __name__ == "__main__":
    main()
