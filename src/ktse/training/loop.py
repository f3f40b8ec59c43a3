"""The only training loop: precision, learning rate, many devices, checkpoints, exact resume (Lightning Fabric)."""

from __future__ import annotations

import dataclasses
import json
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, cast

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.utils.data import DataLoader

from ktse.errors import CollapseError
from ktse.models.weights import load_tensors, require_finite, save_tensors
from ktse.runtime.console import say, time_left, track
from ktse.training.batches import epoch_batches, share_of

CHECKPOINT_SECONDS = 120.0

POWER = 0.9
"""Published exponent of the learning rate's decay."""

WATCH_STEPS = 100
"""Steps after which the task looks whether training is still sound, as an epoch over much data is too late for that."""


@dataclass(frozen=True)
class EpochPlan:
    """How one epoch is trained.

    Attributes:
        phase: name of the phase, for the log.
        batch_size: images in a batch, over all devices together.
        weights: weight of each loss term by name, given the progress 0..1 within the epoch.
        lr: factor on every group's learning rate, given the progress 0..1 within the epoch.
        momentum: SGD momentum.
        loader: makes the loader of the epoch, given the images of each batch.
        epochs: how many epochs there will be in all, for the user.
    """

    phase: str
    batch_size: int
    weights: Callable[[float], Mapping[str, float]]
    lr: Callable[[float], float]
    momentum: float
    loader: Callable[[list[list[int]]], DataLoader[Any]]
    epochs: int = 1


@dataclass
class State:
    """Where training stands; everything that a resume needs besides tensors.

    Attributes:
        epoch: epochs finished.
        step: batches finished within the epoch.
        lines: lines of the log written so far.
        totals: sums over the current epoch that the task keeps.
        memory: what the task remembers over epochs (JSON values).
    """

    epoch: int = 0
    step: int = 0
    lines: int = 0
    totals: dict[str, float] = field(default_factory=dict)
    memory: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class EpochEnd:
    """What to do after an epoch.

    Attributes:
        remark: line for the log and the user, or empty.
        keep: name under which this epoch's checkpoint is kept as well, or empty.
    """

    remark: str = ""
    keep: str = ""


class Task(Protocol):
    """What is trained: network, data, losses, and the plan of each epoch."""

    module: nn.Module

    def plan(self, state: State) -> EpochPlan | None:
        """The next epoch, or None when training has ended."""

    def images(self) -> list[int]:
        """Indices of the images to train on."""

    def losses(self, module: nn.Module, batch: Any, weights: Mapping[str, float], state: State) -> dict[str, Tensor]:
        """Unweighted loss terms by name; may add to state.totals."""

    def watch(self, state: State) -> None:
        """Now and then within an epoch and at its end: raise CollapseError if training is no longer sound."""

    def end_epoch(self, state: State) -> EpochEnd:
        """After an epoch: judge it and remember in state.memory."""


def parameter_groups(
    backbone: nn.Module, head: nn.Module, lr: float, head_lr: float, weight_decay: float
) -> list[dict[str, Any]]:
    """Four groups: backbone and head, each with (matrices) and without (biases, batch norm) weight decay."""
    groups = []
    for module, rate in ((backbone, lr), (head, lr * head_lr)):
        trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
        matrices = [parameter for parameter in trained if parameter.dim() > 1]
        vectors = [parameter for parameter in trained if parameter.dim() <= 1]
        groups.append({"params": matrices, "lr": rate, "weight_decay": weight_decay})
        groups.append({"params": vectors, "lr": rate, "weight_decay": 0.0})
    return [{**group, "base_lr": group["lr"]} for group in groups if group["params"]]


def poly(progress: float) -> float:
    """Polynomial decay from 1 to 0: (1 - progress) ** POWER, progress clipped to 0..1."""
    return float((1 - min(1.0, max(0.0, progress))) ** POWER)


