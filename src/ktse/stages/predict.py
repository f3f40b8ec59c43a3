"""predict: what the segmentation model says about images, without tags, and, fused with their masks, with them."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ktse.data.corrections import Corrections
from ktse.data.sample import TaggedImages
from ktse.devices import make_fabric
from ktse.models.segmenter import Portable
from ktse.prediction.files import predict_files, tidy
from ktse.prediction.predictor import Predictor
from ktse.processes import my_share, rank, wait_for_all
from ktse.recipe import PredictRecipe
from ktse.refinement.bands import enlarged_rows
from ktse.run_folder import RunFolder, label_type, read_json, read_npz, undecided, write_label_map
from ktse.segmentation.fusion import fuse
from ktse.stages.segment import load_model


class TorchModel:
    """A segmentation model on the device at hand.

    Args:
        path: segment/model.safetensors of a run.
        precision: as in the recipe.

    Attributes:
        classes: names of the classes 1..C.

    Raises:
        RunError: the file is missing or damaged.
    """

    def __init__(self, path: Path, precision: str) -> None:
        self.fabric = make_fabric(precision)
        model, self.classes = load_model(path)
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
            return self.network.logits(torch.from_numpy(images).to(self.fabric.device))


class FusedMask:
    """The fused mask of one image, made of the probabilities that its prediction is made of.

    Args:
        run: a run with masks.
        corrections: a mask that a person has corrected stays as it is, but for what was left undecided.
        name: of the image.
        size: width and height.
        threshold: where masks were cut.
        weight: of the model, 0..1.
        classes: number of classes C.
    """

    def __init__(
        self, run: RunFolder, corrections: Corrections, name: str, size: tuple[int, int], threshold: float,
        weight: float, classes: int,
    ) -> None:  # fmt: skip
        stored = read_npz(run.mask_scores_path(name))
        self.keys, self.scores, self.threshold, self.weight = stored["keys"], stored["scores"], threshold, weight
        self.path = run.fused_path(name)
        self.label = np.empty(size[::-1], dtype=label_type(classes))
        self.said = corrections.read(name, label_type(classes)) if name in corrections else None

    def add(self, top: int, probabilities: np.ndarray) -> None:
        """Take (C+1, rows, W) float32 from row `top` on."""
        bottom = top + probabilities.shape[1]
        scores = enlarged_rows(self.scores, (self.label.shape[0], self.label.shape[1]), top, bottom)
        self.label[top:bottom] = fuse(self.keys, scores, self.threshold, probabilities, self.weight)

    def write(self) -> None:
        """Write fused/ID.png."""
        if self.said is not None:
            self.label = np.where(self.said == undecided(self.said), self.label, self.said)
        write_label_map(self.path, self.label)


def predict(run: RunFolder, data: TaggedImages, recipe: PredictRecipe, corrections: Corrections | None = None) -> None:
    """Write predictions/ID.png, and fused/ID.png if the recipe fuses, of every image that has none yet.

    Args:
        run: run folder with a segmentation model, and with masks if the recipe fuses.
        data: images and tags.
        recipe: the settings.
        corrections: masks that a person has corrected.
    """
    predictor = Predictor(TorchModel(run.path("segment", "model.safetensors"), recipe.precision), recipe)
    images = {data.ids[index]: partial(data.read, index) for index in my_share(range(len(data)))}
    threshold = float(read_json(run.path("masks", "summary.json"))["threshold"]) if recipe.fuse else 0.0

    def fused(name: str, image: Image.Image) -> FusedMask:
        known = corrections or Corrections()
        return FusedMask(run, known, name, image.size, threshold, recipe.fuse, len(data.classes))

    predict_files(predictor, images, run.path("predictions"), fused if recipe.fuse else None)
    wait_for_all()
    if rank() == 0:
        tidy(run.path("predictions"))
