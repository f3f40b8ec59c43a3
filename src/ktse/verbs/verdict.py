"""The verdict on a run in the messages of a verb, where results are made or used."""

from __future__ import annotations

import shlex
from typing import Literal

from ktse.quality.verdict import Verdict, read_verdict
from ktse.run_folder import RunFolder
from ktse.runtime.console import say
from ktse.verbs.review import how_to_review

SIGNS = 3
"""Signs that are shown; the report has all."""


def say_verdict(run: RunFolder, what: Literal["model", "masks"]) -> None:
    """Say whether the model or the masks of a run should be used, where they are used, and the worst signs if not."""
    verdict = read_verdict(run)
    _say_verdict(
        run, verdict.of_masks if verdict and what == "masks" else verdict, f"{run.root}: verdict on the {what}"
    )


def say_end(run: RunFolder) -> None:
    """At the end of a whole run: the verdict on it, its worst signs, and what comes next."""
    verdict = read_verdict(run)
    _say_verdict(run, verdict, "verdict")
    bad = verdict is not None and verdict.model == "do-not-use"
    then = "" if bad else f"; then ktse predict {shlex.quote(str(run.root))} IMAGES --out DIR"
    say(f"next: look at {run.path('report.html')}{then}")
    say(f"to correct masks: {how_to_review(run)}")


def _say_verdict(run: RunFolder, verdict: Verdict | None, start: str) -> None:
    if verdict is None:
        say(f"{start}: these results were not judged yet: ktse evaluate {run.root}")
        return
    say(f"{start}: {verdict.sentence}")
    for sign in verdict.signs[:SIGNS]:
        say(f"  - {sign.about + ': ' if sign.about else ''}{sign.text} Next: {sign.next}")
    if len(verdict.signs) > SIGNS:
        say(f"  - ... and {len(verdict.signs) - SIGNS} more: ktse status {run.root}")