def fit(
    task: Task,
    groups: list[dict[str, Any]],
    fabric: Fabric,
    folder: Path,
    *,
    seed: int,
    clip: float = 0.0,
    label: str = "train",
    rule: Literal["sgd", "adamw"] = "sgd",
    start: str = "",
) -> State:
    """Train until the task's plan ends; continue from `folder/checkpoint.safetensors` if there is one.

    Writes `folder/metrics.jsonl` and checkpoints, at every epoch's end, every two minutes, and when interrupted.

    Args:
        task: what is trained.
        groups: parameter groups with "base_lr".
        fabric: device and precision.
        folder: where log and checkpoint go.
        seed: seed of order and dropout.
        clip: largest norm of the gradient; 0: no limit.
        label: words before the progress bar.
        rule: how weights follow gradients: SGD, or AdamW, whose weight decay is decoupled and which ignores momentum.
        start: name under which a checkpoint from before the first step is kept, or empty.

    Raises:
        CollapseError: the loss or a weight is no number, or the task says so.
    """
    torch.manual_seed(seed)
    lr = groups[0]["lr"]
    optimizer: torch.optim.Optimizer = (
        torch.optim.AdamW(groups, lr=lr) if rule == "adamw" else torch.optim.SGD(groups, lr=lr, momentum=0.9)
    )
    state = State()
    path, log = folder / "checkpoint.safetensors", folder / "metrics.jsonl"
    folder.mkdir(parents=True, exist_ok=True)
    task.module.to(memory_format=torch.channels_last)
    module, optimizer = fabric.setup(task.module, optimizer)
    if path.is_file():
        state = _load(path, task.module, optimizer, fabric)
    elif start:
        for name in (folder / start, path):  # before the first step
            _save(name, task.module, optimizer, state, fabric)
    if fabric.global_rank == 0:
        _truncate(log, state.lines)
    saved = time.monotonic()
    with _stop_between_steps() as stop:
        while (plan := task.plan(state)) is not None:
            module.train()
            every = epoch_batches(task.images(), plan.batch_size, seed, state.epoch)
            mine = share_of(every, fabric.global_rank, fabric.world_size)[state.step :]
            title = f"{label} epoch {state.epoch + 1} of {plan.epochs}"
            turn = (state.epoch, max(plan.epochs, state.epoch + 1))
            for batch in track(plan.loader(mine), title, total=len(every), done=state.step, turn=turn):
                progress = state.step / len(every)
                entry = _step(task, module, optimizer, fabric, batch, plan, progress, clip, state)
                state.step += 1
                place = {"epoch": round(state.epoch + progress, 4), "step": state.step, "phase": plan.phase}
                _log(log, {**place, **entry}, state, fabric)
                if state.step % WATCH_STEPS == 0:
                    task.watch(_over_all_devices(state, fabric))
                if stop.is_set() or time.monotonic() - saved > CHECKPOINT_SECONDS:
                    _save(path, task.module, optimizer, state, fabric)
                    saved = time.monotonic()
                if stop.is_set():
                    raise KeyboardInterrupt
            state.epoch, state.step = state.epoch + 1, 0
            state = _over_all_devices(state, fabric)
            require_finite(task.module.state_dict())
            task.watch(state)
            end = task.end_epoch(state)
            if end.remark:
                say(f"{label}: {end.remark}{time_left()}")
                _log(log, {"epoch": state.epoch, "event": end.remark}, state, fabric)
            state.totals = {}
            _save(path, task.module, optimizer, state, fabric)
            if end.keep:
                _save(folder / end.keep, task.module, optimizer, state, fabric)
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


def go_back(kept: Path, folder: Path, memory: Mapping[str, Any], text: str, fabric: Fabric) -> None:
    """Make a kept checkpoint the one that training goes on from, with changes to the task's memory.

    The log keeps what is given up: it is what a too large step looks like.
    """
    if fabric.global_rank == 0:
        tensors, header = load_tensors(kept)
        header["state"]["memory"] |= memory
        log = folder / "metrics.jsonl"
        with log.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"epoch": header["state"]["epoch"], "event": text}) + "\n")
        header["state"]["lines"] = len(log.read_text(encoding="utf-8").splitlines())
        save_tensors(folder / "checkpoint.safetensors", tensors, header)
    fabric.barrier()


