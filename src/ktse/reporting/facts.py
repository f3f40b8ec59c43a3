"""What a run folder says, gathered once for the page and the model card."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Any

import numpy as np

from ktse.data.dataset import TaggedImages
from ktse.data.masks import Truth
from ktse.quality.rest import rest_in_words
from ktse.quality.verdict import Level, Verdict
from ktse.recipe import Recipe
from ktse.reporting import judgement, scores
from ktse.reporting.wording import clip, some_of
from ktse.run_folder import RunFolder
from ktse.runtime.words import many
from ktse.stages.other_masks import Compared, compared, other_path

MOST_NOTES = 40
"""Warnings that are shown; of more, the number."""

LONGEST_NOTE = 600
"""Characters of a warning that are shown."""


@dataclass(frozen=True)
class Facts:
    """What page and card share; everything but the recipe may be missing from the run.

    Attributes:
        run, data, truth: the run, its images and tags, and the true masks, if there are any.
        recipe: its settings.
        manifest: what each stage did, in the order in which stages run; without the report itself.
        evaluation: evaluation.json.
        masks: masks/summary.json.
        other: by class, how the masks of another method compare with those of the run; empty without such masks.
        model: segment/summary.json.
        verdict: None if the run was not judged yet.
        rest: how good the masks probably are that nobody has checked, in words; empty if nobody has checked any.
        notes: warnings of all stages, each once, without those that are signs of the verdict.
    """

    run: RunFolder
    data: TaggedImages
    truth: Truth | None
    recipe: Recipe
    manifest: dict[str, dict[str, Any]]
    evaluation: dict[str, Any]
    masks: dict[str, Any]
    other: dict[str, Compared]
    model: dict[str, Any]
    verdict: Verdict | None
    rest: str
    notes: list[str]

    @property
    def name(self) -> str:
        """Name of the run."""
        return clip(self.run.root.resolve().name)

    @property
    def root(self) -> str:
        """The run folder, as it is written in a command."""
        return shlex.quote(str(self.run.root))

    @property
    def masks_usable(self) -> bool:
        """Whether nothing says that the masks must not be used."""
        return self.verdict is None or self.verdict.masks != "do-not-use"

    @property
    def model_usable(self) -> bool:
        """Whether nothing says that the segmentation model must not be used."""
        return self.verdict is None or self.verdict.model != "do-not-use"

    @property
    def has_truth(self) -> np.ndarray:
        """(N,) bool, images with a true mask."""
        known = self.truth.paths if self.truth is not None else {}
        return np.array([name in known for name in self.data.ids], dtype=bool)

    @property
    def has_other(self) -> np.ndarray:
        """(N,) bool, images with a mask by another method."""
        return np.array(
            [bool(self.other) and other_path(self.run, name).is_file() for name in self.data.ids], dtype=bool
        )

    @property
    def taken(self) -> str:
        """The classes that the masks take from another method, in words; empty if there are none."""
        return some_of([clip(name) for name, found in self.other.items() if found.taken])

    @property
    def true_masks(self) -> str:
        """How many images have a true mask, in words."""
        return f"true masks: {self.has_truth.sum():,} of {many(len(self.data), 'image')}"

    @property
    def levels(self) -> dict[str, Level]:
        """The verdict on each class; empty if the run was not judged yet."""
        return self.verdict.classes if self.verdict else {}

    @property
    def judgement(self) -> judgement.Judgement:
        """The verdict, ready to be shown."""
        return judgement.show(self.verdict, self.root)

    @property
    def kept_out(self) -> bool:
        """Whether images kept out of training were measured."""
        return any(row.split("validation") is not None for row in self.stages)

    @property
    def stages(self) -> list[scores.StageScore]:
        """The measured stages, in order."""
        return scores.stages(self.evaluation)

    @property
    def versions(self) -> dict[str, list[str]]:
        """Versions by package; more than one where stages ran with different ones."""
        versions: dict[str, dict[str, None]] = {}
        for entry in self.manifest.values():
            for package, version in (entry.get("versions") or {}).items():
                versions.setdefault(package, {})[version] = None
        return {package: list(found) for package, found in versions.items()}


def gather(run: RunFolder, data: TaggedImages, truth: Truth | None) -> Facts:
    """Read what page and card share.

    Args:
        run: the run folder; every file in it but recipe.yaml may be missing.
        data: images and tags.
        truth: true masks, or None. They are only shown; the measures come from evaluation.json.

    Raises:
        RunError: a file of the run is damaged.
    """
    manifest = {stage: entry for stage, entry in run.manifest().items() if stage != "report"}
    check, evaluation, masks, model = run.checked(), run.evaluation(), run.summary("masks"), run.summary("segment")
    verdict = judgement.read(run)
    signs = {sign.text.rstrip(".") for sign in verdict.signs} if verdict else set()
    failed = {stage: entry.get("message") for stage, entry in manifest.items() if entry.get("state") == "failed"}
    found = [f"The stage {stage} failed: {message or 'no reason is known'}" for stage, message in failed.items()]
    found += [note for part in (run.noticed(), check, masks, model, evaluation) for note in part.get("warnings") or ()]
    found += scores.notes(evaluation)
    notes = [clip(note, LONGEST_NOTE) for note in dict.fromkeys(found) if note.rstrip(".") not in signs]
    if len(notes) > MOST_NOTES:
        more = many(len(notes) - MOST_NOTES, "more warning is", "more warnings are")
        notes[MOST_NOTES:] = [f"{more} in check.json, noticed.json and evaluation.json"]
    rest = rest_in_words(run, data)
    other = compared(run)
    return Facts(run, data, truth, run.read_recipe(), manifest, evaluation, masks, other, model, verdict, rest, notes)
