"""Settings of the input: images, tags, true masks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ktse.recipe.values import File, Place, ShareBelowOne


@dataclass(frozen=True)
class DataRecipe:
    """Where the images and their tags are. Whatever trains sees nothing else."""

    images: Place = ""
    """Folder of images, or the root of a data set, or with a file of tags a URL (s3://, gs://, https:// ...)."""
    tags: File = ""
    """File of tags; empty where the folder says what is in its images."""
    form: Literal["auto", "table", "folders", "voc", "coco", "datasets"] = "auto"
    """"table" (CSV, TSV, JSON, list), "folders" (one per class), "voc", "coco", "datasets" (Hugging Face), or "auto":
    found out."""
    image_column: str = ""
    """Column of image names in a table; empty: found by its name."""
    tag_column: str = ""
    """Column of tags in a table, or several with 0 and 1, joined by commas; empty: found by its name."""
    separator: str = ""
    """What stands between tags in a cell, exactly; " " for any blanks; empty: line breaks, and the first of ; | , that
    occurs."""
    rows: Literal["auto", "image", "tag"] = "auto"
    """What a row of a table is: "image", or "tag" (an image may have several rows, whose tags are joined), or "auto":
    found out."""
    no_tag: str = ""
    """Names, joined by commas, that mean that an image shows none of the classes, such as normal; they are no tags."""
    classes: File = ""
    """File with one class name a line, the only ones used and in this order; "voc": the 20 of PASCAL VOC."""
    train_list: File = ""
    """File with one image name a line: only these images, and those for validation, are used."""
    validation_list: File = ""
    """File with one image name a line: these images are kept out of all training."""
    validation: ShareBelowOne = 0.1
    """Share of the images, 0..1, that is kept out of all training where nothing else says which images are, so that
    the results on unseen images can be measured; 0: none."""
    skip_bad: bool = False
    """Leave out images that cannot be read, instead of stopping."""


@dataclass(frozen=True)
class TruthRecipe:
    """True masks, for measuring only."""

    masks: Place = ""
    """Folder of mask PNGs (0 background, k class k, 255 undecided), or a COCO file; empty: none."""
