"""The segmentation model as ONNX, with everything around it inside, followed by a check that it computes the same."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from ktse import __version__
from ktse.console import say
from ktse.data.image import read_image
from ktse.errors import ExportError
from ktse.models.segmenter import Portable
from ktse.prediction.onnx import INPUT, LABEL, LOGITS, PROBABILITY
from ktse.recipe import PredictRecipe
from ktse.run_folder import atomic
from ktse.settings import to_dict

OPSET = 17
SHAPES = ((1, 96, 128), (2, 131, 77), (1, 64, 257), (1, 200, 180))
"""Batch, height and width of the images of the parity check; odd ones on purpose."""

LOGIT_ERROR, EQUAL_LABELS = 1e-3, 0.999
"""Largest difference of a logit and smallest share of equal labels that pass the check."""

INT8_EQUAL_LABELS = 0.5
"""Share of equal labels below which a quantised model is of no use."""

CALIBRATION, CALIBRATION_SIDE = 32, 512
"""Number of images from which the ranges of int8 are measured, and their largest side."""


def export_onnx(
    model: Portable,
    classes: Sequence[str],
    recipe: PredictRecipe,
    out: Path,
    photos: Sequence[Path | BytesIO] = (),
    int8: bool = False,
) -> dict[str, float]:
    """Write a model as one .onnx file: image (B, H, W, 3) uint8 in; label, probability and logits out, at its size.

    Class names, predict settings and version are in the metadata. The file takes its place only once it has passed
    the parity check.

    Args:
        model: in evaluation mode, on the CPU.
        classes: names of the classes 1..C.
        recipe: how `ktse predict` applies the model.
        out: the file.
        photos: images for the check, and to measure the ranges of int8 on.
        int8: quantise weights and activations of convolutions and matrix products to eight bits.

    Returns:
        "logit_error", "equal_labels", and for int8 "int8_equal_labels".

    Raises:
        ExportError: onnx is not installed, the model cannot be exported, or the check failed.
    """
    try:
        import onnx
        import onnxruntime  # noqa: F401 (the check needs it)
    except ImportError as error:
        raise ExportError(f"{error.name} is not installed", hint="pip install 'ktse[export]'") from error
    metadata = {
        "classes": json.dumps(list(classes), ensure_ascii=False), "ktse_version": __version__,
        "predict": json.dumps(to_dict(recipe)),
    }  # fmt: skip
    with atomic(out) as part:
        _trace(model, part)
        content = onnx.load(str(part))
        onnx.helper.set_model_props(content, metadata)
        onnx.save(content, str(part))
        images = list(check_images(photos))
        result = compare(model, part, images)
        text = f"largest logit error {result['logit_error']:.1e}, {100 * result['equal_labels']:.2f} % of labels equal"
        if result["logit_error"] > LOGIT_ERROR or result["equal_labels"] < EQUAL_LABELS:
            raise ExportError(
                f"the exported model does not compute the same: {text}",
                hint="Nothing was written. Another segment.architecture or another version of torch may help.",
            )
        if int8:
            _quantise(part, photos)
            equal = compare(model, part, images)["equal_labels"]
            if equal < INT8_EQUAL_LABELS:
                raise ExportError(f"only {100 * equal:.1f} % of the labels survive int8", hint="Export without --int8.")
            result["int8_equal_labels"] = equal
            text += f"; with int8 {100 * equal:.2f} %"
    say(f"{out.name}: {text}, over {len(images)} batches")
    return result


def _trace(model: Portable, path: Path) -> None:
    free = {0: "batch", 1: "height", 2: "width"}
    wide = {0: "batch", 2: "height", 3: "width"}
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            # The tracing exporter: the newer one takes thirty times as long and needs onnxscript.
            torch.onnx.export(
                model, (torch.zeros(2, 96, 128, 3, dtype=torch.uint8),), str(path), dynamo=False, opset_version=OPSET,
                input_names=[INPUT], output_names=[LABEL, PROBABILITY, LOGITS],
                dynamic_axes={INPUT: free, LABEL: free, PROBABILITY: wide, LOGITS: wide},
            )  # fmt: skip
    except Exception as error:  # torch's exporter raises whatever its parts raise
        raise ExportError(
            "this model cannot be written as ONNX", where=f"{type(error).__name__}: {error}".splitlines()[0][:300],
            hint="Architectures whose layers pool to a fixed size (pspnet, upernet) cannot; unet, fpn, deeplabv3plus "
            "and deeplabv2 can.",
        ) from error  # fmt: skip
    finally:
        log.setLevel(level)


def check_images(photos: Sequence[Path | BytesIO]) -> Iterator[np.ndarray]:
    """Batches (B, H, W, 3) uint8: smooth noise at several sizes, then a few photos."""
    generator = np.random.default_rng(0)
    for count, height, width in SHAPES:
        noise = generator.integers(0, 256, (count, 7, 9, 3), dtype=np.uint8)
        pictures = [Image.fromarray(field).resize((width, height), Image.Resampling.BICUBIC) for field in noise]
        yield np.stack([np.asarray(picture) for picture in pictures])
    for photo in photos[:4]:
        yield _small(photo)


def _small(photo: Path | BytesIO) -> np.ndarray:
    """A photo as (1, H, W, 3) uint8, not larger than the calibration needs."""
    image = read_image(photo)
    image.thumbnail((CALIBRATION_SIDE, CALIBRATION_SIDE))
    return np.asarray(image)[None]


def compare(model: Portable, path: Path, images: Sequence[np.ndarray]) -> dict[str, float]:
    """Compute images by torch and by onnxruntime.

    Returns:
        "logit_error": largest absolute difference; "equal_labels": share of the pixels, 0..1.
    """
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    worst, equal, pixels = 0.0, 0, 0
    for batch in images:
        with torch.inference_mode():
            label, _, logits = (np.asarray(value) for value in model(torch.from_numpy(batch.copy())))
        found_label, found_logits = session.run([LABEL, LOGITS], {INPUT: batch})
        if found_label.shape != label.shape:
            raise ExportError(f"the exported model answers {label.shape} with {found_label.shape}")
        difference = float(np.abs(found_logits - logits).max())
        worst = max(worst, difference) if np.isfinite(difference) else float("inf")
        equal, pixels = equal + int((found_label == label).sum()), pixels + label.size
    return {"logit_error": worst, "equal_labels": equal / pixels}


def _quantise(path: Path, photos: Sequence[Path | BytesIO]) -> None:
    """Quantise in place: statically, the ranges measured on photos; weights alone would make convolutions slower."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    if not photos:
        raise ExportError(
            "int8 needs photos to measure ranges on",
            hint="Export a run whose images are still there, not a lone model.",
        )

    class Photos(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.left = iter(photos[:CALIBRATION])

        def get_next(self) -> dict[str, Any] | None:
            photo = next(self.left, None)
            return None if photo is None else {INPUT: _small(photo)}

    # The library warns at length, on the root logger, of a step that is not needed here.
    level, small = logging.getLogger().level, path.with_name(f"{path.name}.int8")
    logging.getLogger().setLevel(logging.ERROR)
    try:
        quantize_static(
            str(path), str(small), Photos(), quant_format=QuantFormat.QDQ, per_channel=True,
            op_types_to_quantize=["Conv", "MatMul", "Gemm"], activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )  # fmt: skip
        small.replace(path)
    finally:
        logging.getLogger().setLevel(level)
        small.unlink(missing_ok=True)
