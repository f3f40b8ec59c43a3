"""The exported graph, used as documented, gives what `ktse predict` gives: any size, scales, mirror image, merge."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from ktse import load
from ktse.errors import ExportError, RecipeError
from ktse.models.segmenter import Portable, Segmenter, describe
from ktse.models.weights import save_tensors
from ktse.prediction.predictor import Predictor
from ktse.recipe import PredictRecipe, SegmentRecipe
from ktse.stages.predict import TorchModel

pytest.importorskip("onnxruntime", reason="needs the extra export")
onnx = pytest.importorskip("onnx", reason="needs the extra export")

from ktse.exporting import network_graph as network_module  # noqa: E402
from ktse.exporting import onnx as module  # noqa: E402
from ktse.exporting import parity  # noqa: E402
from ktse.exporting.graph import around  # noqa: E402
from ktse.exporting.network_graph import network_graph  # noqa: E402
from ktse.exporting.onnx import export_onnx  # noqa: E402
from ktse.exporting.parity import check_photos, compare  # noqa: E402

CLASSES = ("cat", "dog", "ball")
RECIPES = {
    "own size": PredictRecipe(flip=False),
    "long side": PredictRecipe(flip=True, long_side=160),
    "scales": PredictRecipe(flip=True, scales=(0.5, 1.0, 1.5)),
    "maximum": PredictRecipe(flip=False, long_side=96, scales=(0.75, 1.25), merge="max"),
}
SHAPES = ((40, 56), (201, 140), (130, 131), (30, 180), (97, 61))
DOCS = Path(__file__).parents[2] / "docs" / "deployment.md"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model whose answers differ from place to place."""
    torch.manual_seed(0)
    model = Segmenter("unet", "resnet10t", len(CLASSES), "none")
    for part in model.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            part.running_mean.normal_(0, 0.1)
            part.running_var.uniform_(0.5, 1.5)
    recipe, path = (
        SegmentRecipe(architecture="unet", encoder="resnet10t"),
        tmp_path_factory.mktemp("m") / "m.safetensors",
    )
    save_tensors(path, model.state_dict(), describe(recipe, model, CLASSES))
    return path


@pytest.fixture(scope="module")
def portable(weights: Path) -> Portable:
    return Portable(TorchModel(weights, "fp32").network.model)


