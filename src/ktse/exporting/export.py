"""What `ktse export` writes: the segmentation model of a run or of a file, or the masks of a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from io import BytesIO
from pathlib import Path

from ktse.data.sample import TaggedImages
from ktse.errors import ExportError, KtseError, RunError
from ktse.exporting.masks import export_masks
from ktse.recipe import PredictRecipe
from ktse.run_folder import RunFolder


def export_run(
    run: RunFolder, data: Callable[[], TaggedImages], recipe: PredictRecipe, form: str, out: Path | None, int8: bool,
    fused: Callable[[], bool] = lambda: False,
) -> Path:  # fmt: skip
    """Write the segmentation model of a run (onnx) or its masks (coco, voc, yolo, cvat, labelstudio).

    Args:
        run: the run folder.
        data: opens the run's images.
        recipe: how `ktse predict` applies the model.
        form: onnx, or that of the masks.
        out: file of the ONNX model, or folder of the masks; None: in the run folder.
        int8: quantise the ONNX model to eight bits.
        fused: whether the run has fused masks, which then are the ones to write.

    Returns:
        the file, of several the main one.

    Raises:
        KtseError: there is nothing to export, or the exported model does not compute the same.
    """
    if form != "onnx":
        if int8:
            raise ExportError("int8 is for onnx alone", hint="Leave out --int8, or give --format onnx.")
        return export_masks(run, data(), form, out or run.path("export", form), fused())
    from ktse.exporting.onnx import CALIBRATION  # loads torch

    photos: list[Path | BytesIO] = []
    with suppress(KtseError):  # where the photos are gone, noise alone is compared
        images = data()
        step = max(1, len(images) // CALIBRATION)
        photos = [images.source(index) for index in range(0, len(images), step)[:CALIBRATION]]
    weights = run.path("segment", "model.safetensors")
    if not weights.is_file():
        raise RunError(f"{run.root} has no segmentation model yet", hint=f"Do it first: ktse segment {run.root}")
    return export_file(weights, recipe, out or run.path("export", "model.onnx"), photos, int8)


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

    model, classes = load_model(weights)
    export_onnx(Portable(model), classes, recipe, out, photos, int8)
    return out
