"""Parsers of models and weights."""

from __future__ import annotations

import io
import json
import random
import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))

import fuzz_changes as change
from fuzz_base import Parser

from drawn import CLASSES, SEVERAL, tagged
from ktse.data.open import open_data
from ktse.recipe import DataRecipe
from ktse.recipe.load import load_recipe, to_dict
from ktse.run_folder import RunFolder


class Models(Parser):
    """Models of a run: safetensors whose header says what to build."""

    file = "model.safetensors"
    changes = [change.of_safetensors, change.of_safetensors, change.of_bytes]
    heavy = True

    def prepare(self) -> None:
        import torch

        from ktse.models.segmenter import Segmenter, describe
        from ktse.models.weights import save_model
        from ktse.recipe import SegmentRecipe

        torch.manual_seed(0)
        model = Segmenter("deeplabv3plus", "test_resnet.r160_in1k", 3, "none")
        recipe = SegmentRecipe(architecture="deeplabv3plus", encoder="test_resnet.r160_in1k", weights="none")
        save_model(self.path, model.state_dict(), describe(recipe, model, CLASSES))
        self.valid = [self.path.read_bytes()]

    def parse(self) -> None:
        from ktse.stages.segment import load_model

        load_model(self.path)


class CamModels(Models):
    """CAM networks and checkpoints of a run."""

    file = "classify/model.safetensors"

    def prepare(self) -> None:
        import torch

        from ktse.models.backbone import Backbone
        from ktse.models.cam_head import CamHead, CamNetwork
        from ktse.models.weights import normalisation, save_model

        torch.manual_seed(0)
        backbone = Backbone("test_resnet.r160_in1k", 16, "none")
        network = CamNetwork(backbone, CamHead(backbone.channels, 3, 8, "lse"))
        header = {"classes": list(CLASSES), "backbone": "test_resnet.r160_in1k", "output_stride": 16, "levels": 1,
                  "pooling": "lse", "hidden": 8, "long_side": [160, 320], **normalisation(network)}  # fmt: skip
        self.path.parent.mkdir(parents=True, exist_ok=True)
        save_model(self.path, network.state_dict(), header)
        self.valid = [self.path.read_bytes()]

    def parse(self) -> None:
        from ktse.stages.classify import kept_features, load_network

        run = RunFolder(self.folder)
        load_network(run)
        kept_features(run, None)  # type: ignore[arg-type]


class Pth(Parser):
    """PyTorch's files."""

    file = "weights.pth"
    changes = [change.of_bytes, change.of_bytes, change.of_zip]
    heavy = True

    def prepare(self) -> None:
        import torch

        class Evil:
            def __reduce__(self) -> tuple[Any, ...]:
                return print, ("code of a file was run",)

        tensors = {"a.weight": torch.ones(3, 4), "b": torch.zeros(5, dtype=torch.float16)}
        contents: list[Any] = [tensors, {"state_dict": tensors, "epoch": 3}]
        self.hostile = [
            [1, 2],
            Evil(),
            {"a": torch.ones(1).expand(10**6, 10**6)},
            {1: torch.ones(1)},
            {},
            {"a": Evil()},
        ]
        self.valid, made = [], []
        for kind, group in ((self.valid, contents), (made, self.hostile)):
            for content in group:
                for new in (True, False):
                    file = io.BytesIO()
                    torch.save(content, file, _use_new_zipfile_serialization=new)
                    kind.append(file.getvalue())
        self.changes = [*self.changes, lambda _, rng: rng.choice(made)]

    def parse(self) -> None:
        from ktse.models.import_weights import import_weights

        import_weights(self.path, self.folder / "out.safetensors")


class Params(Parser):
    """MXNet's files."""

    file = "weights.params"
    heavy = True

    def prepare(self) -> None:
        sys.path.insert(0, str(Path(__file__).parents[1] / "models"))
        from test_mxnet_params import V1, V3, params

        arrays = {"arg:a_weight": np.ones((2, 3), np.float32), "aux:b": np.arange(5, dtype=np.float32)}
        self.valid = [params(arrays, version) for version in (None, V1, V3)]

    def parse(self) -> None:
        from ktse.models.import_weights import import_weights

        import_weights(self.path, self.folder / "out.safetensors")


class Onnx(Parser):
    """Exported models."""

    file = "model.onnx"
    heavy = True

    def prepare(self) -> None:
        import onnx
        from onnx import TensorProto, helper

        image = helper.make_tensor_value_info("image", TensorProto.UINT8, [1, None, None, 3])
        seen = helper.make_tensor_value_info("seen_0", TensorProto.FLOAT, [1, None, None, 3])
        node = helper.make_node("Cast", ["image"], ["seen_0"], to=TensorProto.FLOAT)
        model = helper.make_model(
            helper.make_graph([node], "g", [image], [seen]), opset_imports=[helper.make_opsetid("", 17)], ir_version=8
        )
        about = {"classes": list(CLASSES), "predict": to_dict(load_recipe("fast").predict), "ktse_version": "1"}

        def made(content: dict[str, Any]) -> bytes:
            del model.metadata_props[:]
            helper.set_model_props(model, {str(key): json.dumps(value) for key, value in content.items()})
            return bytes(model.SerializeToString())

        def of_metadata(_: bytes, rng: random.Random) -> bytes:
            content = change.of_value(about, rng)
            try:
                return made(content if isinstance(content, dict) else {"classes": content})
            except (UnicodeEncodeError, ValueError):
                return b""

        onnx.checker.check_model(model)
        self.valid = [made(about)]
        self.changes = [change.of_bytes, of_metadata, of_metadata]

    def parse(self) -> None:
        from ktse.prediction.onnx import OnnxModel

        model = OnnxModel(self.path)
        model.recipe({})
        model.seen(Image.new("RGB", (8, 6)), 1.0)


class Features(Parser):
    """What a frozen backbone has seen in an image, kept in a run."""

    file = "run/features/0.npz"
    changes = [change.of_zip, change.of_arrays, change.of_bytes]
    heavy = True

    def prepare(self) -> None:
        from ktse.features.store import KeptFeatures

        data = self.folder / "data"
        images = (
            tagged(data, SEVERAL)
            if not data.is_dir()
            else open_data(DataRecipe(images=str(data / "photos"), tags=str(data / "tags.csv")))
        )
        self.kept = KeptFeatures(RunFolder(self.folder / "run"), images, "a backbone")
        file = io.BytesIO()
        levels = {f"level_{n}": np.ones((4, 5, 6), np.int8) for n in range(2)}
        levels |= {f"scale_{n}": np.ones(4, np.float32) for n in range(2)}
        picture = np.zeros((3, 10, 12), np.uint8)
        np.savez_compressed(file, made_from=np.array(self.kept.made_from(0)), picture=picture, **levels)  # type: ignore[arg-type]
        self.valid = [file.getvalue()]

    def parse(self) -> None:
        self.kept.get(0)
