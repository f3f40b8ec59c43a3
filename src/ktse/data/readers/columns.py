"""Which column of a table holds the names of images, and which hold tags."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ktse.data.file_kinds import ending, endings
from ktse.data.readers.cells import bit, is_empty
from ktse.data.text import clean, examples, short, words_of
from ktse.errors import DataError
from ktse.recipe import DataRecipe

IMAGE_COLUMNS = words_of(
    "image,images,file,filename,file_name,file name,filepath,file_path,path,image_path,imagepath,image_name,imagename,"
    "image_file,image_id,imageid,img,img_path,name,id",
    ",",
)
TAG_COLUMNS = words_of(
    "tags,tag,labels,label,classes,class,categories,category,label_name,labelname,class_name,classname,category_name,"
    "choices,choice,class_id,classid",
    ",",
)
"""Names of columns, lower-case; the first that a table has is taken."""

NAMED = 20
"""Columns that a message lists."""


def choose_columns(path: Path, names: list[str], recipe: DataRecipe, rows: list[Any]) -> tuple[int, list[int], bool]:
    """Find the column of image names and those of the tags.

    Args:
        path: the file, for messages.
        names: names of all columns, without blanks around them.
        recipe: what the user gave.
        rows: the first rows, as lists of cells.

    Returns:
        index of the image column, indices of the tag columns, and whether these hold 0 and 1.

    Raises:
        DataError: a column is missing, is there twice, or is not clear.
    """
    given, wanted = clean(recipe.image_column), wanted_columns(recipe.tag_column, names)
    called = f"the tag file {path}"

    def wrong(text: str, hint: str = "") -> DataError:
        usual = "The first line names the columns, for example image,tags; or name them: --data.image_column NAME "
        usual += "--data.tag_column NAME (or NAME,NAME,... with 0 and 1)."
        return DataError(text, where=columns_found(names), hint=hint or usual)

    if missing := [name for name in [given, *wanted] if name and name not in names]:
        raise wrong(f"{called} has no column {examples(map(short, missing), NAMED, ' and no column ')}")
    if not given and any(map(_is_image, names)):
        hint = "Write a first line with the columns' names above it, for example image,tags."
        raise wrong(f"the first line of {called} is no line of column names", hint)
    if doubled := sorted({short(name) for name in names if names.count(name) > 1 and not _unnamed(name)}):
        twice = examples(doubled, NAMED, " and two columns ")
        raise wrong(f"{called} has two columns {twice}", "Rename or remove one.")
    rows = [row for row in rows if len(row) == len(names)]
    image = names.index(given) if given else _named(names, IMAGE_COLUMNS)
    if image is None:
        files = [number for number in range(len(names)) if rows and all(_is_image(row[number]) for row in rows)]
        if len(files) != 1:
            raise wrong(f"{called} has no column that holds image names")
        image = files[0]
    if wanted:
        chosen = [names.index(name) for name in wanted]
        return image, chosen, len(chosen) > 1 or (wanted[0].lower() not in TAG_COLUMNS and all_bits(rows, chosen))
    tags = _named([name if number != image else "" for number, name in enumerate(names)], TAG_COLUMNS)
    if tags is not None:
        return image, [tags], False
    rest = [number for number in range(len(names)) if number != image and not _unnamed(names[number])]
    if not rest:
        raise wrong(f"{called} has no column of tags")
    return image, rest, len(rest) > 1 or all_bits(rows, rest)


def wanted_columns(given: str, names: list[str]) -> list[str]:
    """The tag columns that somebody gave, separated by commas unless one column is called like all of it."""
    whole = clean(given)
    return [whole] if whole and whole in names else [name for name in map(clean, given.split(",")) if name]


def columns_found(names: list[str]) -> str:
    """What columns there are, for a message."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"columns found: {', '.join(map(short, names[:NAMED])) or 'none'}{more}"


def all_bits(rows: list[Any], chosen: list[int]) -> bool:
    """Whether columns hold 0 and 1, and not only empty cells."""
    cells = [row[number] for row in rows for number in chosen]
    return all(bit(cell) is not None for cell in cells) and not all(map(is_empty, cells))


def _unnamed(name: str) -> bool:
    """Whether a column is none that somebody wrote: a trailing delimiter, or the row numbers that pandas adds."""
    return not name or name.lower().startswith("unnamed: ")


def _named(names: list[str], known: tuple[str, ...]) -> int | None:
    lower = [name.lower() for name in names]
    return next((lower.index(name) for name in known if name in lower), None)


def _is_image(cell: object) -> bool:
    return isinstance(cell, str) and ending(cell.strip()) in endings()
