"""Opening a model, and predicting images that are not those of a run."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ktse.data.open import open_data
from ktse.data.readers.data_frame import tags_as_file
from ktse.errors import RunError
from ktse.prediction.files import predict_folder, predict_tagged
from ktse.prediction.predictor import Predictor
from ktse.prediction.several import check_several, predict_several
from ktse.prediction.video import is_video, predict_video
from ktse.recipe import DataRecipe
from ktse.run_folder import RunFolder
from ktse.runtime.device import Device, on_device
from ktse.verbs.sound import model_file


def predict_new(run: str | Path, images: list[Path], out: Path, tags: Any, load: Callable[[], Predictor]) -> list[Path]:
    """Predict images, a folder of them, or a video.

    Args:
        run: run folder or model file.
        images: one folder, image or video, or several images.
        out: folder of the predictions.
        tags: of the images of a folder, as in ktse.predict; or None.
        load: opens the model, once the input is known to be right.

    Raises:
        KtseError: what is wrong, where, and what to do next.
    """
    if len(images) > 1:
        check_several(images)
        if tags is not None:
            raise RunError("tags are those of a folder of images", hint="Give one folder, or leave --tags out.")
    for path in images:
        _keep_apart(path, out)
    first, data = images[0], None
    if tags is not None:
        with tempfile.TemporaryDirectory() as place, tags_as_file(tags, Path(place, "tags.csv")) as table:
            data = open_data(_read_alike(run, first, table))
    predictor = load()
    if data is not None:
        return predict_tagged(predictor, data, out)
    if len(images) > 1:
        return predict_several(predictor, images, out)
    if first.is_file() and is_video(first):
        return predict_video(predictor, first, out)
    return predict_folder(predictor, first, out)


def _keep_apart(images: Path, out: Path) -> None:
    """Make sure that predictions are not taken for images the next time.

    Raises:
        RunError: they would be, or there are no images, or no folder for the predictions.
    """
    if not images.exists():
        raise RunError(f"{images} does not exist", hint="Give an image or a folder of images.")
    if out.exists() and not out.is_dir():
        raise RunError(f"{out} is a file", hint="Give a folder for the predictions as --out.")
    inside = out.resolve().is_relative_to(images.resolve())
    if inside or (out / f"{images.stem}.png").resolve() == images.resolve():
        raise RunError(f"{out} is where the images are: predictions would mix with them", hint="Give another --out.")


def _read_alike(run: str | Path, images: Path, tags: str | Path | None) -> DataRecipe:
    """Other images and tags, read like those of the run: the same columns, separators and names that mean no tag."""
    given = RunFolder(run).read_recipe().data if (Path(run) / "recipe.yaml").is_file() else DataRecipe()
    same = {name: getattr(given, name) for name in ["rows", "separator", "no_tag", "image_column", "tag_column"]}
    return DataRecipe(images=str(images), tags=str(tags), **same)


def open_model(path: Path, device: Device, settings: Mapping[str, Any]) -> Predictor:
    """Open a segmentation model; arguments as of ktse.load.

    Raises:
        KtseError: there is no such model.
    """
    if path.suffix == ".onnx":
        from ktse.prediction.onnx import OnnxModel

        exported = OnnxModel(path)
        return Predictor(exported, exported.recipe(settings))
    from ktse.stages.predict import TorchModel  # loads torch

    path, recipe = model_file(path, settings)
    with on_device(device):
        return Predictor(TorchModel(path, recipe.compute.precision), recipe.predict)
