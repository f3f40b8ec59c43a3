"""An exported model, computed by onnxruntime alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ktse.errors import DataError, KtseError, RecipeError
from ktse.recipe import PredictRecipe
from ktse.recipe.load import known_settings, merged, recipe_from_dict, to_dict
from ktse.runtime.reading import reading

INPUT, FACTOR, LABEL, PROBABILITY, SEEN = "image", "factor", "label", "probability", "seen_"
"""Names in the graph: (B, H, W, 3) uint8 and a float64 number that may be left out; (B, H, W) integer,
(B, C+1, H, W) float32, and for each scale, with its number behind, (B, C+1, h, w) float32."""

INSIDE = ("scales", "merge", "flip", "long_side")
"""Settings that are part of the graph."""


def needs_factor(recipe: PredictRecipe) -> bool:
    """Whether tiles may be smaller than the long side: then their own longer side does not say how to resize them."""
    return 0 < recipe.tile < recipe.long_side


class OnnxModel:
    """A model file that `ktse export --format onnx` wrote.

    Args:
        path: the .onnx file.

    Attributes:
        path: the file.
        classes: names of the classes 1..C.
        settings: the predict settings that the model was exported with.

    Raises:
        DataError: the file is missing, damaged, or from somewhere else.
        KtseError: onnxruntime is not installed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.is_file():
            raise DataError(f"{path} does not exist", hint="ktse export RUN --format onnx --out FILE writes one.")
        try:
            import onnxruntime
        except ImportError as error:
            raise KtseError("onnxruntime is not installed", hint="pip install 'ktse[export]'") from error
        onnxruntime.set_default_logger_severity(3)
        hint = "ktse export RUN --format onnx --out FILE writes one."
        with reading(path, "is not a model that ktse exported", hint=hint):
            self.session = onnxruntime.InferenceSession(str(path), providers=onnxruntime.get_available_providers())
            metadata = self.session.get_modelmeta().custom_metadata_map
            self.classes: tuple[str, ...] = tuple(json.loads(metadata["classes"]))
            if not self.classes or not all(isinstance(name, str) for name in self.classes):
                raise ValueError("its classes are no names")
            self.settings: dict[str, Any] = known_settings({"predict": json.loads(metadata["predict"])})["predict"]
            self.settings = to_dict(recipe_from_dict({"predict": self.settings}, str(path)).predict)
            known = {output.name for output in self.session.get_outputs()}
            self.free = any(one.name == FACTOR for one in self.session.get_overridable_initializers())
        if f"{SEEN}0" in known and sum(name.startswith(SEEN) for name in known) != len(self.settings["scales"]):
            raise DataError(f"{path} is not a model that ktse exported", where="its graph has other scales", hint=hint)
        if f"{SEEN}0" not in known:
            raise DataError(
                f"{path} was exported by ktse {metadata.get('ktse_version', '0.1.0')}, whose graph lacks size, scales "
                "and mirror image",
                hint="Export it again: ktse export RUN --out FILE",
            )

    def recipe(self, changes: Mapping[str, Any]) -> PredictRecipe:
        """How the model is applied: as it was exported, but for changes to what is not part of the graph.

        Args:
            changes: settings by dotted name.

        Raises:
            RecipeError: a setting is unknown, out of range, or part of the graph.
        """
        exported = recipe_from_dict({"predict": self.settings}).predict
        recipe = recipe_from_dict(merged({"predict": self.settings}, changes)).predict
        fixed = [
            f"predict.{name} is {getattr(exported, name)!r} there, not {getattr(recipe, name)!r}"
            for name in INSIDE
            if getattr(recipe, name) != getattr(exported, name)
        ]
        if needs_factor(recipe) and not self.free:
            fixed.append(f"predict.tile may not be smaller there than predict.long_side, {recipe.long_side}")
        if fixed:
            hint = "Leave them out, predict with the run, or repeat ktse predict RUN with them and export again."
            raise RecipeError(f"{self.path} holds these settings in its graph", where=fixed, hint=hint)
        return recipe

    def seen(self, image: Image.Image, factor: float) -> list[np.ndarray]:
        """Scores of an RGB image at every scale; see ktse.prediction.scales.seen."""
        import onnxruntime

        options = onnxruntime.RunOptions()
        options.only_execute_path_to_fetches = True  # what follows at the image's own size is done in bands
        names = [f"{SEEN}{number}" for number in range(len(self.settings["scales"]))]
        given = {INPUT: np.asarray(image)[None]}
        if self.free:
            given[FACTOR] = np.array(factor, np.float64)
        return [found[0] for found in self.session.run(names, given, options)]
