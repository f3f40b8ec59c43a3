"""Every setting of a run: one frozen dataclass per stage."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from ktse.recipe.classify import ClassifyRecipe, LossWeights, ObjectiveRecipe
from ktse.recipe.masks import AffinityRecipe, CrfRecipe, RefineRecipe, SeedRecipe
from ktse.recipe.segment import BecoRecipe, PredictRecipe, SegmentRecipe

__all__ = [
    "AffinityRecipe", "BecoRecipe", "ClassifyRecipe", "CrfRecipe", "DataRecipe", "LossWeights", "ObjectiveRecipe",
    "PredictRecipe", "Recipe", "RefineRecipe", "SeedRecipe", "SegmentRecipe", "TruthRecipe",
]  # fmt: skip


@dataclass(frozen=True)
class DataRecipe:
    """Where the images and their tags are. Whatever trains sees nothing else.

    Attributes:
        images: folder of images, or the root of a data set.
        tags: file of tags; empty where the folder says what is in its images.
        form: "table" (CSV, TSV, JSON, list), "folders" (one per class), "voc", "coco", "datasets" (Hugging Face), or
            "auto": found out.
        image_column: column of image names in a table; empty: found by its name.
        tag_column: column of tags in a table, or several, joined by commas, with 0 and 1; empty: found by its name.
        separator: what stands between tags in a cell, exactly; " " for any blanks; empty: line breaks, and the first
            of ; | , that occurs.
        rows: what a row of a table is: "image", or "tag" (an image may have several rows, whose tags are joined), or
            "auto": found out.
        no_tag: names, joined by commas, that mean that none of the classes is there, such as normal; they are no tags.
        classes: file with one class name a line, the only ones used and in this order; "voc": the 20 of PASCAL VOC.
        train_list: file with one image name a line: only these, and those for validation, are used.
        validation_list: file with one image name a line: these are kept out of all training.
        validation: share of the images, 0..1, kept out of all training where nothing else says which, so that the
            results on unseen images can be measured; 0: none.
        seed: seed of that choice.
        skip_bad: leave out images that cannot be read, instead of stopping.
    """

    images: str = ""
    tags: str = ""
    form: Literal["auto", "table", "folders", "voc", "coco", "datasets"] = "auto"
    image_column: str = ""
    tag_column: str = ""
    separator: str = ""
    rows: Literal["auto", "image", "tag"] = "auto"
    no_tag: str = ""
    classes: str = ""
    train_list: str = ""
    validation_list: str = ""
    validation: float = 0.1
    seed: int = 0
    skip_bad: bool = False


@dataclass(frozen=True)
class TruthRecipe:
    """True masks, for measuring only.

    Attributes:
        masks: folder of mask PNGs (0 background, k class k, 255 undecided), or a COCO file; empty: none.
    """

    masks: str = ""


@dataclass(frozen=True)
class Recipe:
    """All settings of a run.

    Attributes:
        data: images and tags.
        truth: true masks, for measuring only.
        classify, seed, affinity, refine, segment, predict: the settings of each stage.
    """

    data: DataRecipe = field(default_factory=DataRecipe)
    truth: TruthRecipe = field(default_factory=TruthRecipe)
    classify: ClassifyRecipe = field(default_factory=ClassifyRecipe)
    seed: SeedRecipe = field(default_factory=SeedRecipe)
    affinity: AffinityRecipe = field(default_factory=AffinityRecipe)
    refine: RefineRecipe = field(default_factory=RefineRecipe)
    segment: SegmentRecipe = field(default_factory=SegmentRecipe)
    predict: PredictRecipe = field(default_factory=PredictRecipe)
