"""WideResNet-38: names, shapes, what learns and what comes out, as in the published network."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from ktse.errors import DataError, RecipeError
from ktse.models.backbone import Backbone
from ktse.models.cam_head import CamHead, CamNetwork
from ktse.models.import_weights import HEAD, VOC, convert, import_weights
from ktse.models.resnet38 import ResNet38d
from ktse.recipe import ClassifyRecipe
from ktse.stages.classify import build


@pytest.fixture(scope="module")
def listed(shared):
    """Name, shape, kind and sum of every tensor of the published network, in order."""
    return json.loads((shared / "golden" / "m_resnet38d_parameters.json").read_text())


def values(count: int, number: int) -> np.ndarray:
    """The reference's pseudo-random numbers in 0..1 for tensor `number`, in 32-bit arithmetic."""
    x = np.arange(1, count + 1, dtype=np.uint32) * np.uint32(2654435761)
    x += np.uint32((number + 1) * 2246822519 % 2**32)
    for shift, factor in ((15, 2246822519), (13, 3266489917)):
        x ^= x >> np.uint32(shift)
        x *= np.uint32(factor)
    x ^= x >> np.uint32(16)
    return x / 2**32


def tensor(entry: dict) -> torch.Tensor:
    if entry["kind"] == "zero":
        return torch.zeros((), dtype=torch.int64)
    u = values(int(np.prod(entry["shape"])), entry["k"])
    spread = 2 * u - 1
    if entry["kind"] == "conv":
        array = spread * np.sqrt(3 / np.prod(entry["shape"][1:]))
    elif entry["kind"] == "bn_weight":
        array = 1 + 0.1 * spread
    elif entry["kind"] == "bn_running_var" or entry["name"].endswith("running_var"):
        array = 1 + 0.5 * u
    else:
        array = 0.1 * spread
    return torch.from_numpy(array.astype(np.float32).reshape(entry["shape"]))


@pytest.fixture(scope="module")
def published(listed):
    """The published checkpoint's names with the reference's values."""
    return {entry["name"]: tensor(entry) for entry in listed}


@pytest.fixture(scope="module")
def network(published):
    """Our network with the published weights, by way of the import."""
    text, tensors, header = convert(published, Path("ktse.pth"))
    assert "KTSE" in text
    assert header["hidden"] == 256
    assert len(header["classes"]) == 20
    backbone = Backbone("resnet38d", 8, "none", frozen_stages=4)
    network = CamNetwork(backbone, CamHead(backbone.channels, 20))
    network.load_state_dict(tensors)
    return network


def test_the_reference_values_are_reproduced(listed, published):
    np.testing.assert_allclose(values(4, 0), [0.16698235, 0.41040814, 0.62293893, 0.35322881], atol=1e-8)
    for entry in listed[::17]:
        key = next(key for key in entry if "sum" in key)
        assert float(published[entry["name"]].double().sum()) == pytest.approx(entry[key], abs=1e-3), entry["name"]


def test_names_and_shapes_are_the_published_ones_in_order(listed):
    with torch.device("meta"):
        own = {name: list(value.shape) for name, value in ResNet38d(8).state_dict().items()}
    theirs = {e["name"]: e["shape"] for e in listed if not e["name"].startswith(("bn8", "fc", "gconv"))}
    assert list(own.items()) == list(theirs.items())


def test_what_learns_is_what_learns_there(network, shared):
    theirs = json.loads((shared / "golden" / "m_resnet38d_trainable.json").read_text())
    network.freeze_batch_norm(True)
    network.train()
    renamed = {new: old for old, new in HEAD.items()}
    own = {
        renamed.get(name, name.removeprefix("backbone.model."))
        for name, weight in network.named_parameters()
        if weight.requires_grad
    }
    assert own == set(theirs["trainable"])


@pytest.mark.parametrize("case", ["a", "b"])
def test_cam_and_scores_are_the_published_ones(network, golden, near, case):
    m = golden("m_resnet38d_forward")
    image = torch.from_numpy(m[f"{case}_input"])
    network.eval()
    network.freeze_batch_norm(True)
    with torch.no_grad():
        near(network.scores(image), m[f"{case}_camseg"], relative=1e-4)
    network.freeze_batch_norm(False)  # a folded norm works in the block before its own
    blocks = {}
    hooks = [
        module.register_forward_hook(lambda _, __, out, name=name: blocks.update({name: out}))
        for name, module in network.backbone.model.named_children()
    ]
    with torch.no_grad():
        scores = network.scores(image)
        cam, logits = network(image)
    for hook in hooks:
        hook.remove()
    near(scores, m[f"{case}_camseg"], relative=1e-4)
    near(cam, m[f"{case}_cam"], relative=1e-4)
    near(network.head.pyramid(cam), m[f"{case}_gpp"], relative=1e-4)
    near(logits, m[f"{case}_out"], relative=1e-4)
    compared = 0
    for row, name in enumerate(map(str, m["block_names"])):
        if name in blocks:
            out = blocks[name].double()
            assert list(out.shape) == m[f"{case}_block_shape"][row].tolist()
            near(out.flatten()[:8], m[f"{case}_block_first8"][row], relative=1e-4)
            near(torch.stack([out.mean(), out.std(correction=0)]), m[f"{case}_block_mean_std_f64"][row], relative=1e-4)
            compared += 1
    assert compared == 19


def test_an_imported_checkpoint_starts_the_network_of_a_recipe(published, tmp_path):
    torch.save({"state_dict": {f"module.{name}": value for name, value in published.items()}}, tmp_path / "a.pth")
    out = tmp_path / "a.safetensors"
    assert "KTSE" in import_weights(tmp_path / "a.pth", out)
    written = load_file(out)
    assert torch.equal(written["head.gates.2.negative.weight"], published["gconv3.att_n.0.weight"])
    recipe = ClassifyRecipe(backbone="resnet38d", output_stride=8, weights=str(out), frozen_stages=4)
    same = build(recipe, VOC).state_dict()
    assert all(torch.equal(same[name], value) for name, value in written.items())
    other = build(recipe, ("cat",) * 20)
    assert torch.equal(other.state_dict()["backbone.model.b7.conv_branch1.weight"], published["b7.conv_branch1.weight"])
    assert not torch.equal(other.head.reduce.weight, published["fc8.weight"])


def test_a_checkpoint_that_lacks_layers_says_which(published):
    part = dict(published)
    del part["b5_1.conv_branch2a.weight"]
    part["b6.conv_branch1.weight"] = part["b6.conv_branch1.weight"][:7]
    with pytest.raises(DataError) as caught:
        convert(part, Path("part.pth"))
    assert len(caught.value.where) == 2
    assert "b5_1.conv_branch2a.weight is missing" in caught.value.where[0]


def test_without_a_file_there_is_no_download():
    with pytest.raises(RecipeError, match="resnet38d") as caught:
        Backbone("resnet38d", 8, "hub")
    assert "import-weights" in caught.value.hint
