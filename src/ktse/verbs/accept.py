"""Accepting masks unseen, as far as those that a person has checked allow it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ktse.data.edit_layer import EditLayer
from ktse.errors import RecipeError, RunError
from ktse.job import Job
from ktse.quality.expected import LEAST, SURE, Interval, acceptable, needed
from ktse.quality.rest import Rest, rest_of
from ktse.run_folder import RunFolder
from ktse.runtime.lock import holder, locked
from ktse.runtime.words import many
from ktse.verbs.moved import images_of
from ktse.verbs.review import how_to_review


@dataclass(frozen=True)
class Accepted:
    """What was accepted unseen.

    Attributes:
        accepted: number of masks.
        accepted_iou: their expected mean IoU; None without any.
        left: number of masks that nobody has checked and that were not accepted, kept-out images aside.
        left_iou: their expected mean IoU; None without any.
        checked: number of masks that a person has checked.
        why: what the numbers rest on, or why nothing was accepted.
    """

    accepted: int
    accepted_iou: Interval | None
    left: int
    left_iou: Interval | None
    checked: int
    why: str


def accept_masks(root: Path, risk: float, iou: float) -> Accepted:
    """Mark masks as accepted in the edit layer; arguments as of ktse.accept.

    Raises:
        KtseError: an argument is out of range, the run has no masks, too few were checked, or the page is open.
    """
    wrong = [f"--risk {risk:g}: above 0 and below 1"] if not 0 < risk < 1 else []
    wrong += [f"--iou {iou:g}: above 0, 1 at most"] if not 0 < iou <= 1 else []
    if wrong:
        raise RecipeError("these numbers are out of range", where=wrong, hint="Change them.")
    run = RunFolder.existing(root)
    data = images_of(Job(run, run.read_recipe()))
    if (other := holder(run.path(".review"))) is not None:
        raise RunError(f"the page of {root} is open ({other})", hint="End it first: it would not see what is accepted.")
    with locked(run.path(".review")):
        edits = EditLayer(run.path("corrections"), data.ids, run.key("refine"))
        rest = rest_of(run, edits.tagged(data), edits)
        if len(rest.iou) < max(LEAST, needed(risk)):
            raise _too_few(run, rest, risk)
        limit = acceptable(rest.confidence, rest.iou < iou, risk)
        names = {name for name, value in rest.others.items() if value >= limit and not edits.entry(name).draft}
        edits.trust(names)
    groups = [[value for name, value in rest.others.items() if (name in names) == inside] for inside in (True, False)]
    means = [rest.line.mean(np.array(group)) if group and rest.line else None for group in groups]
    means[1] = means[1] if groups[0] else rest.mean
    return Accepted(len(groups[0]), means[0], len(groups[1]), means[1], rest.checked, _why(rest, risk, iou, limit))


def _too_few(run: RunFolder, rest: Rest, risk: float) -> RunError:
    drawn, least = many(len(rest.iou), "checked mask was", "checked masks were"), max(LEAST, needed(risk))
    page = f"Every second image that the page shows is drawn by chance: {how_to_review(run)}"
    return RunError(
        f"too few masks were checked: {drawn} drawn by chance, and a risk of {risk:g} needs {least} at least",
        hint=f"Accept, correct or reject {least - len(rest.iou)} more of these. {page}",
    )


def _why(rest: Rest, risk: float, iou: float, limit: float) -> str:
    drawn = f"{len(rest.iou)} masks that were drawn by chance and checked"
    if math.isinf(limit):
        first = needed(risk)
        bad = int((rest.iou[np.argsort(-rest.confidence, kind="stable")][:first] < iou).sum())
        return (
            f"Nothing was accepted: of the {first} most confident of {drawn}, {bad} {'is' if bad == 1 else 'are'} bad "
            f"(IoU below {iou:g}), which is too many to promise a risk of {risk:g}. "
            "Check more masks, allow a higher --risk, or a lower --iou."
        )
    promise = f"at most {risk:.0%} of the accepted masks are expected to have an IoU below {iou:g}"
    place = f"confidence from {limit:.2f} on; from {drawn}"
    return f"It is {SURE:.0%} sure that {promise} ({place}). Nothing learns from masks accepted in this way."
