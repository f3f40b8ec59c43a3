"""The only training loop: precision, learning rate, many devices, checkpoints, exact resume (Lightning Fabric)."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

import torch
from lightning_fabric import Fabric
from torch import Tensor

from ktse.artefacts import CHECKPOINT
from ktse.errors import CollapseError
from ktse.files import append
from ktse.models.weights import load_tensors, require_finite
from ktse.runtime.console import say, time_left, track
from ktse.training.batches import epoch_batches, share_of
from ktse.training.checkpoint import Checkpoints, go_back, over_all_devices
from ktse.training.task import State, Task

CHECKPOINT_SECONDS = 120.0

WATCH_STEPS = 100
"""Steps after which the task looks whether training is still sound, as an epoch over much data is too late for that."""


def fit(
    task: Task,
    groups: list[dict[str, Any]],
    fabric: Fabric,
    folder: Path,
    *,
    random_seed: int,
    clip: float = 0.0,
    label: str = "train",
    rule: Literal["sgd", "adamw"] = "sgd",
    start: str = "",
    key: str = "",
) -> State:
    """Train until the task's plan ends; continue from `folder/checkpoint.safetensors` if there is one.

    Writes `folder/metrics.jsonl` and checkpoints, at every epoch's end, every two minutes, and when interrupted.

    Args:
        task: what is trained.
        groups: parameter groups with "base_lr".
        fabric: device and precision.
        folder: where log and checkpoint go.
        random_seed: of order and dropout.
        clip: largest norm of the gradient; 0: no limit.
        label: words before the progress bar.
        rule: how weights follow gradients: SGD, or AdamW, whose weight decay is decoupled and which ignores momentum.
        start: name under which a checkpoint from before the first step is kept, or empty.
        key: what the training is made from, for its checkpoints.

    Raises:
        CollapseError: the loss or a weight is no number, or the task says so.
    """
    torch.manual_seed(random_seed)
    optimizer: Any = torch.optim.AdamW(groups) if rule == "adamw" else torch.optim.SGD(groups, momentum=0.9)
    folder.mkdir(parents=True, exist_ok=True)
    task.module.to(memory_format=torch.channels_last)
    module, optimizer = fabric.setup(task.module, optimizer)
    kept = Checkpoints(folder, task.module, optimizer, fabric, key)
    state, log, saved = kept.begin(start), kept.log, time.monotonic()
    with _stop_between_steps() as stop:
        while (plan := task.plan(state)) is not None:
            module.train()
            every = epoch_batches(task.images(), plan.batch_size, random_seed, state.epoch)
            mine = share_of(every, fabric.global_rank, fabric.world_size)[state.step :]
            title = f"{label} epoch {state.epoch + 1} of {plan.epochs}"
            turn = (state.epoch, max(plan.epochs, state.epoch + 1))
            for batch in track(plan.loader(mine), title, total=len(every), done=state.step, turn=turn):
                progress = state.step / len(every)
                weights, factor = plan.weights(progress), plan.lr(progress)
                for group in optimizer.param_groups:
                    group |= {"lr": group["base_lr"] * factor, "momentum": plan.momentum}
                optimizer.zero_grad(set_to_none=True)  # before the losses: some take their gradient at once
                terms = task.losses(module, fabric.to_device(batch), weights, state)
                where = f"epoch {state.epoch + 1}, step {state.step + 1}"
                total = _total(terms, weights, fabric, where, (task.name(index) for index in every[state.step]))
                entry = _step(total, terms, module, optimizer, fabric, clip)
                state.step += 1
                place = {"epoch": round(state.epoch + progress, 4), "step": state.step, "phase": plan.phase}
                _log(log, {**place, **entry}, state, fabric)
                if state.step % WATCH_STEPS == 0:
                    task.watch(over_all_devices(state, fabric))
                stopped, due = _anywhere(fabric, stop.is_set(), time.monotonic() - saved > CHECKPOINT_SECONDS)
                if stopped or due:
                    kept.save(state)
                    saved = time.monotonic()
                if stopped:
                    raise KeyboardInterrupt
            state.epoch, state.step = state.epoch + 1, 0
            state = over_all_devices(state, fabric)
            require_finite(task.module.state_dict())
            task.watch(state)
            end = task.end_epoch(state)
            if end.remark:
                say(f"{label}: {end.remark}{time_left()}")
                _log(log, {"epoch": state.epoch, "event": end.remark}, state, fabric)
            state.totals = {}
            kept.save(state, end.keep)
            saved = time.monotonic()
    return state


@contextmanager
def _stop_between_steps() -> Iterator[threading.Event]:
    """Turn an interruption into a wish that is granted after the step, so that a checkpoint is never half a step.

    A second interruption ends the process at once.
    """
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    former = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def wish(*_: object) -> None:
        stop.set()
        for number, handler in former.items():
            signal.signal(number, handler)

    for number in former:
        signal.signal(number, wish)
    try:
        yield stop
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


class GoingBack(NamedTuple):
    """What becomes of a training that has collapsed.

    Attributes:
        retries: how often it may go back.
        kept: name of the checkpoint in the folder; before there is one, a collapse is final.
        text: how the log says where training goes back to.
    """

    retries: int
    kept: str
    text: str


def fit_with_retries(
    task: Task, groups: list[dict[str, Any]], fabric: Fabric, folder: Path, back: GoingBack, *, label: str, **how: Any
) -> int:
    """Train; a collapse sends training back to a kept checkpoint, each time with a quarter of the learning rate.

    The factor is in the task's memory as `lr_scale`. An interrupted training remembers how often it went back.

    Args:
        task: what is trained.
        groups: parameter groups with "base_lr".
        fabric: device and precision.
        folder: where log and checkpoints go.
        back: where a collapse sends training back to, and how often.
        label: words before the progress bar.
        how: everything else of `fit`.

    Returns:
        how often it went back, now or before an interruption.

    Raises:
        CollapseError: the last retry collapsed too.
    """
    checkpoint = folder / CHECKPOINT
    memory = load_tensors(checkpoint)[1]["state"]["memory"] if checkpoint.is_file() else {}
    repeated = int(memory.get("repeated", 0))
    while True:
        try:
            fit(task, groups, fabric, folder, label=label, **how)
            return repeated
        except CollapseError as error:
            if repeated >= back.retries or not (folder / back.kept).is_file():
                raise
            repeated += 1
            text = f"{error.what}; {back.text} with the learning rate times {0.25**repeated:g}"
            say(f"{label}: {text}")
            go_back(folder / back.kept, folder, {"lr_scale": 0.25**repeated, "repeated": repeated}, text, fabric)


def _total(
    terms: Mapping[str, Tensor], weights: Mapping[str, float], fabric: Fabric, where: str, images: Iterable[str]
) -> Tensor:
    """The weighted sum of the terms, a number on every device."""
    total = torch.stack([weights[name] * value for name, value in terms.items()]).sum()
    if not any(_anywhere(fabric, not total.isfinite())):
        return total
    values = [f"{name}: {value.item():.3g}" for name, value in terms.items()]
    raise CollapseError(
        f"the loss is no longer a number in {where}",
        where=[*values, f"images: {', '.join(dict.fromkeys(images))}"],
        hint="Lower the learning rate (lr), or set clip, the largest norm of the gradient.",
    )


def _step(
    total: Tensor, terms: Mapping[str, Tensor], module: Any, optimizer: Any, fabric: Fabric, clip: float
) -> dict[str, Any]:
    fabric.backward(total)
    if clip > 0:
        fabric.clip_gradients(module, optimizer, max_norm=clip)
    optimizer.step()
    rounded = {name: round(value.item(), 6) for name, value in terms.items()}
    return {"lr": optimizer.param_groups[0]["lr"], "total": round(total.item(), 6), "terms": rounded}


def _anywhere(fabric: Fabric, *wishes: object) -> list[bool]:
    """Whether each of these holds on any device: if one alone gave up, the others would wait for it for ever."""
    values = [bool(wish) for wish in wishes]
    if fabric.world_size == 1:
        return values
    numbers = torch.tensor([float(value) for value in values])
    return [value > 0 for value in cast(Tensor, fabric.all_reduce(numbers, reduce_op="sum")).tolist()]


def _log(log: Path, entry: dict[str, Any], state: State, fabric: Fabric) -> None:
    if fabric.global_rank == 0:
        append(log, json.dumps(entry) + "\n")
    state.lines += 1
