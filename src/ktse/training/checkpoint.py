"""Checkpoints of a training and its log: written, read, and gone back to."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from ktse.artefacts import CHECKPOINT
from ktse.errors import RunError
from ktse.files import append, flush, write_text
from ktse.models.weights import load_tensors, require_finite, save_tensors
from ktse.runtime.console import say
from ktse.runtime.words import many
from ktse.training.task import State


class Checkpoints:
    """The checkpoints of a training, and its log, which every process keeps in step.

    Args:
        folder: where they are.
        module: the network, without what shares it out.
        optimizer: its optimiser.
        fabric: device and processes.
        key: what the training is made from; empty: nobody asks.
    """

    def __init__(self, folder: Path, module: nn.Module, optimizer: Any, fabric: Fabric, key: str) -> None:
        self.module, self.optimizer, self.fabric, self.key = module, optimizer, fabric, key
        self.folder, self.log = folder, folder / "metrics.jsonl"

    def begin(self, start: str) -> State:
        """Where training stands: at the checkpoint if there is one, else before the first step.

        Args:
            start: name under which the state before the first step is kept; empty: it is not.

        Raises:
            RunError: the checkpoint is damaged.
        """
        state = State()
        if (self.folder / CHECKPOINT).is_file():
            state = self._load()
        elif start:
            self.save(state, start)
        if self.fabric.global_rank == 0:
            truncate_log(self.log, state.lines)
        return state

    def save(self, state: State, keep: str = "") -> None:
        """Write network, optimiser, random numbers of every process and state, in the first process.

        Every process calls it in the same step.

        Args:
            state: where training stands; the totals of this process, which are summed up.
            keep: name under which the checkpoint is kept as well, or empty. That one comes first: killed between the
                two, training goes on from the former one, and comes here again.

        Raises:
            CollapseError: a weight is NaN or infinite; nothing is written.
        """
        require_finite(self.module.state_dict())
        random, whole = gathered_random(self.fabric), over_all_devices(state, self.fabric)
        if self.fabric.global_rank != 0:
            return
        if self.log.is_file():  # a checkpoint counts its lines
            flush(self.log)
        tensors = {f"model/{name}": value for name, value in self.module.state_dict().items()} | random
        for index, values in self.optimizer.state_dict()["state"].items():
            named = {f"optimizer/{index}/{name}": value for name, value in values.items() if isinstance(value, Tensor)}
            tensors |= named
        header = {"state": vars(whole), "key": self.key, "threads": torch.get_num_threads()}
        for name in (keep, CHECKPOINT) if keep else (CHECKPOINT,):
            save_tensors(self.folder / name, tensors, header)

    def _load(self) -> State:
        path = self.folder / CHECKPOINT
        tensors, header = load_tensors(path)
        try:
            self.module.load_state_dict({name[6:]: one for name, one in tensors.items() if name.startswith("model/")})
            buffers: dict[int, dict[str, Tensor]] = {}
            for key, value in tensors.items():
                if key.startswith("optimizer/"):
                    _, index, name = key.split("/")
                    buffers.setdefault(int(index), {})[name] = value  # the optimiser knows which belong on the device
            self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": buffers})
            restore_random(tensors, self.fabric)
            state = State(**header["state"])
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            where, hint = str(error).splitlines()[:5], "Remove it; the training begins anew."
            raise RunError(f"{path} does not fit this training", where=where, hint=hint) from error
        if (before := header.get("threads", torch.get_num_threads())) != torch.get_num_threads():
            now = many(torch.get_num_threads(), "thread")
            say(f"{path}: goes on with {now}, began with {before}: the last digits will differ")
        if self.fabric.global_rank > 0:  # the totals are those of all processes: the first one has them
            state.totals = dict.fromkeys(state.totals, 0.0)
        return state


def truncate_log(log: Path, lines: int) -> None:
    """Drop what was logged after the checkpoint, so that a resumed run logs every step once."""
    kept = log.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True) if log.is_file() else []
    if len(kept) > lines or not log.is_file():
        write_text(log, "".join(kept[:lines]))


def gathered_random(fabric: Fabric) -> dict[str, Tensor]:
    """The state of the random numbers of every process, by "random/RANK", and on a GPU by "cuda/RANK"."""
    states = {"random": torch.get_rng_state()}
    if fabric.device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(fabric.device)
    if fabric.world_size == 1:
        return {f"{kind}/0": value for kind, value in states.items()}
    found: dict[str, Tensor] = {}
    for kind, value in states.items():  # each fills in its own row, as every backend can sum numbers up
        rows = torch.zeros(fabric.world_size, len(value), dtype=torch.int32)
        rows[fabric.global_rank] = value.to(torch.int32)
        everyone = cast(Tensor, fabric.all_reduce(rows, reduce_op="sum")).to("cpu", torch.uint8)
        found |= {f"{kind}/{rank}": one.clone() for rank, one in enumerate(everyone)}
    return found


def restore_random(tensors: Mapping[str, Tensor], fabric: Fabric) -> None:
    """Put the random numbers of this process back; with more processes than before, the new ones stay as they are."""
    rank = fabric.global_rank
    if (found := tensors.get(f"random/{rank}", tensors.get("random"))) is not None:
        torch.set_rng_state(found)
    if fabric.device.type == "cuda" and (found := tensors.get(f"cuda/{rank}")) is not None:
        torch.cuda.set_rng_state(found, fabric.device)


def over_all_devices(state: State, fabric: Fabric) -> State:
    """The state with its totals summed over devices, so that every device judges alike."""
    if fabric.world_size == 1 or not state.totals:
        return state
    values = torch.tensor([state.totals[name] for name in sorted(state.totals)], dtype=torch.float64)
    summed = fabric.all_reduce(values, reduce_op="sum")
    totals = dict(zip(sorted(state.totals), cast(Tensor, summed).tolist(), strict=True))
    return dataclasses.replace(state, totals=totals)


def go_back(kept: Path, folder: Path, memory: Mapping[str, Any], text: str, fabric: Fabric) -> None:
    """Make a kept checkpoint the one that training goes on from, with changes to the task's memory.

    The log keeps what is given up: it is what a too large step looks like.
    """
    if fabric.global_rank == 0:
        tensors, header = load_tensors(kept)
        header["state"]["memory"] |= memory
        log = folder / "metrics.jsonl"
        append(log, json.dumps({"epoch": header["state"]["epoch"], "event": text}) + "\n")
        flush(log)
        header["state"]["lines"] = len(log.read_text(encoding="utf-8").splitlines())
        save_tensors(folder / CHECKPOINT, tensors, header)
    fabric.barrier()
