"""Checkpoints of a training and its log: written, read, and gone back to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from ktse.models.weights import load_tensors, save_tensors
from ktse.training.task import State


def truncate_log(log: Path, lines: int) -> None:
    """Drop what was logged after the checkpoint, so that a resumed run logs every step once."""
    kept = log.read_text(encoding="utf-8").splitlines(keepends=True)[:lines] if log.is_file() else []
    log.write_text("".join(kept), encoding="utf-8")


def save_checkpoint(path: Path, module: nn.Module, optimizer: Any, state: State, fabric: Fabric) -> None:
    """Write network, optimiser, random numbers and state, atomically, in the first process."""
    if fabric.global_rank != 0:
        return
    tensors = {f"model/{key}": value for key, value in module.state_dict().items()}
    for index, values in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer/{index}/{key}": value for key, value in values.items() if isinstance(value, Tensor)}
    tensors["random"] = torch.get_rng_state()
    save_tensors(path, tensors, {"state": vars(state)})


def load_checkpoint(path: Path, module: nn.Module, optimizer: Any) -> State:
    """Put network, optimiser and random numbers back to where they were, and return the state.

    Raises:
        RunError: the checkpoint is damaged.
    """
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
