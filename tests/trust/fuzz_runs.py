"""Parsers of recipes, and of what a run folder holds; requests to the review page."""

from __future__ import annotations

import io
import json
import random
import sys
from pathlib import Path
from typing import Any

import numpy as np
import yaml

sys.path.insert(0, str(Path(__file__).parents[1]))

import fuzz_changes as change
from fuzz_base import Parser

from drawn import CLASSES, SEVERAL, tagged
from ktse.data.open import open_data
from ktse.errors import KtseError
from ktse.files import write_json, write_table
from ktse.recipe import DataRecipe
from ktse.recipe.load import load_recipe, to_dict
from ktse.run_folder import RunFolder


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
        from ktse.data.edit_layer import EditLayer

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
        from ktse.data.edit_layer import EditLayer

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
