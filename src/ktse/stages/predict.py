"""predict: what the segmentation model says about images, without tags, and, fused with their masks, with them."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ktse.data.dataset import TaggedImages
from ktse.data.masks import Corrections
from ktse.files import label_type
from ktse.models.folding import fold_batch_norms
from ktse.models.segmenter import Portable
from ktse.prediction.files import predict_files, tidy
from ktse.prediction.predictor import Predictor
from ktse.recipe import COMPUTE, ComputeRecipe, PredictRecipe, SegmentRecipe
from ktse.run_folder import RunFolder
from ktse.runtime.claims import Part
from ktse.runtime.fabric import make_fabric
from ktse.runtime.processes import rank, wait_for_all
from ktse.stages.fused import FusedMask, Read, choose_fusing
from ktse.stages.seen_model import SeenModel
from ktse.stages.segment import load_model

PLAIN = SegmentRecipe()


class TorchModel:
    """A segmentation model on the device at hand.

    Args:
        path: model.safetensors of segment or adapt.
        precision: as in the recipe.

    Attributes:
        classes: names of the classes 1..C.

    Raises:
        RunError: the file is missing or damaged.
    """

    def __init__(self, path: Path, precision: str) -> None:
        self.fabric = make_fabric(precision)
        model, self.classes = load_model(path)
        fold_batch_norms(model.requires_grad_(False))
        self.network = Portable(model).to(self.fabric.device).to(memory_format=torch.channels_last)

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """(B, H, W, 3) uint8 RGB to (B, C+1, H, W) float32, 0..1."""
        return np.asarray(self._logits(images).softmax(dim=1).cpu())

    def logits(self, images: np.ndarray) -> np.ndarray:
        """(B, H, W, 3) uint8 RGB to (B, C+1, H, W) float32, whose softmax the probabilities are."""
        return np.asarray(self._logits(images).cpu())

    @torch.inference_mode()
    def _logits(self, images: np.ndarray) -> torch.Tensor:
        with self.fabric.autocast():
            logits: torch.Tensor = self.network(torch.tensor(images, device=self.fabric.device))
            return logits


def predict(
    run: RunFolder,
    data: TaggedImages,
    recipe: PredictRecipe,
    corrections: Corrections | None = None,
    compute: ComputeRecipe = COMPUTE,
    segment: SegmentRecipe = PLAIN,
) -> None:
    """Write predictions/ID.png, and fused/ID.png if the recipe fuses, of every image that has none yet.

    Args:
        run: run folder with a segmentation model, and with masks if the recipe fuses.
        data: images and tags.
        recipe: the settings.
        corrections: masks that a person has corrected.
        compute: precision.
        segment: how the model was trained.
    """
    model = run.own(run.path(segment.made_by, "model.safetensors"))
    predictor, read = run_predictor(run, data, model, recipe, segment, compute)
    if rank() == 0:
        tidy(run.path("predictions"))
        for name in data.ids if recipe.fuse else ():  # a machine without power may have lost one of the two
            if not run.fused_path(name).is_file():
                run.prediction_path(name).unlink(missing_ok=True)
    wait_for_all()
    images = {name: partial(read, index, 0) for index, name in enumerate(data.ids)}
    beside = None
    if recipe.fuse:
        fusing = choose_fusing(run, data, predictor, read, recipe, corrections)

        def beside(name: str, image: Image.Image) -> FusedMask:
            kind = label_type(len(data.classes))
            said = corrections.read(name, kind) if corrections is not None and name in corrections else None
            return FusedMask(run, name, np.empty(image.size[::-1], dtype=kind), said, fusing)

    part = Part(run.root, "predict", "predict", run.key("predict"))
    predict_files(predictor, images, run.path("predictions"), beside, part=part)
    wait_for_all()
    if rank() == 0:
        tidy(run.path("predictions"))


def run_predictor(
    run: RunFolder,
    data: TaggedImages,
    model: Path,
    recipe: PredictRecipe,
    segment: SegmentRecipe,
    compute: ComputeRecipe,
) -> tuple[Predictor, Read]:
    """A model of a run, and how images are read for it: as they are, or as its backbone has seen them already.

    Args:
        run: the run.
        data: its images.
        model: model.safetensors of segment or adapt.
        recipe: how it is applied.
        segment: how it was trained.
        compute: precision, and how much may be kept.
    """
    if recipe.sees_as_trained(segment):
        seen = SeenModel(run, data, model, segment, compute)
        return Predictor(seen, recipe), seen.read

    def read(index: int, pixels: int) -> Image.Image:
        return data.read(index, pixels=pixels)

    return Predictor(TorchModel(model, compute.precision), recipe), read
