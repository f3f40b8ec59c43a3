"""Folded batch norms and float32 in dilated convolutions change how long a model takes, and nothing else."""

from __future__ import annotations

import copy
import io
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.nn.functional import batch_norm, conv2d

from ktse.models.backbone import Backbone
from ktse.models.folding import fold_batch_norms, unfold_batch_norms
from ktse.models.precision import keep_dilated_in_float32
from ktse.models.segmenter import Segmenter

NAMES = ["mobilenetv2_050", "resnet10t", "resnet38d", "mobilenetv3_small_050", "densenet121", "tf_efficientnet_b0"]


def used(model: nn.Module) -> nn.Module:
    """As after a training: no batch norm is the identity."""
    torch.manual_seed(0)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
    return model


def norms(model: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in model.modules())


@pytest.mark.parametrize("name", NAMES)
def test_the_features_and_the_names_stay(name: str) -> None:
    stride = 32 if name == "densenet121" else 16
    backbone, image = used(Backbone(name, stride, "none")).eval(), torch.randn(2, 3, 70, 96)
    state = {key: value.clone() for key, value in backbone.state_dict().items()}
    with torch.no_grad():
        expected = backbone(image)
        assert fold_batch_norms(backbone) > norms(backbone) / 3
        found = backbone(image)
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))
        assert not torch.equal(found, expected), "nothing was folded"
        unfold_batch_norms(backbone)
        assert torch.equal(backbone(image), expected)
    assert list(state) == list(backbone.state_dict())
    assert all(torch.equal(value, state[key]) for key, value in backbone.state_dict().items())


def test_a_convolution_and_its_norm_by_hand() -> None:
    model = used(nn.Sequential(nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.BatchNorm2d(4))).eval()
    convolution, norm = model
    image = torch.randn(2, 3, 9, 8)
    assert fold_batch_norms(model) == 1
    plain = conv2d(image, convolution.weight, convolution.bias, 2, 1)
    expected = batch_norm(plain, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps)
    torch.testing.assert_close(model(image), expected)


