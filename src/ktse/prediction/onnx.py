"""An exported model, computed by onnxruntime alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from ktse.errors import DataError, KtseError

INPUT, LABEL, PROBABILITY, LOGITS = "image", "label", "probability", "logits"
"""Names in the graph: (B, H, W, 3) uint8; (B, H, W) integer; twice (B, C+1, H, W) float32."""


class OnnxModel:
    """A model file that `ktse export --format onnx` wrote.

    Args:
        path: the .onnx file.

    Attributes:
        classes: names of the classes 1..C.
        settings: the predict settings that the model was exported with.

    Raises:
        DataError: the file is missing, damaged, or from somewhere else.
        KtseError: onnxruntime is not installed.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise DataError(f"{path} does not exist", hint="ktse export RUN --format onnx --out FILE writes one.")
        try:
            import onnxruntime
        except ImportError as error:
            raise KtseError("onnxruntime is not installed", hint="pip install 'ktse[export]'") from error
        onnxruntime.set_default_logger_severity(3)
        try:
            self.session = onnxruntime.InferenceSession(str(path), providers=onnxruntime.get_available_providers())
            metadata = self.session.get_modelmeta().custom_metadata_map
            self.classes = tuple(json.loads(metadata["classes"]))
            self.settings: dict[str, Any] = json.loads(metadata["predict"])
        except Exception as error:  # onnxruntime's errors share no base class
            raise DataError(
                f"{path} is not a model that ktse exported", where=f"{type(error).__name__}: {error}".splitlines()[0],
                hint="ktse export RUN --format onnx --out FILE writes one.",
            ) from error  # fmt: skip

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """(B, H, W, 3) uint8 RGB to (B, C+1, H, W) float32, 0..1."""
        return np.asarray(self.session.run([PROBABILITY], {INPUT: images})[0])

    def logits(self, images: np.ndarray) -> np.ndarray:
        """(B, H, W, 3) uint8 RGB to (B, C+1, H, W) float32, whose softmax the probabilities are."""
        return np.asarray(self.session.run([LOGITS], {INPUT: images})[0])
