"""A network in eight bits: weights and activations of convolutions and matrix products."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from PIL import Image

from ktse.data.image import read_image
from ktse.errors import ExportError
from ktse.exporting.network_graph import IMAGES, quiet
from ktse.models.segmenter import DIVISOR, Portable
from ktse.prediction.scales import SMALLEST
from ktse.recipe import PredictRecipe

CALIBRATION_PHOTOS, LONGEST_SIDE = 32, 512
"""Number of photos from which the ranges are measured, and the longest side of what the network sees of them."""


def quantised(
    network: onnx.ModelProto, model: Portable, recipe: PredictRecipe, photos: Sequence[Path | BytesIO]
) -> onnx.ModelProto:
    """Quantise a network statically, the ranges measured on photos as it sees them.

    Weights alone in eight bits would make convolutions slower.

    Args:
        network: from normalised images, as `network_graph` writes it.
        model: the same in torch, for its normalisation.
        recipe: at which sizes the network sees a photo.
        photos: the first ones are used.

    Raises:
        ExportError: there are no photos.
    """
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    if not photos:
        hint = "Export a run whose images are still there, not a lone model."
        raise ExportError("int8 needs photos to measure ranges on", hint=hint)

    class Photos(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.left = _prepared(model, recipe, photos[:CALIBRATION_PHOTOS])

        def get_next(self) -> dict[str, Any] | None:
            images = next(self.left, None)
            return None if images is None else {IMAGES: images}

    # The library warns at length, on the root logger, of a step that is not needed here.
    with quiet(""), tempfile.TemporaryDirectory() as folder:
        before, after = str(Path(folder, "network.onnx")), str(Path(folder, "int8.onnx"))
        onnx.save(network, before)
        quantize_static(
            before,
            after,
            Photos(),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            op_types_to_quantize=["Conv", "MatMul", "Gemm"],
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        return onnx.load(after)


def _prepared(model: Portable, recipe: PredictRecipe, photos: Sequence[Path | BytesIO]) -> Iterator[np.ndarray]:
    """(1, 3, H, W) float32 normalised and padded, of each photo at each scale."""
    for photo in photos:
        image = read_image(photo)
        factor = recipe.long_side / max(image.size) if recipe.long_side else 1.0
        for scale in recipe.scales:
            share = min(factor * scale, LONGEST_SIDE / max(image.size))
            size = (max(SMALLEST, round(image.width * share)), max(SMALLEST, round(image.height * share)))
            pixels = np.asarray(image.resize(size, Image.Resampling.BICUBIC), np.float32)
            normal = (np.moveaxis(pixels, -1, 0)[None] - model.mean.numpy()) / model.std.numpy()
            yield np.pad(normal, ((0, 0), (0, 0), (0, -size[1] % DIVISOR), (0, -size[0] % DIVISOR)))
