"""Every setting of a run: one frozen dataclass per stage, each setting with its range and its help beside it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from ktse.errors import RecipeError
from ktse.recipe.classify import ClassifyRecipe, LossWeights, ObjectiveRecipe
from ktse.recipe.data import DataRecipe, TruthRecipe
from ktse.recipe.masks import AffinityRecipe, PredictRecipe, RefineRecipe, SeedRecipe
from ktse.recipe.segment import BecoRecipe, SegmentRecipe
from ktse.recipe.values import Factor, FromMinusOne, RandomSeed

__all__ = [
    "COMPUTE",
    "AffinityRecipe",
    "BecoRecipe",
    "ClassifyRecipe",
    "ComputeRecipe",
    "DataRecipe",
    "LossWeights",
    "ObjectiveRecipe",
    "PredictRecipe",
    "Recipe",
    "RefineRecipe",
    "SeedRecipe",
    "SegmentRecipe",
    "TruthRecipe",
]


@dataclass(frozen=True)
class ComputeRecipe:
    """How all stages compute."""

    random_seed: RandomSeed = 0
    """Where every random choice starts from."""
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """"auto" takes bfloat16 where the device computes it natively."""
    workers: FromMinusOne = -1
    """Processes that read images; -1 chooses by the number of cores, 0: none but the one that trains."""
    cache: Factor = 4.0
    """Gigabytes in which the run folder keeps what a frozen backbone sees, so that each image goes through it once;
    as many for copies of images at a URL; 0: nothing is kept."""


COMPUTE = ComputeRecipe()


@dataclass(frozen=True)
class Recipe:
    """All settings of a run."""

    data: DataRecipe = field(default_factory=DataRecipe)
    truth: TruthRecipe = field(default_factory=TruthRecipe)
    compute: ComputeRecipe = field(default_factory=ComputeRecipe)
    classify: ClassifyRecipe = field(default_factory=ClassifyRecipe)
    seed: SeedRecipe = field(default_factory=SeedRecipe)
    affinity: AffinityRecipe = field(default_factory=AffinityRecipe)
    refine: RefineRecipe = field(default_factory=RefineRecipe)
    segment: SegmentRecipe = field(default_factory=SegmentRecipe)
    predict: PredictRecipe = field(default_factory=PredictRecipe)

    def require_one_backbone(self) -> None:
        """Make sure that a model that starts from the classification network can do so, before hours of training.

        Raises:
            RecipeError: its encoder is another network.
        """
        backbone, encoder = self.classify.backbone, self.segment.encoder
        if self.segment.weights == "classify" and encoder != backbone:
            raise RecipeError(
                f"segment.weights is 'classify', but classify.backbone is {backbone!r}, segment.encoder {encoder!r}",
                hint=f"Give --segment.encoder {backbone} too, or --segment.weights hub, none or a file.",
            )
