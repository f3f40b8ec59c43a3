"""Everything that reads what comes from outside, each with valid inputs and the changes that make them hostile.

A parser is made in a folder of its own. It reads one content at a time, and raises a KtseError for what it refuses.
"""

from __future__ import annotations

import io
import json
import random
import sys
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))

import fuzz_changes as change

from drawn import CLASSES, SEVERAL, coco, label_map, tagged
from fakes import draw, voc_xml
from ktse.data.image import image_size, read_image
from ktse.data.masks import open_corrections, open_truth
from ktse.data.open import open_data
from ktse.errors import KtseError
from ktse.files import read_label_map, write_json, write_table
from ktse.recipe import DataRecipe
from ktse.recipe.load import load_recipe, to_dict
from ktse.run_folder import RunFolder


class Parser(ABC):
    """One way into ktse.

    Args:
        folder: where it works.

    Attributes:
        valid: contents that are read, before they are changed.
        changes: what makes them hostile.
        heavy: whether it loads torch or onnx.
        sure: whether everything in `valid` must be read.
        file: name of the file that it reads.
    """

    valid: list[bytes]
    changes: list[change.Change] = [change.of_bytes]
    heavy, sure = False, True
    file = "input"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / self.file
        self.prepare()

    def prepare(self) -> None:
        """Make what is there before the first input."""

    @abstractmethod
    def parse(self) -> None:
        """Read `path`."""

    def read(self, content: bytes) -> None:
        """Write a content and read it."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_bytes(content)
        self.parse()


class Tags(Parser):
    """Tables of tags."""

    def prepare(self) -> None:
        self.data = self.folder / "data"
        if not self.data.is_dir():
            tagged(self.data, SEVERAL)
        (self.data / "classes.txt").unlink(missing_ok=True)
        self.changes = (
            [change.of_bytes, change.of_json] if "json" in self.file and "l" not in self.file else self.changes
        )

    def parse(self) -> None:
        open_data(DataRecipe(images=str(self.data / "photos"), tags=str(self.path)))


class Csv(Tags):
    """CSV."""

    file = "tags.csv"
    valid = [
        b"image,tags\n0.jpg,dog\n1.jpg,cat\n2.jpg,dog;person\n3.jpg,\n4.jpg,cat;dog\n",
        b"id;cat;dog\n0;0;1\n1;1;0\n2;0;1\n3;0;0\n4;1;1\n",
        b'image,label,xmin\n0.jpg,"dog",1\n1.jpg,cat,2\n2.jpg,"[""dog"", ""cat""]",3\n3.jpg,,\n4.jpg,,\n',
        b'image,choice\n0.jpg,"{""choices"": [""dog""]}"\n1.jpg,cat\n2.jpg,dog\n3.jpg,\n4.jpg,cat\n',
    ]


class Tsv(Tags):
    """TSV."""

    file = "tags.tsv"
    valid = [b"file\ttags\n0.jpg\tdog\n1.jpg\tcat\n2.jpg\tdog|person\n3.jpg\t\n4.jpg\tcat\n"]


class Lists(Tags):
    """Plain lists."""

    file = "tags.txt"
    valid = [b"0.jpg dog\n1.jpg cat\n2.jpg dog person\n3.jpg\n4.jpg cat dog\n"]


class Json(Tags):
    """JSON."""

    file = "tags.json"
    valid = [
        json.dumps({f"{number}.jpg": list(tags) for number, tags in enumerate(SEVERAL)}).encode(),
        json.dumps([{"image": f"{number}.jpg", "tags": list(tags)} for number, tags in enumerate(SEVERAL)]).encode(),
    ]


class JsonLines(Tags):
    """JSON lines."""

    file = "tags.jsonl"
    valid = [
        b"".join(json.dumps({"image": f"{n}.jpg", "tags": [*tags]}).encode() + b"\n" for n, tags in enumerate(SEVERAL))
    ]


class CocoTags(Tags):
    """COCO, for tags."""

    file = "coco.json"
    valid = [json.dumps(coco(SEVERAL)).encode()]


class SplitList(Tags):
    """The list of validation images, and the list of classes."""

    file = "names.txt"
    valid = [b"0.jpg\n1.jpg\n", b"cat\ndog\nperson\n"]

    def parse(self) -> None:
        given = {"images": str(self.data / "photos"), "tags": str(self.data / "tags.csv")}
        problems = []
        for name in ("validation_list", "classes"):
            try:
                open_data(DataRecipe(**given, **{name: str(self.path)}))
            except KtseError as error:
                problems.append(error)
        if len(problems) == 2:
            raise problems[0]


class CocoMasks(Parser):
    """COCO, for masks: all of them are drawn."""

    file = "masks.json"
    changes = [change.of_json, change.of_json, change.of_bytes]

    def prepare(self) -> None:
        data = self.folder / "data"
        self.data = (
            tagged(data, SEVERAL)
            if not data.is_dir()
            else open_data(DataRecipe(images=str(data / "photos"), tags=str(data / "tags.csv")))
        )
        runs = {"counts": [100, 4220], "size": [60, 72]}
        text = {"counts": "T3" + "lS4", "size": [60, 72]}
        self.valid = [json.dumps(coco(SEVERAL)).encode()]
        for shape in (runs, text):
            self.valid.append(json.dumps(coco(SEVERAL, segmentation=shape)).encode())
        self.valid.pop()  # its text does not fill the image: see test_a_text_of_runs

    def parse(self) -> None:
        truth = open_truth(self.path, self.data)
        for name in truth.paths:
            truth.read(name)


class MaskPictures(CocoMasks):
    """Pictures of masks."""

    file = "masks/0.png"
    changes = [change.of_png, change.of_png, change.of_bytes]

    def prepare(self) -> None:
        super().prepare()
        label = label_map(SEVERAL[0], 0)
        palette = Image.fromarray(label)
        palette.putpalette(list(range(256)) * 3)
        pictures = [Image.fromarray(label), palette, Image.fromarray(label.astype(np.uint16))]
        pictures += [Image.fromarray(np.stack([label] * 3, axis=-1)), Image.fromarray(label > 0)]
        self.valid = [_saved(picture, "PNG") for picture in pictures]

    def read(self, content: bytes) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_bytes(content)
        problems = []
        for open_masks in (open_corrections, open_truth):
            try:
                found = open_masks(self.path.parent, self.data)
                for name in found.paths:
                    found.read(name)
            except KtseError as error:
                problems.append(error)
        try:
            read_label_map(self.path)
        except KtseError as error:
            problems.append(error)
        if len(problems) == 3:
            raise problems[0]


class OtherTools(CocoMasks):
    """Masks of another tool, as corrections and as true masks; all of them are drawn."""

    content: Any

    def prepare(self) -> None:
        super().prepare()
        self.valid = [self.content.encode() if isinstance(self.content, str) else json.dumps(self.content).encode()]

    def parse(self) -> None:
        problems = []
        for open_masks in (open_corrections, open_truth):
            try:
                found = open_masks(self.path, self.data)
                for name in found.paths:
                    found.read(name)
            except KtseError as error:
                problems.append(error)
        if len(problems) == 2:
            raise problems[0]


class Cvat(OtherTools):
    """CVAT's XML."""

    file = "annotations.xml"
    changes = [change.of_bytes]
    content = (
        '<annotations><image id="0" name="0.jpg" width="72" height="60">'
        '<mask label="dog" source="manual" rle="2, 4, 3" '
        'left="5" top="6" width="3" height="3" z_order="1"/><polygon label="dog" points="1,1;20,1;20.5,30"/></image>'
        '<image id="1" name="1.jpg" width="72" height="60">'
        '<mask label="cat" rle="0, 100" left="-5" top="55" width="10" '
        'height="10"/></image></annotations>'
    )


