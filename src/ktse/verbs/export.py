"""Exporting a run: what must hold before its results leave it, and which of them go."""

from __future__ import annotations

from pathlib import Path

from ktse.exporting.export import Wishes, check_place, export_file, export_model, writing
from ktse.exporting.masks import export_masks
from ktse.job import Job
from ktse.pipeline import CHECK, PREDICT, REFINE, STAGES
from ktse.recipe import PredictRecipe
from ktse.run_folder import RunFolder
from ktse.runtime.console import say
from ktse.verbs.moved import images_of
from ktse.verbs.sound import require_sound
from ktse.verbs.verdict import say_verdict


def export_run(run: Path, form: str, place: Path | None, wishes: Wishes) -> Path:
    """Write the model or the masks of a run; arguments as of ktse.export.

    Raises:
        KtseError: what is wrong, where, and what to do next.
    """
    wishes.check(form)
    if place is not None:
        check_place(place, form)
    if form == "onnx" and run.suffix == ".safetensors":
        say(f"{run}: exported with the default predict settings, as a file alone has none; a run folder has its own")
        return export_file(run, PredictRecipe(), place or run.with_suffix(".onnx"), int8=wishes.int8)
    folder = RunFolder.existing(run)
    job = Job(folder, folder.read_recipe())
    if form == "onnx":
        require_sound(folder, job.recipe, STAGES[job.recipe.segment.made_by])
        say_verdict(folder, "model")
        where = place or folder.path("export", "model.onnx")
        return export_model(folder, lambda: job.data, job.recipe, where, wishes.int8)
    data = images_of(job)
    job.look_again([CHECK])
    require_sound(folder, job.recipe, REFINE)
    say_verdict(folder, "masks")
    fused = bool(job.recipe.predict.fuse) and job.state(PREDICT) == "done"
    where = place or folder.path("export", form)
    check_place(where, form)
    with writing(where):
        return export_masks(folder, data, form, where, fused, wishes.simplify, wishes.prefix)
