"""The ONNX graph around a network: everything that `ktse predict` does to one photo, from its pixels to its labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from ktse.models.segmenter import DIVISOR
from ktse.prediction.onnx import FACTOR, INPUT, LABEL, PROBABILITY, SEEN, needs_factor
from ktse.prediction.scales import SMALLEST
from ktse.recipe import PredictRecipe

IR_VERSION = 9
"""That of ONNX 1.14, the first with operator set 19; older runtimes read it."""

WIDER: dict[str, Any] = {"mode": "cubic", "antialias": 1, "exclude_outside": 1, "cubic_coeff_a": -0.5}
"""Pillow's bicubic filter in ONNX's words."""


class _Graph:
    """Nodes and constants that are added one by one."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.constants: dict[str, Any] = {}

    def __call__(self, kind: str, *inputs: str, out: Sequence[str] = (), **attributes: Any) -> str:
        """Add a node; returns the name of its first output."""
        outputs = list(out) or [f"{kind}_{len(self.nodes)}"]
        self.nodes.append(helper.make_node(kind, list(inputs), outputs, **attributes))
        return outputs[0]

    def constant(self, values: Any, kind: type[np.generic]) -> str:
        """Add a constant, once; returns its name."""
        array = np.asarray(values, kind)
        name = f"{array.dtype}_{'x'.join(map(str, array.shape))}_{'_'.join(map(str, array.ravel().tolist()))}"
        self.constants[name] = numpy_helper.from_array(array, name)
        return name

    def whole(self, *values: int) -> str:
        """Add a vector of int64."""
        return self.constant(values, np.int64)

    def cast(self, value: str, kind: int) -> str:
        """Add a change of type."""
        return self("Cast", value, to=kind)

    def mirrored(self, images: str) -> str:
        """(B, K, H, W) from right to left."""
        return self("Slice", images, self.whole(-1), self.whole(-(2**31)), self.whole(3), self.whole(-1))


def around(
    network: ModelProto, mean: Sequence[float], std: Sequence[float], classes: int, recipe: PredictRecipe
) -> ModelProto:
    """Put a network into the graph of its use: size, scales and mirror image of the recipe, labels at the photo's size.

    The dense CRF and the tiles of large photos are not in it.

    Args:
        network: (B, 3, h, w) float32 normalised images, sides multiples of 32, to (B, C+1, h, w) float32 logits.
        mean: (3,) of pixels in 0..1.
        std: (3,) of pixels in 0..1.
        classes: C.
        recipe: how `ktse predict` applies the network.

    Returns:
        a model from "image", (B, H, W, 3) uint8 RGB, to "label", (B, H, W) uint8 (int32 from 255 classes on),
        "probability", (B, C+1, H, W) float32, and for each scale "seen_0" and so on, (B, C+1, h, w) float32: what is
        merged. Where tiles may be smaller than the long side, "factor", a float64 number that may be left out,
        replaces the factor that follows from the longer side of the image.
    """
    g = _Graph()
    batch, size = g("Shape", INPUT, start=0, end=1), g("Shape", INPUT, start=1, end=3)
    sides = g.cast(size, TensorProto.DOUBLE)
    longest = g("ReduceMax", sides, keepdims=0)
    own = g("Div", g.constant(recipe.long_side, np.float64), longest) if recipe.long_side else g.constant(1, np.float64)
    used = g("Where", g("Greater", FACTOR, g.constant(0, np.float64)), FACTOR, own) if needs_factor(recipe) else own
    pixels, large = g("Transpose", INPUT, perm=[0, 3, 1, 2]), []
    full = g("Concat", batch, g.whole(classes + 1), size, axis=0)
    for number, scale in enumerate(recipe.scales):
        scaled = g("Round", g("Mul", g("Mul", sides, used), g.constant(scale, np.float64)))
        wanted = g("Max", g.cast(scaled, TensorProto.INT64), g.whole(SMALLEST, SMALLEST))
        target = g("Concat", batch, g.whole(3), wanted, axis=0)
        small = g("Resize", pixels, "", "", target, coordinate_transformation_mode="half_pixel", **WIDER)
        images = g("Concat", small, g.mirrored(small), axis=0) if recipe.flip else small
        logits = _inlined(g, network, _prepared(g, images, wanted, mean, std), f"scale{number}/")
        scores = g("Slice", logits, g.whole(0, 0), wanted, g.whole(2, 3))
        if recipe.merge == "mean":
            scores = g("Softmax", scores, axis=1)
        seen = f"{SEEN}{number}"
        if recipe.flip:
            plain, other = f"plain_{number}", f"other_{number}"
            g("Split", scores, out=(plain, other), axis=0, num_outputs=2)
            g("Mul", g("Add", plain, g.mirrored(other)), g.constant(0.5, np.float32), out=(seen,))
        else:
            g("Identity", scores, out=(seen,))
        large.append(g("Resize", seen, "", "", full, mode="linear", coordinate_transformation_mode="half_pixel"))
    if recipe.merge == "max":
        g("Softmax", g("Max", *large), axis=1, out=(PROBABILITY,))
    else:
        g("Mul", g("Sum", *large), g.constant(1 / len(large), np.float32), out=(PROBABILITY,))
    kind = TensorProto.UINT8 if classes < 255 else TensorProto.INT32
    g("Cast", g("ArgMax", PROBABILITY, axis=1, keepdims=0), out=(LABEL,), to=kind)
    return _model(g, network, classes, recipe, kind)