@pytest.fixture(scope="module")
def network(portable: Portable):
    """Written by torch once; the older exporter is quicker, and what it writes is put into the same graph."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(network_module, "_by_dynamo", refuse)
        return network_graph(portable)


def refuse(_: nn.Module) -> None:
    raise NotImplementedError("a shorter way for tests")


def photo(shape: tuple[int, int], seed: int = 0) -> np.ndarray:
    """(H, W, 3) smooth noise."""
    small = np.random.default_rng(seed).integers(0, 256, (7, 9, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(small).resize(shape[::-1], Image.Resampling.BICUBIC))


def session(content: bytes):
    import onnxruntime

    return onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("name", list(RECIPES))
def test_labels_are_those_of_predict_at_any_size(weights: Path, portable: Portable, network, name: str) -> None:
    recipe, mean, std = RECIPES[name], portable.model.mean.tolist(), portable.model.std.tolist()
    exported = session(around(network, mean, std, len(CLASSES), recipe).SerializeToString())
    original = Predictor(TorchModel(weights, "fp32"), recipe)
    for seed, shape in enumerate(SHAPES):
        image = photo(shape, seed)
        label, probability = exported.run(["label", "probability"], {"image": image[None]})
        expected = original.predict(image, probabilities=True)
        assert label.dtype == np.uint8 and label.shape == (1, *shape)
        assert probability.shape == (1, len(CLASSES) + 1, *shape)
        assert (label[0] == expected.label).mean() >= 0.999
        np.testing.assert_allclose(probability[0], expected.probabilities, atol=0.01)
        np.testing.assert_array_equal(label, probability.argmax(axis=1))
        assert len(np.unique(label)) > 1


def test_a_batch_is_its_images(portable: Portable, network) -> None:
    recipe, mean, std = RECIPES["long side"], portable.model.mean.tolist(), portable.model.std.tolist()
    exported = session(around(network, mean, std, len(CLASSES), recipe).SerializeToString())
    images = np.stack([photo((70, 90), seed) for seed in range(3)])
    together = exported.run(["probability"], {"image": images})[0]
    for image, found in zip(images, together, strict=True):
        np.testing.assert_allclose(exported.run(["probability"], {"image": image[None]})[0][0], found, atol=1e-4)


def test_the_network_is_stored_once_however_many_scales(portable: Portable, network) -> None:
    mean, std = portable.model.mean.tolist(), portable.model.std.tolist()
    one, three = (
        around(network, mean, std, len(CLASSES), replace(RECIPES["own size"], scales=scales)).ByteSize()
        for scales in ((1.0,), (0.5, 1.0, 1.5))
    )
    assert three < 1.1 * one


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, network) -> None:
    """Exports that take the network that is written already, and compare smaller images."""
    monkeypatch.setattr(parity, "SIZES", ((128, 96), (77, 131), (200, 150)))
    monkeypatch.setattr(network_module, "network_graph", lambda model: network)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("name", list(RECIPES))
def test_predict_of_the_file_is_predict_of_the_run(
    weights: Path, portable: Portable, tmp_path: Path, name: str
) -> None:
    """Tiles too, also such as are smaller than the long side."""
    recipe = replace(RECIPES[name], tile=80)
    export_onnx(portable, CLASSES, recipe, tmp_path / "m.onnx")
    original, exported = Predictor(TorchModel(weights, "fp32"), recipe), load(tmp_path / "m.onnx")
    assert exported.recipe == recipe and exported.classes == CLASSES
    for shape in ((150, 200), (60, 50)):
        found, expected = (one.predict(photo(shape), probabilities=True) for one in (exported, original))
        assert (found.label == expected.label).mean() >= 0.999
        assert found.confidence == pytest.approx(expected.confidence, abs=1e-3)


@pytest.mark.usefixtures("quick")
def test_what_is_in_the_graph_cannot_be_set_otherwise(portable: Portable, tmp_path: Path) -> None:
    export_onnx(portable, CLASSES, RECIPES["long side"], tmp_path / "m.onnx")
    assert load(tmp_path / "m.onnx", settings={"predict.overlay": True, "predict.flip": True}).recipe.overlay
    with pytest.raises(RecipeError) as caught:
        changes = {"predict.flip": False, "predict.scales": [2.0], "predict.tile": 130}
        load(tmp_path / "m.onnx", settings=changes)
    assert len(caught.value.where) == 3


@pytest.mark.usefixtures("quick")
def test_a_file_of_an_earlier_version_is_read_without_settings_that_are_gone(
    portable: Portable, tmp_path: Path
) -> None:
    export_onnx(portable, CLASSES, RECIPES["own size"], tmp_path / "m.onnx")
    older = onnx.load(tmp_path / "m.onnx")
    (entry,) = [entry for entry in older.metadata_props if entry.key == "predict"]
    entry.value = json.dumps({**json.loads(entry.value), "overlap": 128, "crf": {"iterations": 0}, "precision": "auto"})
    onnx.save(older, tmp_path / "older.onnx")
    assert load(tmp_path / "older.onnx").recipe == load(tmp_path / "m.onnx").recipe


@pytest.mark.usefixtures("quick")
def test_an_export_that_gives_something_else_fails_and_leaves_nothing(portable: Portable, tmp_path: Path) -> None:
    wrong = Portable(portable.model)
    wrong.mean = wrong.mean + 40  # what predict would use
    with pytest.raises(ExportError, match=r"not give what ktse predict gives: \d.*IoU"):
        export_onnx(wrong, CLASSES, RECIPES["long side"], tmp_path / "m.onnx")
    assert not list(tmp_path.iterdir())


def test_the_comparison_sees_another_size_and_a_mirror_image(portable: Portable, network) -> None:
    mean, std = portable.model.mean.tolist(), portable.model.std.tolist()
    images = list(check_photos([]))[:3]
    recipe = RECIPES["long side"]
    content = around(network, mean, std, len(CLASSES), recipe).SerializeToString()
    assert compare(portable, CLASSES, recipe, content, images).reaches(0.999)
    for other in (replace(recipe, long_side=0), replace(recipe, flip=False), replace(recipe, scales=(0.5,))):
        assert not compare(portable, CLASSES, other, content, images).reaches(module.AGREEMENT)


@pytest.mark.usefixtures("quick")
def test_eight_bits_say_what_they_keep(portable: Portable, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photos = []
    for seed in range(3):
        photos.append(tmp_path / f"{seed}.png")
        Image.fromarray(photo((90, 70), seed)).save(photos[-1])
    found = export_onnx(portable, CLASSES, RECIPES["long side"], tmp_path / "m.onnx", photos, int8=True)
    said = re.search(r"with int8 ([\d.]+) % of the labels equal, foreground IoU ([\d.]+) %", capsys.readouterr().err)
    assert float(said[1]) == pytest.approx(100 * found.equal, abs=0.01)
    assert float(said[2]) == pytest.approx(100 * found.foreground, abs=0.01)
    assert 0.5 <= found.equal < 1
    with pytest.raises(ExportError, match="needs photos"):
        export_onnx(portable, CLASSES, RECIPES["long side"], tmp_path / "n.onnx", int8=True)


@pytest.mark.usefixtures("quick")
def test_the_snippet_of_the_documentation_gives_what_predict_gives(
    weights: Path, portable: Portable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (code,) = re.findall(r"```python\n(import numpy[^`]*onnxruntime[^`]*)```", DOCS.read_text(encoding="utf-8"))
    export_onnx(portable, CLASSES, RECIPES["long side"], tmp_path / "model.onnx")
    monkeypatch.chdir(tmp_path)
    original = Predictor(TorchModel(weights, "fp32"), RECIPES["long side"])
    turned = Image.Exif()
    turned[0x0112] = 6
    for shape, exif in (((333, 250), None), ((100, 275), None), ((120, 300), turned)):
        Image.fromarray(photo(shape)).save("new.jpg", **({} if exif is None else {"exif": exif}))
        names: dict[str, object] = {}
        exec(code, names)
        assert (names["label"][0] == original.predict("new.jpg").label).mean() >= 0.99


def test_torch_s_newer_exporter_is_the_one_that_writes(portable: Portable, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("onnxscript", reason="torch's newer exporter needs it: pip install onnxscript")
    written = network_graph(portable)
    assert "older exporter" not in capsys.readouterr().err
    images = torch.randn(2, 3, 64, 160)
    found = session(written.SerializeToString()).run(None, {"images": images.numpy()})[0]
    with torch.no_grad():
        np.testing.assert_allclose(found, portable.model(images).numpy(), atol=1e-3)


def test_the_older_exporter_is_taken_with_a_reason(
    portable: Portable, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network_module, "_by_dynamo", refuse)
    network_graph(portable)
    assert "older exporter" in (text := capsys.readouterr().err)
    assert "NotImplementedError: a shorter way for tests" in text


def test_a_file_of_an_earlier_version_is_to_be_exported_again(tmp_path: Path) -> None:
    helper = onnx.helper
    kind = onnx.TensorProto.FLOAT
    values = [helper.make_tensor_value_info(name, kind, [1]) for name in ("image", "label")]
    old = helper.make_model(
        helper.make_graph([helper.make_node("Identity", ["image"], ["label"])], "g", values[:1], values[1:]),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    helper.set_model_props(old, {"classes": '["a"]', "predict": "{}", "ktse_version": "0.0.9"})
    onnx.save(old, str(tmp_path / "old.onnx"))
    with pytest.raises(Exception, match=r"0\.0\.9.*[\s\S]*Export it again"):
        load(tmp_path / "old.onnx")
