"""Model files: safetensors with what is needed to build the network in the header; nothing is unpickled."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ktse._version import __version__
from ktse.artefacts import UNSEALED, broken_seal, seal
from ktse.errors import CollapseError, RunError
from ktse.files import atomic


def save_tensors(path: Path, tensors: dict[str, Tensor], header: dict[str, Any]) -> None:
    """Write tensors and a header of JSON values, atomically and sealed: equal content is equal bytes."""
    plain = {key: value.detach().cpu().contiguous().clone() for key, value in tensors.items()}
    whole = {**header, "ktse_version": __version__, "seal": UNSEALED}
    metadata = {key: json.dumps(value, sort_keys=True) for key, value in whole.items()}
    with atomic(path) as part:
        save_file(plain, part, metadata=metadata)
        seal(part)


def save_model(path: Path, tensors: dict[str, Tensor], header: dict[str, Any]) -> None:
    """Write a network's weights; see `save_tensors`.

    Raises:
        CollapseError: a weight is NaN or infinite; nothing is written.
    """
    require_finite(tensors)
    save_tensors(path, tensors, header)


def require_finite(tensors: Mapping[str, Tensor]) -> None:
    """Make sure that training has left numbers.

    Raises:
        CollapseError: a tensor holds NaN or infinite values.
    """
    if broken := _broken(tensors):
        raise CollapseError(
            f"training collapsed: {broken[0]} holds NaN or infinite values",
            where=broken,
            hint="Lower the learning rate (lr), or set clip, the largest norm of the gradient.",
        )


def _broken(tensors: Mapping[str, Tensor]) -> list[str]:
    return [name for name, value in tensors.items() if value.is_floating_point() and not value.isfinite().all()]


def normalisation(network: Any) -> dict[str, list[float]]:
    """The part of a header that says how images are normalised for a network."""
    return {"mean": network.mean.tolist(), "std": network.std.tolist()}


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read tensors and header.

    Raises:
        RunError: the file is missing, damaged, or not written by ktse.
    """
    if not path.is_file():
        raise RunError(f"{path} does not exist", hint="Run the stage that writes it first.")
    if why := broken_seal(path):
        raise RunError(f"{path} {why}", hint="In a run: remove it, and repeat ktse run.")
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
        RunError: names or shapes differ, or a weight is NaN or infinite.
    """
    if broken := _broken(tensors):
        raise RunError(
            f"{path} cannot be used: {len(broken)} of its tensors hold NaN or infinite values",
            where=broken,
            hint="Its training collapsed. Remove it, and repeat the stage with a lower learning rate (lr).",
        )
    try:
        module.load_state_dict(tensors)
    except RuntimeError as error:
        raise RunError(f"{path} does not fit the network", where=str(error).splitlines()[:5]) from error
