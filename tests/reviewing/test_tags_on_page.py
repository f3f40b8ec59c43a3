"""Tags that a person corrects on the page: what the page shows then, what is kept, and what learns from them."""

from __future__ import annotations

import dataclasses
import json
import shutil
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="needs the extra review")
pytest.importorskip("httpx", reason="needs httpx")

from fastapi.testclient import TestClient

import ktse
from ktse.data.edit_layer import EditLayer, Entry
from ktse.data.given import Input
from ktse.files import write_json, write_npz
from ktse.job import Job
from ktse.pipeline import CHECK
from ktse.reviewing.server import make_app
from ktse.run_folder import RunFolder
from reviewed_run import NAMES, SIZE, open_pictures

PIXELS = SIZE[0] * SIZE[1]


def client_of(run: RunFolder) -> TestClient:
    app = make_app(open_pictures(run), "run", f"ktse status {run.root}")
    return TestClient(app, base_url="http://127.0.0.1:8350", raise_server_exceptions=False)


@pytest.fixture
def client(reviewed: RunFolder) -> Iterator[TestClient]:
    with client_of(reviewed) as client:
        yield client


def retag(client: TestClient, name: str, label: int, there: bool, revision: int) -> Any:
    return client.post("/api/tag", params={"id": name, "label": label, "there": there, "revision": revision})


def accept(client: TestClient, name: str, value: int, revision: int) -> Any:
    params = {"id": name, "revision": revision, "action": "accept"}
    return client.put("/api/label", params=params, content=bytes([value]) * PIXELS)


def listed(client: TestClient, name: str) -> dict[str, Any]:
    return next(image for image in client.get("/api/run").json()["images"] if image["id"] == name)


def test_a_tag_is_added_and_taken_away(client: TestClient, reviewed: RunFolder) -> None:
    assert listed(client, "beach/002")["retagged"] is False
    added = retag(client, "beach/002", 2, True, 0)
    assert added.json() == {"state": "open", "revision": 1, "draft": False, "tags": [1, 2], "retagged": True}
    assert retag(client, "beach/002", 1, False, 1).json()["tags"] == [2]
    with client_of(reviewed) as again:  # the server starts anew
        assert again.get("/api/image", params={"id": "beach/002"}).json()["tags"] == [2]
        assert (listed(again, "beach/002")["tags"], listed(again, "beach/002")["retagged"]) == ([2], True)
        assert retag(again, "beach/002", 2, False, 2).json()["tags"] == []
        assert again.get("/api/run").json()["images"][-1]["id"] in ("beach/002", "none")  # it has no tag
    journal = reviewed.path("corrections", "journal.jsonl").read_text().splitlines()
    assert [json.loads(line)["tags"] for line in journal] == [["ball", "dog"], ["ball"], []]


def test_tags_count_as_changed_until_the_run_has_learned_from_them(client: TestClient, reviewed: RunFolder) -> None:
    assert retag(client, "beach/002", 1, False, 0).json()["retagged"]
    assert not retag(client, "beach/002", 1, True, 1).json()["retagged"]  # as before
    assert not listed(client, "beach/002")["retagged"]
    assert retag(client, "beach/002", 2, True, 2).json()["retagged"]
    seed = {"cam": np.zeros((2, 2, 2), np.float16), "logits": np.zeros(2, np.float32)}
    write_npz(reviewed.seed_path("beach/002"), keys=np.array([0, 1], np.int32), **seed)
    assert not listed(client, "beach/002")["retagged"]
    reviewed.seed_path("beach/002").write_bytes(b"damaged")
    assert listed(client, "beach/002")["retagged"]


def test_the_classes_of_scores_and_solver_follow(client: TestClient) -> None:
    def labels(path: str, **more: Any) -> list[int]:
        answer = client.post if path == "solve" else client.get
        content = answer(f"/api/{path}", params={"id": "beach/001", **more.pop("params")}, **more).content
        count = struct.unpack("<3I", content[:12])[0]
        return list(struct.unpack(f"<{count}I", content[12 : 12 + 4 * count]))

    marks = {"params": {"threshold": 0.5}, "content": np.zeros(SIZE[::-1], "<u4").tobytes()}
    assert (labels("scores", params={"kind": "scores"}), labels("solve", **marks)) == ([1, 2], [0, 1, 2])
    retag(client, "beach/001", 1, False, 0)
    marks["params"] = {"threshold": 0.5}
    assert (labels("scores", params={"kind": "scores"}), labels("solve", **marks)) == ([2], [0, 2])
    assert accept(client, "beach/001", 2, 1).status_code == 200
    refused = accept(client, "beach/001", 1, 2)
    assert (refused.status_code, "tags of this image (ball)" in refused.json()["message"]) == (422, True)


