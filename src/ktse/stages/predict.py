"""predict: what the segmentation model says about images, without tags."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from lightning_fabric import Fabric
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from ktse.console import track
from ktse.data.folder import list_images
from ktse.data.sample import TaggedImages, image_ids, read_image
from ktse.data.transforms import long_side_size, to_tensor
from ktse.errors import DataError
from ktse.models.segmenter import Segmenter
from ktse.processes import my_share
from ktse.recipe import CrfRecipe, PredictRecipe
from ktse.refinement.dense_crf import crf_scores, in_processes
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
        paths = {run.prediction_path(data.ids[index]): data.path(index) for index in left}
        _predict_files(run, paths, recipe)


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
        _predict_files(run, left, recipe)
    return list(paths)


def _predict_files(run: RunFolder, paths: dict[Path, Path], recipe: PredictRecipe) -> None:
    fabric = make_fabric(recipe.precision)
    model, classes = load_model(run)
    model = model.to(fabric.device).to(memory_format=torch.channels_last)
    problems = []
    targets: deque[Path] = deque()

    def jobs() -> Iterator[tuple[np.ndarray, np.ndarray, CrfRecipe]]:
        for target, source in track(paths.items(), "predict", total=len(paths)):
            try:
                image = read_image(source)
            except DataError as error:
                problems.append(error.what)
                continue
            targets.append(target)
            yield np.array(image), predict_image(model, image, recipe, fabric).cpu().numpy(), recipe.crf

    with_crf = recipe.crf.iterations > 0
    for scores in in_processes(crf_scores if with_crf else _as_they_are, jobs(), recipe.workers if with_crf else 0):
        write_label_map(targets.popleft(), scores.argmax(axis=0).astype(label_type(len(classes))))
    if problems:
        raise DataError(
            f"{len(problems)} of {len(paths)} images cannot be read", where=problems,
            hint="The predictions of all others are written.",
        )  # fmt: skip


def _as_they_are(image: np.ndarray, scores: np.ndarray, settings: CrfRecipe) -> np.ndarray:
    return scores
