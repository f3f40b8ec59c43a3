"""A segmentation model that reads what its frozen backbone has seen in the run's images, instead of the images."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from PIL import Image

from ktse.data.dataset import TaggedImages
from ktse.features.store import FrozenFeatures
from ktse.models.backbone import Backbone
from ktse.models.segmenter import Segmenter
from ktse.recipe import ComputeRecipe, SegmentRecipe
from ktse.run_folder import RunFolder
from ktse.runtime.fabric import make_fabric
from ktse.stages.segment import load_model


class SeenModel:
    """The model of a run whose features were kept; those of other images are computed.

    Args:
        run: the run.
        data: its images.
        path: model.safetensors of segment or adapt.
        recipe: how the model was trained.
        compute: precision, and how much may be kept.

    Attributes:
        classes: names of the classes 1..C.

    Raises:
        RunError: the file is missing or damaged.
    """

    def __init__(
        self, run: RunFolder, data: TaggedImages, path: Path, recipe: SegmentRecipe, compute: ComputeRecipe
    ) -> None:
        model, self.classes = load_model(path)
        self.fabric, self.data, self._index = make_fabric(compute.precision), data, -1
        side = recipe.long_side[1]
        self.network: Any = cast(Segmenter, model.requires_grad_(False)).to(self.fabric.device)
        self._features = FrozenFeatures(
            run, data, cast(Backbone, self.network.encoder), side, compute.cache, self.fabric
        )

    def read(self, index: int, pixels: int) -> Image.Image:
        """An image of the run, which is the next one to be predicted; scaled down to so many pixels, or 0: as it is."""
        self._index = index
        return self.data.read(index, pixels=pixels)

    @torch.inference_mode()
    def seen(self, image: Image.Image, factor: float) -> list[np.ndarray]:
        """Probabilities (C+1, h, w) float32 of the image that was read last; see prediction.scales.seen."""
        levels = [level[None].to(self.fabric.device) for level in self._features[self._index].levels]
        with self.fabric.autocast():
            logits = self.network(levels)
        return [np.asarray(logits.softmax(dim=1)[0].cpu())]
