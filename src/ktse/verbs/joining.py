"""Helping the process that works on a run: making some of its images, as long as it works."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ktse.checking.extras import require_extras
from ktse.errors import RunError
from ktse.job import Job
from ktse.pipeline import STAGES, stages_of
from ktse.run_folder import RunFolder
from ktse.runtime.claims import Offer, OverError, current_offer, joining, leader, sign_of, terms_of
from ktse.runtime.console import say
from ktse.runtime.device import Device, on_device
from ktse.runtime.environment import versions
from ktse.runtime.heartbeat import Silence, showing_life
from ktse.runtime.limits import machine_limits
from ktse.runtime.lock import Holder
from ktse.runtime.log import recording
from ktse.runtime.processes import world_size
from ktse.runtime.words import many
from ktse.verbs.moved import moved_error, run_again

POLL = 1.0
"""Seconds between looks at what the other process shares."""


def join_run(root: str | Path, device: Device = "auto") -> int:
    """Make images of the stages that another process shares, until that one has ended; returns how many.

    Raises:
        KtseError: nobody works there, or this process would not make what that one makes.
    """
    folder, silence = RunFolder.existing(root), Silence()
    job = Job(folder, folder.read_recipe())
    if error := moved_error(folder, job.recipe):
        raise error
    if world_size() > 1:
        raise RunError("processes of torchrun cannot join a run", hint="Start ktse join as many times as you want.")
    if (other := leader(folder.root, silence)) is None:
        hint = f"Start it, here or elsewhere: {run_again(folder, job.recipe)}"
        raise RunError(f"nobody works in {folder.root}: there is nothing to join", hint=hint)
    made = 0
    with recording(), on_device(device), showing_life(sign_of(folder.root, Holder.of_this())):
        say(f"join: {other}")
        while leader(folder.root, silence) is not None:
            terms, offer = terms_of(folder.root), current_offer(folder.root)
            if terms is not None:
                _refuse_other(terms, folder.root)
            if terms is None or offer is None:  # it has just begun, or shares nothing now
                time.sleep(POLL)
                continue
            if (recipe := folder.read_recipe()) != job.recipe:
                job = Job(folder, recipe)
            _help(job, offer)
            if offer.made:
                made += offer.made
                say(f"join: {offer.part.name}: {many(offer.made, 'image')} made here")
            time.sleep(POLL if offer.is_open else 0.0)  # others have taken over what was claimed here
    return made


def _help(job: Job, offer: Offer) -> None:
    """Make images of an offer until it is over.

    Raises:
        KtseError: they would not be those of the other process.
    """
    stage = STAGES[offer.part.stage]
    if job.key(stage) != offer.part.key:
        # The first stage that differs says why; of those after it, only that something before them does.
        reasons = (job.why_stale(one) for one in stages_of(job.recipe) if job.entry(one))
        text = f"{offer.leader} does {stage.name}, and this process would make something else"
        where = next((found for found in reasons if found), ())
        raise RunError(text, where=where, hint="Settings, images, tags and masks must be the same for both.")
    require_extras(job.recipe, [stage])
    try:
        with joining(offer), machine_limits(stage.costs.lower):
            stage.do(job)
    except OverError:
        return
    except OSError:
        if offer.is_open:
            raise


def _refuse_other(terms: Mapping[str, Any], root: Path) -> None:
    """Make sure that the process that works in a run computes as this one does.

    Raises:
        RunError: it has other versions, or shares with nobody.
    """
    here, there = versions(), terms["versions"]
    others = [
        f"{name} is {here.get(name, 'missing')} here and {there.get(name, 'missing')} there"
        for name in sorted({*here, *there})
        if here.get(name) != there.get(name)
    ]
    if others:
        text = "this process does not have the versions of the one that works in the run"
        raise RunError(text, where=others, hint="Install the same versions in both places.")
    if terms["processes"] > 1:
        text = f"{many(terms['processes'], 'process', 'processes')} of one torchrun work in {root}"
        raise RunError(text, hint="They share the images among themselves. Start torchrun with more processes.")
