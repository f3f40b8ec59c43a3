"""The segmentation model as ONNX, used as `ktse predict` uses it, followed by a check that it gives the same."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from ktse._version import __version__
from ktse.errors import ExportError
from ktse.files import atomic
from ktse.models.segmenter import Portable
from ktse.recipe import PredictRecipe
from ktse.recipe.load import to_dict
from ktse.runtime.console import say

if TYPE_CHECKING:
    from ktse.exporting.parity import Parity

AGREEMENT = 0.99
"""Smallest share of equal labels, and smallest foreground IoU, between the exported model and `ktse predict`."""

INT8_EQUAL_LABELS = 0.5
"""Share of equal labels below which a quantised model is of no use."""


def export_onnx(
    model: Portable,
    classes: Sequence[str],
    recipe: PredictRecipe,
    out: Path,
    photos: Sequence[Path | BytesIO] = (),
    int8: bool = False,
) -> Parity:
    """Write a model as one .onnx file: image (B, H, W, 3) uint8 in; label and probability out, at its size.

    Size, scales, mirror image and merge of the recipe are in the graph; tiles and dense CRF are not. Class names,
    predict settings and version are in the metadata. Nothing is written unless the check is passed.

    Args:
        model: in evaluation mode, on the CPU.
        classes: names of the classes 1..C.
        recipe: how `ktse predict` applies the model.
        out: the file.
        photos: images for the check, and to measure the ranges of int8 on.
        int8: quantise weights and activations of convolutions and matrix products to eight bits.

    Returns:
        what the check has found.

    Raises:
        ExportError: onnx is not installed, the model cannot be exported, or the check failed.
        OSError: the file cannot be written.
    """
    missing = [name for name in ("onnx", "onnxruntime", "onnxscript") if find_spec(name) is None]
    if missing:
        raise ExportError(f"{', '.join(missing)}: not installed", hint="pip install 'ktse[export]'")
    import onnx

    from ktse.exporting.graph import around
    from ktse.exporting.network_graph import network_graph
    from ktse.exporting.parity import check_photos, compare

    say("export: torch writes the network as ONNX, which can take a minute")
    network = network_graph(model)
    mean, std = (value.flatten().tolist() for value in (model.model.mean, model.model.std))
    content = around(network, mean, std, len(classes), recipe).SerializeToString()
    images = list(check_photos(photos))
    found = compare(model, classes, recipe, content, images)
    text = f"{found}, over {found.photos} {'photos' if photos else 'images of noise'} of several sizes"
    if not found.reaches(AGREEMENT):
        hint = "Nothing was written. Another segment.architecture or another version of torch may help."
        raise ExportError(f"the exported model does not give what ktse predict gives: {text}", hint=hint)
    if int8:
        from ktse.exporting.int8 import quantised

        network = quantised(network, model, recipe, photos)
        content = around(network, mean, std, len(classes), recipe).SerializeToString()
        found = compare(model, classes, recipe, content, images)
        if found.equal < INT8_EQUAL_LABELS:
            raise ExportError(f"only {100 * found.equal:.1f} % of the labels survive int8", hint="Leave --int8 out.")
        text += f"; with int8 {found}"
    finished = onnx.load_model_from_string(content)
    onnx.helper.set_model_props(finished, _metadata(classes, recipe))
    with atomic(out) as part:
        part.write_bytes(finished.SerializeToString())
    say(f"{out.name}: against ktse predict in float32: {text}")
    if recipe.crf:
        say(f"{out.name}: the dense CRF of this run is not in the graph; ktse predict {out.name} applies it")
    if recipe.tile and not 0 < recipe.long_side <= recipe.tile:
        whole = f"photos whose longer side passes {recipe.tile} pixels go through the graph as a whole"
        say(f"{out.name}: {whole}; ktse predict {out.name} cuts them into tiles")
    return found


def _metadata(classes: Sequence[str], recipe: PredictRecipe) -> dict[str, str]:
    return {
        "classes": json.dumps(list(classes), ensure_ascii=False),
        "ktse_version": __version__,
        "predict": json.dumps(to_dict(recipe)),
        "outside": "tiles of photos larger than predict.tile pixels (at scale 1); the dense CRF (predict.crf); "
        "ktse predict FILE.onnx does both",
    }