@pytest.mark.parametrize("side", [9, 3], ids=["few weights", "more weights than results"])
@pytest.mark.parametrize("frozen", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("affine", [True, False])
def test_gradients_stay(bias: bool, affine: bool, frozen: bool, side: int) -> None:
    torch.manual_seed(1)
    model = nn.Sequential(nn.Conv2d(3, 4, 3, bias=bias), nn.BatchNorm2d(4, affine=affine), nn.ReLU()).eval()
    model[1].running_var.uniform_(0.5, 2)
    model[1].running_mean.normal_()
    model[1].requires_grad_(not frozen)
    image, gradients = torch.randn(2, 3, side, side), []
    for fold in (False, True):
        assert not fold or fold_batch_norms(model) == 1
        model.zero_grad()
        model(image).square().sum().backward()
        gradients.append([weight.grad.clone() for weight in model[0].parameters()])
    for first, second in zip(*gradients, strict=True):
        torch.testing.assert_close(first, second, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("side", [32, 3], ids=["few weights", "more weights than results"])
def test_learning_holds_one_map_for_each_convolution(side: int) -> None:
    layers = (nn.BatchNorm2d(3), nn.ReLU(), nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU())
    model = used(nn.Sequential(*layers)).eval().requires_grad_(False)
    layers[2].requires_grad_(True)
    image, held = torch.randn(2, 3, side, side, requires_grad=True), []

    def hold(value: Tensor) -> Tensor:
        maps[value.data_ptr()] = value.numel()
        return value

    for fold in (False, True):
        assert not fold or fold_batch_norms(model) == 1
        maps: dict[int, int] = {}
        with saved_tensors_hooks(hold, lambda value: value):
            model(image)
        held.append(sum(size == image.numel() for size in maps.values()))
    # Without folding: what each norm is given, and what each ReLU gives.
    assert held == [4, 2]


def test_a_model_without_batch_norms_is_not_even_called() -> None:
    model = nn.Conv2d(5, 4, 3)  # takes no RGB image
    assert fold_batch_norms(model) == 0


class Twice(nn.Module):
    """What the convolution says is used beside the norm too."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

    def forward(self, image: Tensor) -> Tensor:
        features: Tensor = self.conv(image)
        normed: Tensor = self.norm(features)
        return features + normed


@pytest.mark.parametrize("filled_later", [True, False])
def test_a_convolution_with_other_uses_is_left_alone(filled_later: bool) -> None:
    model, image = Twice().eval(), torch.randn(1, 3, 8, 8)
    if filled_later:  # as it starts, the norm is the identity, and nothing would seem to change
        assert fold_batch_norms(model) == 0
    used(model)
    expected = model(image)
    assert fold_batch_norms(model) == 0
    assert torch.equal(model(image), expected)


def test_a_shared_convolution_is_left_alone() -> None:
    convolution = nn.Conv2d(3, 3, 3, padding=1)
    model = used(nn.Sequential(convolution, nn.BatchNorm2d(3), convolution, nn.BatchNorm2d(3))).eval()
    image = torch.randn(1, 3, 8, 8)
    expected = model(image)
    assert fold_batch_norms(model) == 0
    assert torch.equal(model(image), expected)


def test_the_mode_and_the_random_numbers_stay() -> None:
    backbone = Backbone("resnet10t", 16, "none").train()
    modes, random = [module.training for module in backbone.modules()], torch.get_rng_state()
    fold_batch_norms(backbone)
    assert [module.training for module in backbone.modules()] == modes
    assert torch.equal(torch.get_rng_state(), random)


def test_a_copy_is_folded_by_its_own_norms() -> None:
    model = used(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))).eval()
    fold_batch_norms(model)
    twin = copy.deepcopy(model)
    nn.init.zeros_(model[1].weight)
    image = torch.randn(1, 3, 8, 8)
    assert model(image).std(dim=(2, 3)).max() == 0 < twin(image).std()


def test_frozen_batch_norms_are_folded_and_others_are_not() -> None:
    def folded(model: nn.Module) -> int:
        return sum("folded" in vars(module) for module in model.modules())

    backbone = Backbone("mobilenetv2_050", 16, "none")
    assert folded(backbone) == 0
    backbone.freeze_batch_norm()
    assert folded(backbone) == norms(backbone)
    backbone.freeze_batch_norm(False)
    assert folded(backbone) == 0
    segmenter = Segmenter("unet", "resnet10t", 2, "none")
    segmenter.freeze_batch_norm()
    assert folded(segmenter) == folded(segmenter.encoder) > 0


def test_a_folded_model_is_exported_like_any_other() -> None:
    import onnxruntime

    model = used(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())).eval()
    fold_batch_norms(model)
    image, file = torch.randn(1, 3, 8, 8), io.BytesIO()
    torch.onnx.export(model, (image,), file, dynamo=False, input_names=["image"])
    session = onnxruntime.InferenceSession(file.getvalue())
    (found,) = session.run(None, {"image": image.numpy()})
    torch.testing.assert_close(torch.from_numpy(found), model(image).detach())


def test_dilated_depthwise_convolutions_are_trained_in_float32() -> None:
    torch.manual_seed(2)
    layers = (nn.Conv2d(6, 6, 3, padding=2, dilation=2, groups=6), nn.Conv2d(6, 6, 3, padding=2, dilation=2))
    model, image = nn.Sequential(*layers), torch.randn(2, 6, 9, 9)
    keep_dilated_in_float32(model)
    kinds: list[Any] = []
    for layer in layers:
        layer.register_forward_hook(lambda module, given, output: kinds.append(output.dtype))
    with torch.autocast("cpu", torch.bfloat16):
        model(image)
        with torch.no_grad():
            model(image)
    assert kinds == [torch.float32, torch.bfloat16, torch.bfloat16, torch.bfloat16]
    expected = conv2d(image, layers[0].weight, layers[0].bias, padding=2, dilation=2, groups=6)
    assert torch.equal(layers[0](image), expected)