def fit_with_retries(
    task: Task,
    groups: list[dict[str, Any]],
    fabric: Fabric,
    folder: Path,
    *,
    retries: int,
    kept: str,
    back: str,
    label: str,
    **how: Any,
) -> int:
    """Train; a collapse sends training back to a kept checkpoint, each time with a quarter of the learning rate.

    The factor is in the task's memory as `lr_scale`. An interrupted training remembers how often it went back.

    Args:
        task: what is trained.
        groups: parameter groups with "base_lr".
        fabric: device and precision.
        folder: where log and checkpoints go.
        retries: how often it may go back.
        kept: name of the checkpoint in the folder; before there is one, a collapse is final.
        back: how the log says where training goes back to.
        label: words before the progress bar.
        how: everything else of `fit`.

    Returns:
        how often it went back, now or before an interruption.

    Raises:
        CollapseError: the last retry collapsed too.
    """
    checkpoint = folder / "checkpoint.safetensors"
    memory = load_tensors(checkpoint)[1]["state"]["memory"] if checkpoint.is_file() else {}
    repeated = int(memory.get("repeated", 0))
    while True:
        try:
            fit(task, groups, fabric, folder, label=label, **how)
            return repeated
        except CollapseError as error:
            if repeated >= retries or not (folder / kept).is_file():
                raise
            repeated += 1
            text = f"{error.what}; {back} with the learning rate times {0.25**repeated:g}"
            say(f"{label}: {text}")
            go_back(folder / kept, folder, {"lr_scale": 0.25**repeated, "repeated": repeated}, text, fabric)


def _step(
    task: Task,
    module: nn.Module,
    optimizer: Any,
    fabric: Fabric,
    batch: Any,
    plan: EpochPlan,
    progress: float,
    clip: float,
    state: State,
) -> dict[str, Any]:
    weights = plan.weights(progress)
    factor = plan.lr(progress)
    for group in optimizer.param_groups:
        group["lr"] = group["base_lr"] * factor
        group["momentum"] = plan.momentum
    batch = fabric.to_device(batch)
    terms = task.losses(module, batch, weights, state)
    total = torch.stack([weights[name] * value for name, value in terms.items()]).sum()
    if not _everywhere(torch.isfinite(total), fabric):
        raise CollapseError(
            "the loss is no longer a number",
            where=[f"{name}: {value.item():.3g}" for name, value in terms.items()],
            hint="Lower the learning rate (lr), or set clip, the largest norm of the gradient.",
        )
    optimizer.zero_grad(set_to_none=True)
    fabric.backward(total)
    if clip > 0:
        fabric.clip_gradients(module, optimizer, max_norm=clip)
    optimizer.step()
    return {
        "lr": optimizer.param_groups[0]["lr"],
        "total": round(total.item(), 6),
        "terms": {name: round(value.item(), 6) for name, value in terms.items()},
    }


def _everywhere(fine: Tensor, fabric: Fabric) -> bool:
    """Whether something holds on every device: if one alone gave up, the others would wait for it for ever."""
    if fabric.world_size == 1:
        return bool(fine)
    return bool(cast(Tensor, fabric.all_reduce(fine.float(), reduce_op="sum")) == fabric.world_size)


def _over_all_devices(state: State, fabric: Fabric) -> State:
    """The state with its totals summed over devices, so that every device judges alike."""
    if fabric.world_size == 1:
        return state
    values = torch.tensor([state.totals[name] for name in sorted(state.totals)], dtype=torch.float64)
    summed = fabric.all_reduce(values, reduce_op="sum")
    totals = dict(zip(sorted(state.totals), cast(Tensor, summed).tolist(), strict=True))
    return dataclasses.replace(state, totals=totals)


def _log(log: Path, entry: dict[str, Any], state: State, fabric: Fabric) -> None:
    if fabric.global_rank == 0:
        with log.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
    state.lines += 1


def _truncate(log: Path, lines: int) -> None:
    """Drop what was logged after the checkpoint, so that a resumed run logs every step once."""
    kept = log.read_text(encoding="utf-8").splitlines(keepends=True)[:lines] if log.is_file() else []
    log.write_text("".join(kept), encoding="utf-8")


def _save(path: Path, module: nn.Module, optimizer: Any, state: State, fabric: Fabric) -> None:
    if fabric.global_rank != 0:
        return
    tensors = {f"model/{key}": value for key, value in module.state_dict().items()}
    for index, values in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer/{index}/{key}": value for key, value in values.items() if isinstance(value, Tensor)}
    tensors["random"] = torch.get_rng_state()
    save_tensors(path, tensors, {"state": vars(state)})


def _load(path: Path, module: nn.Module, optimizer: Any, fabric: Fabric) -> State:
    tensors, header = load_tensors(path)
    module.load_state_dict({key[6:]: value for key, value in tensors.items() if key.startswith("model/")})
    buffers: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith("optimizer/"):
            _, index, name = key.split("/")
            buffers.setdefault(int(index), {})[name] = value  # the optimiser knows which of them belong on the device
    content = optimizer.state_dict()
    optimizer.load_state_dict({**content, "state": buffers})
    torch.set_rng_state(tensors["random"])
    return State(**header["state"])
