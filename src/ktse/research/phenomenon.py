"""The verb phenomenon: whether stitching a second image of the same class weakens the anchor's CAM, as SIE claims."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ktse.errors import DataError, RecipeError, RunError
from ktse.files import write_json, write_text
from ktse.job import Job
from ktse.pipeline import CHECK, CLASSIFY
from ktse.research.changes import CONDITIONS, relative_changes, summarise
from ktse.research.phenomenon_figure import picture
from ktse.run_folder import RunFolder
from ktse.runtime.console import say
from ktse.runtime.device import Device, on_device
from ktse.runtime.lock import locked
from ktse.runtime.log import recording


def phenomenon(run: str | Path, *, out: str | Path | None = None, images: int = 500, device: Device = "auto") -> Path:
    """Measure how much the CAM of an image weakens once a second image is stitched to it, as SIE claims.

    Every network that classify has kept is measured: the end of the warm-up, the last one, and those of
    classify.keep_every. No true masks are needed.

    Args:
        run: run folder, after classify.
        out: folder of the results; without it, phenomenon in the run folder.
        images: how many anchor images are drawn at most.
        device: what computes: auto (a GPU if there is one), cpu, cuda or mps.

    Returns:
        phenomenon.json; phenomenon.svg and phenomenon.png are beside it.

    Raises:
        KtseError: there is no trained network, or no two images have a class in common.
    """
    if images < 1:
        raise RecipeError(f"images is {images}, but must be 1 or more")
    folder = RunFolder.existing(run)
    place = Path(out) if out is not None else folder.path("phenomenon")
    with recording() as log, on_device(device), locked(folder.root):
        log.keep(folder.path("log.txt"))
        return _measure_all(folder, place, images)


def _measure_all(folder: RunFolder, place: Path, images: int) -> Path:
    from ktse.research.couples import AREA_ABOVE, Stitcher, choose_couples, kept_network, kept_networks, measure
    from ktse.research.phenomenon_pictures import write_pictures
    from ktse.runtime.fabric import make_fabric

    job = Job(folder, folder.read_recipe())
    job.look_again([CHECK])
    if job.state(CLASSIFY) != "done":
        raise RunError(f"{folder.root} has no trained network", hint=f"Do it first: ktse classify {folder.root}")
    recipe, data = job.recipe.classify, job.data
    couples = choose_couples(data, images, job.recipe.compute.random_seed)
    if not couples:
        raise DataError("no two training images have a class in common", hint="Check the tags: ktse check.")
    fabric = make_fabric(job.recipe.compute.precision)
    keys = np.array([couple.key for couple in couples])
    entries = []
    for name, epoch in kept_networks(folder, recipe.epochs):
        stitcher = Stitcher(kept_network(folder, name).to(fabric.device), data, recipe, fabric)
        found = measure(stitcher, couples, f"phenomenon, epoch {epoch}")
        entries.append({"network": name, "epoch": epoch, **summarise(found, keys, data.classes)})
        changes = relative_changes(found.mean, keys)[:, 0]
    warmup = next((entry["epoch"] for entry in entries if entry["network"] == "warmup.safetensors"), None)
    result = {"unit": "percent", "anchors": len(couples), "axis": stitcher.axis, "size": recipe.crop}
    result |= {"area_above": AREA_ABOVE, "conditions": CONDITIONS, "networks": entries}
    write_json(place / "phenomenon.json", result)
    write_text(place / "phenomenon.svg", picture(entries, warmup))
    write_pictures(place / "phenomenon.png", stitcher, couples, changes)
    for condition, entry in entries[-1]["conditions"].items():
        say(f"phenomenon: stitched to {CONDITIONS[condition]}: {_text(entry['activation'])} activation")
    for condition, entry in entries[-1]["same_minus"].items():
        say(f"phenomenon: the same class minus {CONDITIONS[condition]}: {_text(entry)}")
    return place / "phenomenon.json"


def _text(entry: dict[str, Any]) -> str:
    if entry["change"] is None:
        return "unknown"
    error = "" if entry["error"] is None else f" ± {entry['error']:.1f}"
    return f"{entry['change']:+.1f}{error} %"
