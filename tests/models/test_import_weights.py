"""Weights from elsewhere: recognised, renamed, refused."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import load_file, save_file

from ktse.api import import_weights
from ktse.cli import main
from ktse.errors import DataError
from ktse.models.backbone import Backbone
from ktse.models.import_weights import convert, from_mxnet
from ktse.models.resnet38 import ResNet38d


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("conv1a_weight", "conv1a.weight"),
        ("res2a_branch2a_weight", "b2.conv_branch2a.weight"),
        ("res2a_branch1_weight", "b2.conv_branch1.weight"),
        ("res4b5_branch2b1_weight", "b4_5.conv_branch2b1.weight"),
        ("bn2b2_branch2a_gamma", "b2_2.bn_branch2a.weight"),
        ("bn6a_branch2b2_moving_var", "b6.bn_branch2b2.running_var"),
        ("bn7_moving_mean", "bn7.running_mean"),
        ("bn7_beta", "bn7.bias"),
        ("linear1000_weight", ""),
        ("linear1000_bias", ""),
    ],
)
def test_mxnet_names_become_ours(theirs: str, ours: str) -> None:
    assert from_mxnet(theirs) == ours


def to_mxnet(name: str) -> str:
    """The inverse, written on its own: which name MXNet has for one of ours."""
    parts = name.split(".")
    last = {"bias": "beta", "running_mean": "moving_mean", "running_var": "moving_var"}
    if parts[0] == "conv1a":
        return "conv1a_weight"
    end = last.get(parts[-1], "gamma")
    if parts[0] == "bn7":
        return f"bn7_{end}"
    block, _, unit = parts[0][1:].partition("_")
    kind, branch = parts[1].split("_")
    where = f"{block}b{unit}" if unit else f"{block}a"
    return f"res{where}_{branch}_weight" if kind == "conv" else f"bn{where}_{branch}_{end}"


def test_a_whole_mxnet_network_is_found_complete() -> None:
    with torch.device("meta"):
        state = {k: v for k, v in ResNet38d(8).state_dict().items() if not k.endswith("num_batches_tracked")}
    theirs = {to_mxnet(name): value for name, value in state.items()} | {"linear1000_weight": torch.zeros(1000, 4096)}
    text, tensors, header = convert(theirs, Path("a.params"))
    assert "WideResNet-38" in text
    assert header == {"backbone": "resnet38d"}
    assert {name: value.shape for name, value in tensors.items()} == {name: v.shape for name, v in state.items()}


def test_params_are_read_and_written(tmp_path: Path) -> None:
    value = np.arange(6, dtype=np.float32).reshape(2, 3)
    content = struct.pack("<QQQ", 0x112, 0, 1) + struct.pack("<IiIqqiii", 0xF993FAC9, 0, 2, 2, 3, 1, 0, 0)
    content += value.tobytes() + struct.pack("<QQ5s", 1, 5, b"arg:w")
    (tmp_path / "a.params").write_bytes(content)
    import_weights(tmp_path / "a.params", out=tmp_path / "a.safetensors")
    np.testing.assert_array_equal(load_file(tmp_path / "a.safetensors")["w"].numpy(), value)


@pytest.mark.parametrize("wrapped", [False, True])
def test_weights_of_any_timm_model_start_that_model(tmp_path: Path, wrapped: bool) -> None:
    torch.manual_seed(3)
    state = timm.create_model("resnet10t").state_dict()
    content = {"epoch": 3, "state_dict": {f"module.{k}": v for k, v in state.items()}} if wrapped else state
    torch.save(content, tmp_path / "a.pth")
    assert main(["import-weights", str(tmp_path / "a.pth"), "--out", str(tmp_path / "out.safetensors")]) == 0
    backbone = Backbone("resnet10t", 16, str(tmp_path / "out.safetensors"))
    assert torch.equal(backbone.model.layer4[0].conv1.weight, state["layer4.0.conv1.weight"])


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.pth", b"nonsense"),
        ("a.pth", b""),
        ("a.safetensors", b"nonsense"),
        ("a.params", b"nonsense"),
        ("a.txt", b"nonsense"),
    ],
)
def test_what_cannot_be_read_is_a_message_and_leaves_nothing(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=name):
        import_weights(tmp_path / name, out=tmp_path / "out.safetensors")
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_code_in_a_file_is_never_run(tmp_path: Path) -> None:
    torch.save({"state_dict": pytest.fail}, tmp_path / "evil.pth")
    with pytest.raises(DataError, match=r"evil\.pth"):
        import_weights(tmp_path / "evil.pth", out=tmp_path / "out.safetensors")


def test_a_file_without_tensors_and_a_wrong_ending_are_messages(tmp_path: Path) -> None:
    torch.save({"epoch": 3}, tmp_path / "a.pth")
    with pytest.raises(DataError, match="holds no tensors"):
        import_weights(tmp_path / "a.pth", out=tmp_path / "out.safetensors")
    save_file({"a": torch.ones(1)}, tmp_path / "a.safetensors")
    with pytest.raises(DataError, match="does not end"):
        import_weights(tmp_path / "a.safetensors", out=tmp_path / "out.pth")
    with pytest.raises(DataError, match="nowhere"):
        import_weights(tmp_path / "nowhere.pth", out=tmp_path / "out.safetensors")
