"""predict: what the segmentation model says about images, without tags."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from lightning_fabric import Fabric
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from ktse.console import track
from ktse.data.image import read_image
from ktse.data.listing import list_images
from ktse.data.sample import TaggedImages, image_ids
from ktse.data.transforms import long_side_size, to_tensor
from ktse.errors import DataError
from ktse.models.segmenter import Segmenter
from ktse.processes import my_share
from ktse.recipe import PredictRecipe
from ktse.run_folder import RunFolder, label_type, write_label_map
from ktse.stages.segment import load_model
from ktse.training import make_fabric


@torch.no_grad()
def predict_image(model: Segmenter, image: Image.Image, recipe: PredictRecipe, fabric: Fabric) -> Tensor:
    """Probability of every label for every pixel of an image, averaged over scales and mirror images.

    Returns:
        (C+1, H, W) float in 0..1, at the image's own size.
    """
    base = long_side_size(image.size, recipe.long_side) if recipe.long_side else image.size
    total: Tensor | None = None
    for scale in recipe.scales:
        size = (max(32, round(base[0] * scale)), max(32, round(base[1] * scale)))
        tensor = to_tensor(image, model.mean, model.std, size)
        batch = torch.stack([tensor, tensor.flip(-1)] if recipe.flip else [tensor])
        with fabric.autocast():
            scores = model(batch.to(fabric.device, memory_format=torch.channels_last)).softmax(dim=1)
        mean = (scores[:1] + scores[1:].flip(-1)) / 2 if recipe.flip else scores
        large = interpolate(mean, (image.height, image.width), mode="bilinear", align_corners=False)
        total = large if total is None else total + large
    if total is None:
        raise ValueError("at least one scale is needed")
    return total[0] / len(recipe.scales)


def predict(run: RunFolder, data: TaggedImages, recipe: PredictRecipe) -> None:
    """Write predictions/ID.png for every image of the data set that has none yet."""
    mine = my_share(range(len(data)))
    left = [index for index in mine if not run.prediction_path(data.ids[index]).is_file()]
    if left:
        _predict_images(
            run, {run.prediction_path(data.ids[index]): partial(data.read, index) for index in left}, recipe
        )


def predict_folder(run: RunFolder, images: Path, out: Path, recipe: PredictRecipe) -> list[Path]:
    """Write OUT/ID.png for an image or for every image in a folder; finished ones are skipped.

    Returns:
        the files, those of an earlier call included.

    Raises:
        DataError: nothing to read, or images that cannot be read (the others are written first).
    """
    if images.is_file():
        paths = {out / f"{images.stem}.png": images}
    else:
        files = list_images(images)
        paths = {out / f"{name}.png": images / file for name, file in zip(image_ids(files), files, strict=True)}
    left = {target: source for target, source in paths.items() if not target.is_file()}
    if left:
        _predict_images(run, {target: partial(read_image, source) for target, source in left.items()}, recipe)
    return list(paths)


def _predict_images(run: RunFolder, readers: dict[Path, Callable[[], Image.Image]], recipe: PredictRecipe) -> None:
    fabric = make_fabric(recipe.precision)
    model, classes = load_model(run)
    model = model.to(fabric.device).to(memory_format=torch.channels_last)
    problems = []
    for target, read in track(readers.items(), "predict", total=len(readers)):
        try:
            image = read()
        except DataError as error:
            problems.append(error.what)
            continue
        label = predict_image(model, image, recipe, fabric).argmax(dim=0).cpu().numpy()
        write_label_map(target, label.astype(label_type(len(classes))))
    if problems:
        raise DataError(
            f"{len(problems)} of {len(readers)} images cannot be read", where=problems,
            hint="The predictions of all others are written.",
        )  # fmt: skip