def _prepared(g: _Graph, images: str, size: str, mean: Sequence[float], std: Sequence[float]) -> str:
    """Normalised, with zeros at the right and below up to sides that the network can halve five times."""
    centred = g("Sub", g.cast(images, TensorProto.FLOAT), g.constant(_levels(mean), np.float32))
    normal = g("Div", centred, g.constant(_levels(std), np.float32))
    divisor = g.whole(DIVISOR, DIVISOR)
    missing = g("Mod", g("Sub", divisor, g("Mod", size, divisor)), divisor)
    return g("Pad", normal, g("Concat", g.whole(*[0] * 6), missing, axis=0), g.constant(0, np.float32))


def _levels(values: Sequence[float]) -> np.ndarray:
    """(3,) in 0..1 as (1, 3, 1, 1) in 0..255."""
    return (255 * np.asarray(values, np.float32)).reshape(1, 3, 1, 1)


def _inlined(g: _Graph, network: ModelProto, images: str, prefix: str) -> str:
    """A copy of the network's nodes, which share its weights with every other copy; returns their output."""
    names = {network.graph.input[0].name: images}
    for node in network.graph.node:
        copied = NodeProto()
        copied.CopyFrom(node)
        _rename(copied, names, prefix)
        g.nodes.append(copied)
    return names[network.graph.output[0].name]


def _rename(node: NodeProto, names: dict[str, str], prefix: str) -> None:
    node.name = prefix + node.name if node.name else ""
    node.input[:] = [names.get(name, name) for name in node.input]
    names |= {name: prefix + name for name in node.output if name}
    node.output[:] = [names.get(name, name) for name in node.output]
    for attribute in node.attribute:
        if attribute.type == AttributeProto.GRAPH:
            _rename_inside(attribute.g, dict(names), prefix)


def _rename_inside(graph: GraphProto, names: dict[str, str], prefix: str) -> None:
    for node in graph.node:
        _rename(node, names, prefix)
    for output in graph.output:
        output.name = names.get(output.name, output.name)


def _model(g: _Graph, network: ModelProto, classes: int, recipe: PredictRecipe, kind: int) -> ModelProto:
    wide = ("batch", classes + 1, "height", "width")
    info, number = helper.make_tensor_value_info, TensorProto.FLOAT
    inputs = [info(INPUT, TensorProto.UINT8, ("batch", "height", "width", 3))]
    outputs = [info(LABEL, kind, ("batch", "height", "width")), info(PROBABILITY, number, wide)]
    for scale in range(len(recipe.scales)):
        outputs.append(info(f"{SEEN}{scale}", number, ("batch", classes + 1, f"height_{scale}", f"width_{scale}")))
    weights = [*network.graph.initializer, *g.constants.values()]
    if needs_factor(recipe):
        inputs.append(info(FACTOR, TensorProto.DOUBLE, ()))
        weights.append(numpy_helper.from_array(np.zeros((), np.float64), FACTOR))  # with a value, it may be left out
    model = helper.make_model(
        helper.make_graph(g.nodes, "ktse", inputs, outputs, weights),
        producer_name="ktse",
        opset_imports=network.opset_import,
        ir_version=max(IR_VERSION, network.ir_version),
    )
    onnx.checker.check_model(model)
    return model
