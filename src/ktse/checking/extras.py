"""The optional packages and weights that a recipe names, before hours of training."""

from __future__ import annotations

from collections.abc import Iterable

from ktse.recipe import Recipe
from ktse.refinement.dense_crf import require_crf
from ktse.staleness import Stage


def require_extras(recipe: Recipe, stages: Iterable[Stage]) -> None:
    """Make sure that the packages and weights that a recipe names are there.

    Raises:
        RunError: an extra or its weights are missing.
    """
    extras = {extra for stage in stages for extra in stage.extras(recipe)}
    if "crf" in extras:
        require_crf()
    if "sam" in extras:
        from ktse.models.sam import require_sam  # loads torch

        require_sam(recipe.refine.sam_weights)