def test_two_tabs_do_not_overwrite_each_other(client: TestClient) -> None:
    assert retag(client, "beach/002", 2, True, 0).status_code == 200
    late = retag(client, "beach/002", 1, False, 0)
    assert (late.status_code, late.json()["revision"]) == (409, 1)
    assert accept(client, "beach/002", 1, 0).status_code == 409  # the mask was drawn for other tags
    assert listed(client, "beach/002")["tags"] == [1, 2]


def test_a_change_that_makes_no_sense_is_refused(client: TestClient, reviewed: RunFolder) -> None:
    for label in (0, 3, -1):
        assert retag(client, "beach/002", label, True, 0).status_code == 422
    assert retag(client, "nothing", 1, True, 0).status_code == 404
    assert not reviewed.path("corrections").exists()
    assert accept(client, "beach/001", 1, 0).status_code == 200
    refused = retag(client, "beach/001", 1, False, 1)  # the accepted mask shows the dog alone
    assert (refused.status_code, "Take back" in refused.json()["message"]) == (422, True)
    assert retag(client, "beach/001", 2, False, 1).json()["tags"] == [1]
    foreign = client.post(
        "/api/tag?id=beach/001&label=2&there=true&revision=2", headers={"Origin": "http://evil.example"}
    )
    assert foreign.status_code == 403


def test_what_was_done_before_stays(reviewed: RunFolder) -> None:
    edits = EditLayer(reviewed.path("corrections"), NAMES)
    edits.retag("beach/001", ["dog"], 0)
    label = np.ones(SIZE[::-1], np.uint8)
    edits.save_draft("beach/001", label, 1, threshold=0.3)
    edits.accept("beach/001", label, 2, same=False)
    edits.reject("beach/001", 3)
    again = EditLayer(reviewed.path("corrections"), NAMES)
    assert again.entry("beach/001") == edits.entry("beach/001") == Entry("rejected", 4, True, None, ("dog",))
    edits.trust({"beach/002"})
    assert edits.retag("beach/002", ["ball"], 1).state == "open"  # the mask was accepted for another tag


def test_a_corrected_tag_is_doubtful_no_longer(client: TestClient, reviewed: RunFolder) -> None:
    doubts = [
        {"id": "beach/001", "class": "dog", "tagged": True, "score": 2.0},
        {"id": "beach/002", "class": "ball", "tagged": False, "score": 1.5},
    ]
    write_json(reviewed.path("noticed.json"), {"doubtful": doubts})
    assert listed(client, "beach/001")["notes"] == ["doubtful tag: dog"]
    assert listed(client, "beach/002")["notes"] == ["perhaps without its tag: ball"]
    retag(client, "beach/001", 1, False, 0)
    retag(client, "beach/002", 2, True, 0)
    assert listed(client, "beach/001")["notes"] == listed(client, "beach/002")["notes"] == []


def test_tags_alone_can_be_learned_from(client: TestClient) -> None:
    assert client.post("/api/learn").status_code == 422
    retag(client, "beach/002", 2, True, 0)
    assert client.post("/api/learn").json()["state"] == "running"


def test_the_run_takes_them_and_is_stale(reviewed: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = reviewed.read_recipe()
    before = Input(recipe)
    with client_of(reviewed) as client:
        retag(client, "beach/002", 2, True, 0)
        retag(client, "beach/001", 1, False, 0)
    assert Input(recipe).fingerprint == before.fingerprint  # without --corrections nothing changes
    segment = dataclasses.replace(recipe.segment, corrections=str(reviewed.path("corrections")))
    corrected = dataclasses.replace(recipe, segment=segment)
    after = Input(corrected)
    tags = {name: row.tolist() for name, row in zip(after.images.ids, after.images.tags, strict=True)}
    assert tags["beach/001"] == tags["park/003"] == [False, True]
    assert tags["beach/002"] == [True, True]
    assert not any(tags["none"])
    assert "corrected tags: 2 images" in capsys.readouterr().err
    assert len(after.corrections) == 0  # no mask was accepted
    assert after.fingerprint != before.fingerprint
    assert Job(reviewed, corrected).key(CHECK) != Job(reviewed, recipe).key(CHECK)


def test_the_whole_run_learns_the_tags(own_run: Path) -> None:
    run = RunFolder(own_run)
    with client_of(run) as client:
        image = next(
            one for one in client.get("/api/run").json()["images"] if len(one["tags"]) > 1 and not one["kept_out"]
        )
        assert retag(client, image["id"], image["tags"][0], False, 0).status_code == 200
    recipe = run.read_recipe()
    settings = {"images": recipe.data.images, "tags": recipe.data.tags or None, "out": own_run}
    ktse.run(**settings, recipe=run.path("recipe.yaml"), corrections=run.path("corrections"))
    keys = run.seed(image["id"]).keys.tolist()
    assert [key + 1 for key in keys] == image["tags"][1:]
    assert set(np.unique(run.fused(image["id"]))) <= {0, 255, *image["tags"][1:]}
    shutil.rmtree(run.path("corrections"))
