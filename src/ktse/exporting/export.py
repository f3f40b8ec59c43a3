"""What `ktse export` writes: the segmentation model of a run or of a file, or the masks of a run."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from ktse.data.dataset import TaggedImages
from ktse.errors import ExportError, KtseError
from ktse.recipe import PredictRecipe, Recipe
from ktse.run_folder import RunFolder

MOST_PHOTOS = 32
"""Photos of the run on which the exported model is checked, and the ranges of int8 are measured."""


@dataclass(frozen=True)
class Wishes:
    """What a user may ask for beside the format.

    Attributes:
        int8: quantise the ONNX model to eight bits.
        simplify: pixels by which polygons may leave the edge of the mask; 0: exact.
        prefix: what stands before the name of an image in Label Studio's tasks; None: that of local files.
    """

    int8: bool = False
    simplify: float = 0.0
    prefix: str | None = None

    def check(self, form: str) -> None:
        """Make sure that a format can do what is asked for.

        Raises:
            ExportError: it cannot.
        """
        problems = []
        if self.int8 and form != "onnx":
            problems.append("int8 is for onnx alone")
        if not 0 <= self.simplify < math.inf:
            problems.append(f"simplify is {self.simplify:g}, but must be 0 or more pixels")
        if self.simplify and form in ("onnx", "voc"):
            problems.append("simplify is for polygons: coco, yolo, cvat and labelstudio")
        if self.prefix is not None and form != "labelstudio":
            problems.append("prefix is for labelstudio alone")
        if problems:
            raise ExportError(f"--format {form} cannot be written like this", where=problems)


def check_place(out: Path, form: str) -> None:
    """Make sure that a place can hold what will be written.

    Raises:
        ExportError: it is a folder where a file is needed, or the other way round.
    """
    if form == "onnx" and out.is_dir():
        raise ExportError(f"{out} is a folder: give a file", hint=f"For example: --out {out / 'model.onnx'}")
    if form != "onnx" and out.exists() and not out.is_dir():
        raise ExportError(f"{out} is a file: give a folder")


def export_model(run: RunFolder, data: Callable[[], TaggedImages], recipe: Recipe, out: Path, int8: bool) -> Path:
    """Write the segmentation model of a run as ONNX; see `export_onnx`.

    Args:
        run: a run with a model.
        data: opens the run's images; where they are gone, the model is checked on noise.
        recipe: its settings.
        out: the file.
        int8: quantise to eight bits.

    Returns:
        the file.
    """
    photos: list[Path | BytesIO] = []
    with suppress(KtseError):
        images = data()
        step = max(1, len(images) // MOST_PHOTOS)
        photos = [images.source(index) for index in range(0, len(images), step)[:MOST_PHOTOS]]
    model = run.path(recipe.segment.made_by, "model.safetensors")
    return export_file(run.own(model), recipe.predict, out, photos, int8)


def export_file(
    weights: Path, recipe: PredictRecipe, out: Path, photos: Sequence[Path | BytesIO] = (), int8: bool = False
) -> Path:
    """Write a segmentation model given by its file as ONNX; see `export_onnx`.

    Returns:
        the file that was written.
    """
    from ktse.exporting.onnx import export_onnx  # loads torch
    from ktse.models.segmenter import Portable
    from ktse.stages.segment import load_model

    check_place(out, "onnx")
    model, classes = load_model(weights)
    with writing(out):
        export_onnx(Portable(model), classes, recipe, out, photos, int8)
    return out


@contextmanager
def writing(out: Path) -> Iterator[None]:
    """Name the place where writing failed: the file itself has a temporary name that says nothing."""
    try:
        yield
    except OSError as error:
        hint = "Nothing of this export can be used. Check the place and the disk."
        raise ExportError(f"{error.strerror or error}: {out}", hint=hint) from error