def _all_of(values: int) -> list[int]:
    """Label Studio's run lengths of so many values of 255: how many, of how many bits, four sizes of runs, one run."""
    bits = f"{values:032b}" + "00111" + "0111" * 3 + "1111" + "1" + "11" + f"{values - 1:016b}" + f"{255:08b}"
    return list(int(bits.ljust(-(-len(bits) // 8) * 8, "0"), 2).to_bytes(-(-len(bits) // 8), "big"))


class LabelStudio(OtherTools):
    """Label Studio's JSON."""

    file = "tasks.json"
    area = {"type": "polygonlabels", "original_width": 72, "original_height": 60}
    drawn = {**area, "value": {"points": [[1, 1], [50, 1], [50, 50.5]], "polygonlabels": ["dog"]}}
    painted = {**area, "type": "brushlabels", "value": {"format": "rle", "brushlabels": ["cat"], "rle": _all_of(17280)}}
    content = [
        {"data": {"image": "/data/local-files/?d=0.jpg"}, "annotations": [{"result": [drawn]}]},
        {"data": {"image": "1.jpg"}, "annotations": [{"was_cancelled": False, "result": [painted]}]},
    ]


class Labelme(OtherTools):
    """labelme's JSON."""

    file = "labelme/0.json"
    mask = "iVBORw0KGgoAAAANSUhEUgAAAAIAAAACCAAAAABX3VL4AAAADklEQVR4nGP4DwQM/wEPBwP9e3ZK5QAAAABJRU5ErkJggg=="
    content = {
        "version": "5", "imagePath": "0.jpg", "imageWidth": 72, "imageHeight": 60,
        "shapes": [
            {"label": "dog", "shape_type": "polygon", "points": [[1, 1], [30, 1], [30.5, 30]]},
            {"label": "dog", "shape_type": "circle", "points": [[30, 30], [35, 35]]},
            {"label": "dog", "shape_type": "rectangle", "points": [[30, 30], [35, 35]]},
        ],
    }  # fmt: skip

    def parse(self) -> None:
        self.path = self.path.parent
        try:
            super().parse()
        finally:
            self.path = self.folder / self.file


class Yolo(OtherTools):
    """YOLO's data.yaml and labels."""

    file = "yolo/data.yaml"
    changes = [change.of_bytes, change.of_json]
    content = {"train": "images", "val": "images", "names": {"0": "cat", "1": "dog", "2": "person"}}

    def prepare(self) -> None:
        super().prepare()
        labels = self.folder / "yolo" / "labels"
        labels.mkdir(parents=True, exist_ok=True)
        (labels / "0.txt").write_text("1 0.1 0.1 0.9 0.1 0.9 0.9\n")


class YoloLabels(Yolo):
    """YOLO's labels."""

    file = "yolo/labels/0.txt"
    content = "1 0.1 0.1 0.9 0.1 0.9 0.9\n1 0.5 0.5 0.6 0.5 0.55 0.6 0.5 0.6\n"
    changes = [change.of_bytes]

    def parse(self) -> None:
        (self.folder / "yolo" / "data.yaml").write_text("names: [cat, dog, person]\n")
        self.path = self.folder / "yolo" / "data.yaml"
        try:
            super().parse()
        finally:
            self.path = self.folder / self.file


class Voc(Parser):
    """Annotations of PASCAL VOC."""

    file = "voc/Annotations/1.xml"
    valid = [voc_xml("1", draw(("dog", "person"), 0)[1], 1).encode()]

    def prepare(self) -> None:
        (self.folder / "voc" / "JPEGImages").mkdir(parents=True, exist_ok=True)
        draw(("dog",), 0)[0].save(self.folder / "voc" / "JPEGImages" / "1.jpg")

    def parse(self) -> None:
        open_data(DataRecipe(images=str(self.folder / "voc")))


class Photos(Parser):
    """Photos of many kinds."""

    file = "photo"
    changes = [change.of_bytes, change.of_bytes]

    def prepare(self) -> None:
        photo = draw(("dog",), 0)[0]
        kinds = ("PNG", "JPEG", "TIFF", "GIF", "BMP", "WEBP", "PPM", "TGA", "ICO")
        self.valid = [_saved(photo, kind) for kind in kinds]

    def parse(self) -> None:
        image_size(self.path)
        read_image(self.path)
        read_image(self.path, long_side=20)


class PngPhotos(Photos):
    """PNG photos whose chunks are changed."""

    changes = [change.of_png]

    def prepare(self) -> None:
        photo = draw(("dog",), 0)[0]
        self.valid = [_saved(photo.convert(mode), "PNG") for mode in ("RGB", "L", "P", "RGBA", "1", "LA")]


class Arrays(Parser):
    """CAMs and scores of a run."""

    file = "run/seeds/a.npz"
    changes = [change.of_zip, change.of_zip, change.of_arrays, change.of_bytes]

    def prepare(self) -> None:
        self.run = RunFolder(self.folder / "run")
        keys, maps = np.array([0, 2], np.int32), np.ones((2, 8, 9), np.float16)
        for written in ({"cam": maps, "logits": np.zeros(3, np.float32)}, {"scores": maps.astype(np.uint8)}):
            file = io.BytesIO()
            np.savez_compressed(file, keys=keys, **written)  # type: ignore[arg-type]
            self.valid = [*getattr(self, "valid", []), file.getvalue()]

    def parse(self) -> None:
        self.run.scores_path("a").parent.mkdir(parents=True, exist_ok=True)
        self.run.scores_path("a").write_bytes(self.path.read_bytes())
        try:
            self.run.seed("a")
        except KtseError:
            self.run.scores("a")


class Recipes(Parser):
    """Recipes: a user's, and that of a run folder."""

    file = "recipe.yaml"
    changes = [change.of_bytes, change.of_json]

    def prepare(self) -> None:
        self.valid = [json.dumps(to_dict(load_recipe("fast"))).encode()]
        self.valid += [
            json.dumps({"base": "fast", "classify": {"epochs": 9, "warmup": 1, "objective": {"pairs": 0.5}}}).encode()
        ]

    def parse(self) -> None:
        problems = []
        for read in (lambda: load_recipe(self.path), RunFolder(self.folder).read_recipe):
            try:
                read()
            except KtseError as error:
                problems.append(error)
        if problems:
            raise problems[0]


class RecipeText(Recipes):
    """The same, as YAML with its own marks."""

    changes = [change.of_bytes]

    def prepare(self) -> None:
        super().prepare()
        self.valid = [yaml.safe_dump(json.loads(content)).encode() for content in self.valid]
        self.valid.append(
            b"classify: {epochs: 50, long_side: &a [100, 200]}\nseed: &b {flip: yes}\nsegment: {long_side: *a}\n"
        )


class Settings(Parser):
    """Settings as values of Python."""

    changes = [change.of_json]

    def prepare(self) -> None:
        self.valid = [json.dumps(to_dict(load_recipe("fast"))).encode(), b'{"classify.epochs": 5, "seed.scales": [1]}']

    def parse(self) -> None:
        load_recipe("fast", json.loads(self.path.read_bytes()))


class Confidences(Parser):
    """Tables of confidences, and what `predict` does with its own."""

    file = "masks/confidence.csv"

    def prepare(self) -> None:
        write_table(self.path, ("id", "confidence"), [("a", "0.5"), ("=b", "1.0"), ("x/c", "0.25")])
        self.valid = [self.path.read_bytes()]

    def parse(self) -> None:
        from ktse.prediction.files import CONFIDENCE, tidy

        (self.folder / CONFIDENCE).write_bytes(self.path.read_bytes())
        try:
            tidy(self.folder)
        finally:
            RunFolder(self.folder).confidence("masks")


class Journal(Parser):
    """The journal of the review page, and its pictures."""

    file = "corrections/journal.jsonl"

    def prepare(self) -> None:
        from ktse.reviewing.corrections import EditLayer

        if not self.path.is_file():
            layer = EditLayer(self.path.parent, ["a", "b"])
            for name, revision in (("a", 0), ("b", 0), ("a", 1)):
                layer.accept(name, np.ones((3, 4), np.uint8), revision, same=False, threshold=0.5)
        self.valid = [self.path.read_bytes()]
        self.changes = [change.of_bytes, self._of_a_line]

    @staticmethod
    def _of_a_line(content: bytes, rng: random.Random) -> bytes:
        lines = content.splitlines()
        place = rng.randrange(len(lines))
        lines[place] = change.of_json(lines[place], rng)
        return b"\n".join(lines) + b"\n"

    def parse(self) -> None:
        from ktse.reviewing.corrections import EditLayer

        layer = EditLayer(self.path.parent, ["a", "b"])
        entry = layer.entry("a")
        json.dumps(vars(entry))
        layer.label("a")


class RunFiles(Parser):
    """What a run says about itself, in JSON: read by status, verdict, page and card."""

    changes = [change.of_json, change.of_json, change.of_bytes]
    names = ("manifest.json", "check.json", "evaluation.json", "masks/summary.json", "segment/summary.json")

    def prepare(self) -> None:
        from ktse.quality.verdict import Sign, Verdict

        self.run = RunFolder(self.folder / "run")
        self.data = (
            tagged(self.folder / "data", SEVERAL)
            if not (self.folder / "data").is_dir()
            else open_data(
                DataRecipe(images=str(self.folder / "data" / "photos"), tags=str(self.folder / "data" / "tags.csv"))
            )
        )
        given = {"images": str(self.folder / "data" / "photos"), "tags": str(self.folder / "data" / "tags.csv")}
        self.run.write_recipe(load_recipe("fast", {f"data.{name}": value for name, value in given.items()}))
        self.run.write_classes(CLASSES)
        verdict = Verdict.of([Sign("look", "dog", "It is small.", "ktse report RUN")], CLASSES).to_json()
        entry = {
            "state": "done",
            "key": "a",
            "made_from": {"seed.flip": True},
            "seconds": 3.5,
            "versions": {"ktse": "1"},
        }
        score = {"miou": 50.0, "iou": {"dog": 40.0}, "images": 5, "tags_used": True, "by_split": {}, "oracle": None,
                 "threshold": 0.5}  # fmt: skip
        contents: dict[str, Any] = {
            "manifest.json": {"check": entry, "classify": {**entry, "state": "failed", "message": "no"}},
            "check.json": {"content": "a", "warnings": ["w"], "unreadable": [], "sizes": {}},
            "evaluation.json": {"verdict": verdict, "mask": score, "prediction": score, "tags": {"all": {"f1": 50.0}}},
            "masks/summary.json": {"threshold": 0.5, "threshold_source": "the recipe", "warnings": []},
            "segment/summary.json": {"agreement": 0.5, "crops": 3, "warnings": []},
        }
        for name, content in contents.items():
            write_json(self.run.path(name), content)
        self.whole = {name: self.run.path(name).read_bytes() for name in self.names}
        self.valid = [f"{number}".encode() + content for number, content in enumerate(self.whole.values())]
        self.changes = [self._of_one(one) for one in self.changes]

    @staticmethod
    def _of_one(one: change.Change) -> change.Change:
        return lambda content, rng: content[:1] + one(content[1:], rng)

    def read(self, content: bytes) -> None:
        for name, whole in self.whole.items():
            self.run.path(name).write_bytes(whole)
        self.run.path(self.names[int(content[:1])]).write_bytes(content[1:])
        self.parse()

    def parse(self) -> None:
        from ktse.reporting.model_card import write_model_card
        from ktse.reporting.page import write_report
        from ktse.verbs.status import read_status

        problems = []
        for use in (
            lambda: read_status(self.run),
            lambda: write_report(self.run, self.data, None),
            lambda: write_model_card(self.run, self.data, None),
        ):
            try:
                use()
            except KtseError as error:
                problems.append(error)
        if problems:
            raise problems[0]


class Requests(Parser):
    """Requests to the server of the review page."""

    sure = False

    def prepare(self) -> None:
        from fastapi.testclient import TestClient

        from ktse.reviewing.pictures import Pictures
        from ktse.reviewing.server import make_app
        from reviewed_run import reviewed

        made = getattr(reviewed, "__wrapped__", None) or reviewed.__pytest_wrapped__.obj
        run = made(self.folder)
        pictures = Pictures(run, open_data(run.read_recipe().data))
        self.client = TestClient(make_app(pictures, "run", "ktse run"), base_url="http://127.0.0.1:8350")
        known = {"id": "beach/001", "revision": 0, "action": "draft", "threshold": 0.5, "layer": "edit", "kind": "cam"}
        paths = ["/", "/page/main.js", *(f"/api/{name}" for name in ("run", "image", "photo", "label", "scores"))]
        asked = [("PUT", "/api/label", 384), ("POST", "/api/state", 0), ("POST", "/api/solve", 1536)]
        asked += [("GET", path, 0) for path in paths]
        rest = {"query": known, "headers": {"origin": "http://127.0.0.1:8350"}}
        self.valid = [
            json.dumps({"method": method, "path": path, "body": "\0" * size, **rest}).encode()
            for method, path, size in asked
        ]
        self.changes = [change.of_json, self._of_query]

    @staticmethod
    def _of_query(content: bytes, rng: random.Random) -> bytes:
        request = json.loads(content)
        name = rng.choice(list(request["query"]))
        values = [
            None,
            -1,
            1 << 70,
            "NaN",
            "inf",
            "../../etc/passwd",
            "\0",
            "x" * 5000,
            "accept",
            "beach/002",
            "scores",
        ]
        request["query"][name] = rng.choice(values)
        if rng.random() < 0.3:
            request["body"] = rng.choice(["", "\xff" * 384, "\3" * 384, "x" * 2_000_000, "\1" * 383])
        if rng.random() < 0.2:
            request["headers"] = {rng.choice(["content-length", "host", "origin", "range", "content-type"]): rng.choice(
                ["-1", "x", "9" * 40, "null", "127.0.0.1", ""]
            )}  # fmt: skip
        return json.dumps(request).encode()

    def parse(self) -> None:
        request = json.loads(self.path.read_bytes())
        if not isinstance(request, dict) or not isinstance(request.get("path"), str):
            raise KtseError("no request")
        query, headers = request.get("query"), request.get("headers")
        try:
            sent = self.client.build_request(
                str(request.get("method", "GET")),
                "/" + request["path"].lstrip("/"),
                params={str(key): str(value)[:9000] for key, value in query.items()} if isinstance(query, dict) else {},
                headers={str(k): str(v) for k, v in headers.items()} if isinstance(headers, dict) else {},
                content=str(request.get("body", "")).encode("latin-1", "replace"),
            )
        except Exception as error:  # what no client can send
            raise KtseError(f"no request: {error}") from error
        answer = self.client.send(sent)
        assert answer.status_code < 500, (answer.status_code, answer.text)
        if answer.status_code >= 400:
            raise KtseError(f"{answer.status_code}")


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


def _saved(image: Image.Image, kind: str) -> bytes:
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


PARSERS: dict[str, type[Parser]] = {
    "csv": Csv,
    "tsv": Tsv,
    "list": Lists,
    "json": Json,
    "json-lines": JsonLines,
    "coco-tags": CocoTags,
    "lists-of-names": SplitList,
    "coco-masks": CocoMasks,
    "mask-pictures": MaskPictures,
    "cvat": Cvat,
    "label-studio": LabelStudio,
    "labelme": Labelme,
    "yolo": Yolo,
    "yolo-labels": YoloLabels,
    "voc-xml": Voc,
    "photos": Photos,
    "png-photos": PngPhotos,
    "npz": Arrays,
    "recipes": Recipes,
    "recipe-text": RecipeText,
    "settings": Settings,
    "confidences": Confidences,
    "journal": Journal,
    "run-json": RunFiles,
    "requests": Requests,
    "features": Features,
    "models": Models,
    "cam-models": CamModels,
    "pth": Pth,
    "params": Params,
    "onnx": Onnx,
}
