"""Opening a data set in whatever form it has."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from ktse.data.dataset import TaggedImages
from ktse.data.readers.class_folders import find_subfolders
from ktse.data.readers.coco import coco_files, find_coco, looks_like_coco
from ktse.data.readers.columns import Columns
from ktse.data.readers.folder import find_table
from ktse.data.readers.found import Found, assemble
from ktse.data.readers.voc import find_voc, voc_root
from ktse.errors import DataError, RecipeError
from ktse.recipe import DataRecipe


def open_data(recipe: DataRecipe) -> TaggedImages:
    """Open images and tags in the form that they have, or that the recipe says.

    | given | form |
    |---|---|
    | a file of tags | table (CSV, TSV, JSON, JSON lines, plain list), or coco for a COCO file |
    | a folder with JPEGImages | voc |
    | a folder with annotations/instances_*.json | coco |
    | a folder with dataset_info.json or dataset_dict.json | datasets |
    | another folder | folders: one subfolder per class |

    Raises:
        KtseError: what is wrong, all problems together.
    """
    images = Path(recipe.images)
    if not recipe.images:
        raise RecipeError("data.images is empty", hint="Give the folder of the images.")
    if not images.is_dir():
        tags = Path(recipe.tags)
        lacking = "is a folder" if tags.is_dir() else "does not exist"
        where = [f"the tag file {tags} {lacking}"] if recipe.tags and not tags.is_file() else []
        wrong = "is a file" if images.is_file() else "does not exist"
        raise DataError(f"the image folder {images} {wrong}", where=where, hint="Check these paths.")
    form = form_of(recipe)
    if recipe.tags and form in ("voc", "folders", "datasets"):
        raise DataError(
            f"data of the form {form!r} hold their own tags", where=f"a file of tags was given: {recipe.tags}",
            hint="Leave --tags out, or the form.",
        )  # fmt: skip
    match form:
        case "table":
            columns = Columns(recipe.image_column, recipe.tag_column, recipe.separator, recipe.rows)
            found = find_table(images, _tag_file(recipe), columns)
        case "coco":
            found = find_coco(images, ([] if recipe.tags else coco_files(images)) or [_tag_file(recipe)])
        case "voc":
            found, recipe = _voc(images, recipe)
        case "datasets":
            from ktse.data.readers.hugging_face import open_saved

            return open_saved(images, recipe)
        case _:
            found = find_subfolders(images, sure=recipe.form == "folders")
    return assemble(found, recipe)


def form_of(recipe: DataRecipe) -> str:
    """The form of a data set: that of the recipe, or what its folder and its file of tags look like."""
    if recipe.form != "auto":
        return recipe.form
    images, tags = Path(recipe.images), Path(recipe.tags)
    if recipe.tags:
        return "coco" if looks_like_coco(tags) else "table"
    if voc_root(images):
        return "voc"
    if coco_files(images):
        return "coco"
    if (images / "dataset_info.json").is_file() or (images / "dataset_dict.json").is_file():
        return "datasets"
    return "folders"


def _tag_file(recipe: DataRecipe) -> Path:
    if not recipe.tags:
        raise DataError(f"data of the form {recipe.form!r} need a file of tags", hint="Give it with --tags.")
    return Path(recipe.tags)


def _voc(images: Path, recipe: DataRecipe) -> tuple[Found, DataRecipe]:
    root = voc_root(images)
    if root is None:
        raise DataError(f"{images} is no VOC tree", hint="It needs a folder JPEGImages.")
    found = find_voc(root, recipe.train_list, recipe.validation_list)
    return found, dataclasses.replace(recipe, train_list="", validation_list="")
