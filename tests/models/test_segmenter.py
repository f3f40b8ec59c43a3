"""The contract of every segmentation model: odd sizes, save and load, export, the same answer by onnxruntime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from ktse.errors import ExportError, RecipeError
from ktse.exporting import network_graph, parity
from ktse.exporting.onnx import export_onnx
from ktse.models.deeplab import Aspp
from ktse.models.segmenter import Portable, Segmenter, describe
from ktse.models.weights import save_tensors
from ktse.prediction.onnx import OnnxModel
from ktse.recipe import PredictRecipe, SegmentRecipe
from ktse.stages.segment import load_model

PAIRS = [
    ("unet", "resnet10t"),
    ("head", "resnet10t"),
    ("head", "tf_efficientnet_lite2"),
    ("deeplabv3plus", "mobilenetv2_100"),
    ("fpn", "convnext_atto"),
    ("linknet", "resnet18"),
    ("manet", "resnet10t"),
    ("segformer", "resnet10t"),
    ("deeplabv2", "resnet18"),
    ("deeplabv2", "mobilenetv2_100"),
    ("deeplabv2", "vgg16"),
    ("deeplabv2", "resnet101"),
    ("deeplabv2", "resnet38d"),
]
LARGE = ("vgg16", "resnet101", "resnet38d")
CLASSES = ("cat", "Hund", "鳥")


def randomised(model: Segmenter) -> Segmenter:
    """Weights and statistics away from their start, so that the answers are not all the same."""
    generator = torch.Generator().manual_seed(0)
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.running_mean.normal_(0, 0.1, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)
    return model.eval()


def refuse(_: nn.Module) -> None:
    """In place of torch's newer exporter, which takes half a minute a network; tests/exporting tries that."""
    raise NotImplementedError


@pytest.mark.parametrize(("architecture", "encoder"), PAIRS, ids=["-".join(pair) for pair in PAIRS])
def test_contract(architecture: str, encoder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    monkeypatch.setattr(parity, "SIZES", ((64, 40), (41, 33)) if encoder in LARGE else ((128, 96), (77, 131)))
    monkeypatch.setattr(network_graph, "_by_dynamo", refuse)
    model = randomised(Segmenter(architecture, encoder, len(CLASSES), "none"))
    for shape in ((2, 3, 65, 33), (1, 3, 32, 97)):
        with torch.no_grad():
            scores = model(torch.randn(shape))
        assert scores.shape == (shape[0], 4, *shape[2:])
        assert scores.isfinite().all()
    recipe = SegmentRecipe(architecture=architecture, encoder=encoder)
    save_tensors(tmp_path / "model.safetensors", model.state_dict(), describe(recipe, model, CLASSES))
    loaded, classes = load_model(tmp_path / "model.safetensors")
    assert classes == CLASSES
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(loaded(image), model(image))
    del model
    result = export_onnx(Portable(loaded), CLASSES, PredictRecipe(scales=(0.5, 1.0)), tmp_path / "m.onnx")
    assert min(result.equal, result.foreground) >= 0.99
    exported = OnnxModel(tmp_path / "m.onnx")
    assert exported.classes == CLASSES
    assert exported.settings["scales"] == [0.5, 1.0]
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (45, 83, 3), dtype=np.uint8))
    half, full = exported.seen(picture, 1.0)
    assert half.shape == (4, 32, 42) and full.shape == (4, 45, 83)
    np.testing.assert_allclose(full.sum(axis=0), 1, atol=1e-4)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.onnx", "model.safetensors"]


def test_an_architecture_that_cannot_be_exported_is_a_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network_graph, "_by_dynamo", refuse)
    model = Portable(Segmenter("pspnet", "resnet10t", 2, "none"))
    with pytest.raises(ExportError, match="cannot be written") as caught:
        export_onnx(model, CLASSES[:2], PredictRecipe(), tmp_path / "m.onnx")
    assert len(str(caught.value)) < 800
    assert not list(tmp_path.iterdir())


def test_pre_processing_is_that_of_training() -> None:
    """Plain pixels through the portable model equal images normalised by mean and std in 0..1."""
    model = randomised(Segmenter("unet", "resnet10t", 2, "none"))
    model.mean, model.std = torch.tensor([0.1, 0.5, 0.9]), torch.tensor([0.2, 0.3, 0.4])
    pixels = torch.randint(0, 256, (1, 48, 40, 3), dtype=torch.uint8)
    normalised = (pixels.permute(0, 3, 1, 2) / 255 - model.mean.view(3, 1, 1)) / model.std.view(3, 1, 1)
    with torch.no_grad():
        torch.testing.assert_close(Portable(model)(pixels), model(normalised), atol=1e-5, rtol=1e-5)


def test_aspp_is_the_sum_of_four_dilated_convolutions_of_one_kernel_each() -> None:
    aspp = Aspp(5, 3).eval()
    features = torch.zeros(1, 5, 61, 61)
    features[0, :, 30, 30] = 1
    with torch.no_grad():
        for name, weight in aspp.named_parameters():
            weight.fill_(0 if name.endswith("bias") else 1)
        scores = aspp(features)[0, 0]
    expected = torch.zeros(61, 61)
    expected[30, 30] = 20
    for dilation in (6, 12, 18, 24):
        for y in (-dilation, 0, dilation):
            for x in (-dilation, 0, dilation):
                expected[30 + y, 30 + x] += 5 if (y, x) != (0, 0) else 0
    assert torch.equal(scores, expected)


@pytest.mark.parametrize(("architecture", "encoder"), [("magic", "resnet18"), ("deeplabv2", "magic")])
def test_unknown_names_are_a_message(architecture: str, encoder: str) -> None:
    with pytest.raises(RecipeError, match="magic"):
        Segmenter(architecture, encoder, 2, "none")


def test_only_the_head_of_deeplabv2_counts_as_random_start() -> None:
    model = Segmenter("deeplabv2", "resnet10t", 2, "none")
    inside, rest = (sum(p.numel() for p in part.parameters()) for part in (model.encoder, model.rest()))
    assert inside + rest == sum(p.numel() for p in model.parameters())
    assert rest == 4 * (512 * 9 + 1) * 3


@pytest.mark.parametrize(
    ("architecture", "encoder"), [("deeplabv3plus", "mobilenetv2_050"), ("deeplabv2", "resnet10t")]
)
@pytest.mark.parametrize("count", [0, 3, -1])
def test_frozen_stages_come_first_and_do_not_learn(architecture: str, encoder: str, count: int) -> None:
    model = Segmenter(architecture, encoder, 2, "none")
    model.freeze_stages(count)
    before = {key: value.clone() for key, value in model.encoder.state_dict().items()}
    model.train()(torch.randn(2, 3, 96, 96)).square().mean().backward()
    torch.optim.SGD([weight for weight in model.parameters() if weight.requires_grad], lr=0.1).step()
    learned = [not torch.equal(value, before[key]) for key, value in model.encoder.state_dict().items()]
    first = learned.index(True) if any(learned) else len(learned)
    assert (first > 0) == (count != 0)
    assert (first == len(learned)) == (count == -1)
    assert all(weight.requires_grad for weight in model.rest().parameters())
