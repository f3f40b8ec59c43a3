"""Model files: safetensors with what is needed to build the network in the header; nothing is unpickled."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ktse._version import __version__
from ktse.artefacts import UNSEALED, broken_seal, seal
from ktse.errors import CollapseError, RunError
from ktse.files import atomic
from ktse.runtime.reading import reading, reason


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) < 200


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 1 << 16


def _is_colour(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 3 and all(isinstance(one, int | float) for one in value)


def _are_classes(value: Any) -> bool:
    return isinstance(value, list) and 0 < len(value) < 1 << 16 and all(isinstance(one, str) for one in value)


HEADER: dict[str, Callable[[Any], bool]] = {
    **dict.fromkeys(("architecture", "encoder", "backbone", "pooling"), _is_name),
    **dict.fromkeys(("output_stride", "levels", "hidden", "networks"), _is_whole),
    **dict.fromkeys(("mean", "std"), _is_colour),
    "classes": _are_classes,
    "long_side": lambda value: isinstance(value, list) and len(value) == 2 and all(map(_is_whole, value)),
    "state": lambda value: isinstance(value, dict),
}
"""What the entries of a header must be, where it has them."""


def save_tensors(path: Path, tensors: dict[str, Tensor], header: dict[str, Any]) -> None:
    """Write tensors and a header of JSON values, atomically and sealed: equal content is equal bytes."""
    plain = {key: value.detach().cpu().contiguous().clone() for key, value in tensors.items()}
    whole = {**header, "ktse_version": __version__, "seal": UNSEALED}
    metadata = {key: json.dumps(value, sort_keys=True) for key, value in whole.items()}
    with atomic(path) as part:
        try:
            save_file(plain, part, metadata=metadata)
        except SafetensorError as error:  # a full disk; it says so, and not where
            raise OSError(errno.EIO, reason(error), str(path)) from error
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
    hint = "In a run: remove it, and repeat ktse run."
    with reading(path, "is not a model file of ktse", kind=RunError, hint=hint):
        if why := broken_seal(path):
            raise RunError(f"{path} {why}", hint=hint)
        with safe_open(path, framework="pt") as file:
            header = {key: json.loads(value) for key, value in (file.metadata() or {}).items()}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a dictionary)
        if wrong := [name for name, fits in HEADER.items() if name in header and not fits(header[name])]:
            raise ValueError(f"its header has no such {', '.join(wrong)} as ktse writes")
    return tensors, header


def require_header(path: Path, header: Mapping[str, Any], names: str) -> None:
    """Make sure that a header says what a network is built from.

    Args:
        path: the file.
        header: as `load_tensors` gives it.
        names: of its entries, with blanks between.

    Raises:
        RunError: it lacks some.
    """
    if missing := [name for name in names.split() if name not in header]:
        hint = "Give the model.safetensors that the stage has written."
        raise RunError(f"{path} is a model of another kind", where=f"it lacks {', '.join(missing)}", hint=hint)


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
