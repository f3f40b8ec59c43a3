"""Model files: safetensors with what is needed to build the network in the header; nothing is unpickled."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ktse import __version__
from ktse.errors import RunError
from ktse.run_folder import atomic


def save_tensors(path: Path, tensors: dict[str, Tensor], header: dict[str, Any]) -> None:
    """Write tensors and a header of JSON values, atomically."""
    plain = {key: value.detach().cpu().contiguous().clone() for key, value in tensors.items()}
    metadata = {key: json.dumps(value) for key, value in {**header, "ktse_version": __version__}.items()}
    with atomic(path) as part:
        save_file(plain, part, metadata=metadata)


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read tensors and header.

    Raises:
        RunError: the file is missing, damaged, or not written by ktse.
    """
    if not path.is_file():
        raise RunError(f"{path} does not exist", hint="Run the stage that writes it first.")
    try:
        with safe_open(path, framework="pt") as file:
            header = {key: json.loads(value) for key, value in (file.metadata() or {}).items()}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a dictionary)
    except (SafetensorError, json.JSONDecodeError, OSError) as error:
        raise RunError(
            f"{path} is not a model file of ktse", where=str(error), hint="In a run: remove it, and repeat ktse run."
        ) from error
    return tensors, header


def load_into(module: nn.Module, tensors: dict[str, Tensor], path: Path) -> None:
    """Load weights into a module that must fit them exactly.

    Raises:
        RunError: names or shapes differ.
    """
    try:
        module.load_state_dict(tensors)
    except RuntimeError as error:
        raise RunError(f"{path} does not fit the network", where=str(error).splitlines()[:5]) from error


def device_of(module: nn.Module) -> torch.device:
    """The device that a module's parameters are on."""
    return next(module.parameters()).device
