"""Which network the seeds come from: the trained one, or the plain CAM that it was at the end of the warm-up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from PIL import Image

from ktse.data.dataset import TaggedImages
from ktse.errors import RunError
from ktse.files import read_json, write_json
from ktse.models.cam_head import CamNetwork
from ktse.recipe import RefineRecipe, SeedRecipe
from ktse.refinement.comparison import compare
from ktse.refinement.threshold import colour_regions, explained_share
from ktse.run_folder import RunFolder
from ktse.runtime.console import say, track
from ktse.runtime.processes import rank, wait_for_all
from ktse.stages.classify import load_network, load_warmup
from ktse.stages.refiners import soft_refiner

COMPARED = 64
"""Images on which the two networks are compared."""

Cams = Callable[[CamNetwork, Image.Image, np.ndarray, SeedRecipe, Fabric], tuple[np.ndarray, np.ndarray]]
"""Network, image, tagged classes, settings and device to CAMs (K, h, w) and class scores."""


def choose_network(run: RunFolder, data: TaggedImages, recipe: SeedRecipe, fabric: Fabric, cams: Cams) -> CamNetwork:
    """The network that the recipe names; writes seeds/source.json, which says how the two compare.

    Raises:
        RunError: the end of the warm-up is wanted, but there was none, or nothing came after it.
    """
    path = run.path("seeds", "source.json")
    warm = load_warmup(run)
    if recipe.source == "warmup" and warm is None:
        raise RunError(
            "seed.source is warmup, but training had no warm-up, or nothing after it",
            hint="Give --seed.source final.",
        )
    if rank() == 0 and not path.is_file():
        write_json(path, _decide(run, data, recipe, fabric, cams, warm))
    wait_for_all()
    return warm if warm is not None and read_json(path)["used"] == "warmup" else load_network(run)


def _decide(
    run: RunFolder, data: TaggedImages, recipe: SeedRecipe, fabric: Fabric, cams: Cams, warm: CamNetwork | None
) -> dict[str, Any]:
    tagged = np.flatnonzero(data.tags.any(axis=1))
    if warm is None or len(tagged) < 2:
        return {"used": "final", "better": None, "warnings": []}
    sample = np.sort(np.random.default_rng(0).permutation(tagged)[:COMPARED])
    curves = []
    for name, network in (("warm-up", warm), ("final", load_network(run))):
        placed = network.to(fabric.device).to(memory_format=torch.channels_last)
        shown = track(sample, f"compare ({name})", total=len(sample))
        curves.append(np.stack([_explained(data, int(index), placed, recipe, fabric, cams) for index in shown]))
    compared = compare(curves[0], curves[1])
    better = {"first": "warmup", "second": "final", "unclear": "unclear"}[compared.better]
    used = recipe.source if recipe.source != "auto" else "warmup" if better == "warmup" else "final"
    numbers = asdict(compared)
    names = {"warmup": numbers["first"], "final": numbers["second"]}
    result = {"used": used, "better": better, **names, **{key: numbers[key] for key in ("low", "high", "images")}}
    say(f"seed: {_words(result)}")
    return {**result, "warnings": [_words(result)] if better == "warmup" and used == "final" else []}


def _explained(
    data: TaggedImages, index: int, network: CamNetwork, recipe: SeedRecipe, fabric: Fabric, cams: Cams
) -> np.ndarray:
    """How well colours explain the masks that an image's CAMs make after PAR, at every threshold."""
    image = data.read(index)
    cam, _ = cams(network, image, np.flatnonzero(data.tags[index]), recipe, fabric)
    scores = soft_refiner(RefineRecipe(), fabric, None)(image, torch.from_numpy(cam.astype(np.float32))).cpu().numpy()
    small = np.array(image.resize(scores.shape[:0:-1], Image.Resampling.BOX))
    return explained_share(colour_regions(small), scores)


def _words(found: dict[str, Any]) -> str:
    start = f"on {found['images']} images, the masks of the trained network"
    difference = found["final"] / found["warmup"] - 1 if found["warmup"] > 0 else 0.0
    than = f"than those of the end of its warm-up ({difference:+.1%} of them explained)"
    match found["better"]:
        case "warmup":
            text = f"{start} follow the colours of the images less {than}: KTSE's terms may do harm here"
            return f"{text}. Compare with --seed.source warmup." if found["used"] == "final" else text
        case "final":
            return f"{start} follow the colours of the images better {than}"
    return f"{start} follow the colours of the images neither better nor worse {than}"
