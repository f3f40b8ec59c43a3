"""Checking: the data that somebody gives, or those of a run."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ktse.checking.check import Checked, check_images, typical_side
from ktse.checking.in_advance import maps_need, memory_said, seconds_need, smallest_object
from ktse.data.masks import open_truth
from ktse.data.open import open_data
from ktse.data.readers.data_frame import tags_as_file
from ktse.data.remote import refuse_url
from ktse.errors import RunError
from ktse.files import write_json
from ktse.job import Job
from ktse.pipeline import stages_of
from ktse.recipe import Recipe
from ktse.recipe.load import changed, given_data
from ktse.run_folder import RunFolder
from ktse.runtime.device import Device, on_device
from ktse.runtime.log import recording
from ktse.staleness import Extent
from ktse.verbs.moved import moved_error


def check_run(run: RunFolder, masks: str | Path | None, skip_bad: bool, settings: Mapping[str, Any]) -> Checked:
    """Check the data of a run; after classify, rank the tags that are probably wrong, and list near copies.

    What is found after classify is also written to noticed.json, for the review page and the report.

    Args:
        run: the run folder.
        masks: masks to compare with the tags, in place of the run's own.
        skip_bad: images that cannot be read are warnings, not errors.
        settings: changes to the run's recipe.

    Raises:
        KtseError: the data or the masks cannot be used.
    """
    if error := moved_error(run, run.read_recipe()):
        raise error
    recipe = changed(changed(run.read_recipe(), settings), {"data": {"skip_bad": True}} if skip_bad else {})
    job = Job(run, changed(recipe, {"truth": {"masks": str(masks)}} if masks is not None else {}))
    path = job.recipe.truth.masks
    truth = open_truth(Path(path), job.given.images) if path else None
    checked = check_images(job.given.images, truth, skip_bad=job.recipe.data.skip_bad)
    if checked.errors:
        return checked
    if not run.path("classify", "model.safetensors").is_file():
        text = f"check lists tags that are probably wrong, and near copies, after classify: ktse classify {run.root}"
        return dataclasses.replace(checked, warnings=[*checked.warnings, text])
    from ktse.checking.doubtful_tags import doubtful_tags  # loads torch
    from ktse.checking.near_copies import LISTED, near_copies, near_copy_warnings

    data, classify = job.given.images.without(checked.unreadable), job.recipe.classify
    doubtful, judge, warning = doubtful_tags(run, data, classify)
    near = near_copies(run, data, classify, job.recipe.compute, checked.duplicates) if classify.on_features else []
    listed = [pair._asdict() for pair in near[:LISTED]]
    noticed = near_copy_warnings(near, checked.validation)
    with suppress(OSError):  # a run that others own can be checked, too
        write_json(run.path("noticed.json"), {"doubtful": doubtful, "near_copies": listed, "warnings": noticed})
    warnings = [*noticed, *checked.warnings, *([warning] if warning else [])]
    return dataclasses.replace(checked, doubtful=doubtful, doubtful_judge=judge, near_copies=listed, warnings=warnings)


def check_data(
    images: str | Path,
    tags: Any,
    masks: str | Path | None,
    device: Device,
    skip_bad: bool,
    recipe: Recipe,
    settings: Mapping[str, Any],
) -> Checked:
    """Check images and tags, or a run folder; arguments as of ktse.check, and the recipe with its settings.

    Raises:
        KtseError: what is wrong, where, and what to do next.
    """
    refuse_url(masks or "", "true masks")
    if (Path(images) / "recipe.yaml").is_file():
        if tags is not None:
            raise RunError(f"{images} is a run folder, which knows its tags", hint="Leave --tags out.")
        with recording(), on_device(device):
            return check_run(RunFolder(images), masks, skip_bad, settings)
    with tempfile.TemporaryDirectory() as place, tags_as_file(tags, Path(place, "tags.csv")) as table:
        whole = changed(recipe, {"data": given_data(images, table, skip_bad)})
        data = open_data(whole.data)
        truth = open_truth(Path(masks), data) if masks is not None else None
        checked = check_images(data, truth, skip_bad=whole.data.skip_bad)
    training = checked.images - checked.validation
    side = typical_side(checked.sizes)
    extent = Extent(checked.images, training, len(data.classes), checked.pixels, checked.tagged_pixels, side)
    stages = stages_of(whole)
    with on_device(device):
        seconds = round(seconds_need(stages, extent, whole))
        memory, said = memory_said(stages, extent, whole)
    disk, smallest = maps_need(stages, extent, whole), smallest_object(extent, whole)
    checked = dataclasses.replace(checked, disk=disk, seconds=seconds, smallest=smallest)
    return dataclasses.replace(checked, memory=memory, memory_said=said)
