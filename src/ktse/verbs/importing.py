"""Masks from another tool as corrections of a run: all that is wrong is said before anything is written."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ktse.data.edit_layer import EditLayer
from ktse.data.masks import Corrections, open_corrections, same_mask
from ktse.errors import DataError, RunError
from ktse.files import label_type
from ktse.job import Job
from ktse.run_folder import RunFolder
from ktse.runtime.console import say, track
from ktse.runtime.lock import holder, locked
from ktse.runtime.words import many
from ktse.verbs.moved import images_of
from ktse.verbs.review import how_to_learn


def import_into(root: Path, given: Path, *, replace: bool, unchanged: bool) -> Path:
    """Take masks into the corrections of a run; arguments as of ktse.import_masks.

    Raises:
        KtseError: what is wrong, where, and what to do next; nothing was written.
    """
    run = RunFolder.existing(root)
    job = Job(run, run.read_recipe())
    data = images_of(job)
    if (other := holder(run.path(".review"))) is not None:
        raise RunError(f"the page of {root} is open ({other})", hint="End it first: it would not see the new masks.")
    with locked(run.path(".review")):
        edits = EditLayer(run.path("corrections"), data.ids)
        data = edits.tagged(data)
        found = open_corrections(given, data, None if unchanged else lambda name: _own(run, name))
        kind = label_type(len(data.classes))
        if not replace:
            _keep_what_is_there(edits, found, kind)
        found.say()
        for name in track(found.paths, "import", total=len(found)):
            label = found.read(name, kind)
            same = run.mask_path(name).is_file() and same_mask(label, run.mask(name))
            edits.accept(name, label, edits.entry(name).revision, same=same)
    say(f"import: {many(len(found), 'mask')} in {run.path('corrections')}")
    if len(found):
        say(f"next: {how_to_learn(run, job.recipe)}")
    return run.path("corrections")


def _own(run: RunFolder, name: str) -> list[np.ndarray]:
    """What the run may have given away as the mask of an image."""
    kinds = ((run.fused_path, run.fused), (run.mask_path, run.mask))
    return [read(name) for path, read in kinds if path(name).is_file()]


def _keep_what_is_there(edits: EditLayer, found: Corrections, kind: type[np.unsignedinteger]) -> None:
    """Make sure that no mask that a person has drawn here is lost."""
    lost = []
    for name in found.paths:
        there = edits.label(name)
        if there is not None and not same_mask(found.read(name, kind), there):
            lost.append(f"{name}: {'an edit' if edits.entry(name).draft else 'a mask'} of the page is another one")
    if lost:
        text = f"{many(len(lost), 'correction')} would be replaced; nothing was written"
        raise DataError(text, where=lost, hint="To take the new ones, repeat with --replace.")
