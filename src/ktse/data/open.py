"""Opening a data set in whatever form it has."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from ktse.data.dataset import TaggedImages
from ktse.data.image_files import no_folder
from ktse.data.readers.class_folders import find_subfolders
from ktse.data.readers.coco import coco_files, find_coco, looks_like_coco
from ktse.data.readers.found import assemble
from ktse.data.readers.table import find_table, fit_table, read_table
from ktse.data.readers.voc import find_voc, voc_root
from ktse.data.remote import Copies, at_url, is_url, list_url, refuse_url
from ktse.errors import DataError, RecipeError
from ktse.recipe import DataRecipe


def open_data(recipe: DataRecipe, copies: Copies | None = None) -> TaggedImages:
    """Open images and tags in the form that they have, or that the recipe says.

    Args:
        recipe: where they are.
        copies: of images at a URL, where they are kept; None: none are.

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
    images, tags = Path(recipe.images), Path(recipe.tags)
    if not recipe.images:
        raise RecipeError("data.images is empty", hint="Give the folder of the images.")
    if is_url(recipe.images):
        return _open_at_url(recipe, copies)
    if not images.is_dir():
        lacking = "is a folder" if tags.is_dir() else "does not exist"
        places = [f"the tag file {tags} {lacking}"] if recipe.tags and not tags.is_file() else []
        raise DataError(f"the image folder {images} {no_folder(images)}", where=places, hint="Check these paths.")
    form = form_of(recipe)
    if recipe.tags and form in ("voc", "folders", "datasets"):
        where, hint = f"a file of tags was given: {tags}", "Leave --tags out, or the form."
        raise DataError(f"data of the form {form!r} hold their own tags", where=where, hint=hint)
    in_tree = coco_files(images) if form == "coco" and not recipe.tags else []
    if form in ("table", "coco") and not recipe.tags and not in_tree:
        raise DataError(f"data of the form {form!r} need a file of tags", hint="Give it with --tags.")
    match form:
        case "table":
            found = find_table(images, tags, recipe)
        case "coco":
            found = find_coco(images, in_tree or [tags])
        case "voc":
            found = find_voc(images, recipe.train_list, recipe.validation_list)
            recipe = dataclasses.replace(recipe, train_list="", validation_list="")
        case "datasets":
            from ktse.data.readers.hugging_face import open_saved

            return open_saved(images, recipe)
        case _:
            found = find_subfolders(images, sure=recipe.form == "folders")
    return assemble(found, recipe)


def _open_at_url(recipe: DataRecipe, copies: Copies | None) -> TaggedImages:
    """Images at a URL, with a table of tags on this machine.

    Raises:
        KtseError: what is wrong, all problems together.
    """
    refuse_url(recipe.tags, "the file of tags")
    form = form_of(recipe) if recipe.tags else ""
    if form != "table":
        text = f"the images are at {recipe.images}, and only a table says there what is in them"
        raise DataError(
            text, where=f"the form is {form!r}" if form else (), hint="Give a CSV file of tags with --tags."
        )
    table = read_table(Path(recipe.tags), recipe)
    listing = list_url(recipe.images, table.rows)
    data = assemble(fit_table(table, listing, recipe.images), recipe)
    return at_url(data, listing, copies)


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
    saved = (images / "dataset_info.json").is_file() or (images / "dataset_dict.json").is_file()
    return "datasets" if saved else "folders"
