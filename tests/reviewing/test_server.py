"""The server of the page: what it shows, what it keeps, and what it refuses."""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("fastapi", reason="needs the extra review")
pytest.importorskip("httpx", reason="needs httpx")

from fastapi.testclient import TestClient

from ktse.data.masks import open_corrections
from ktse.data.open import open_data
from ktse.files import read_label_map
from ktse.reviewing.pictures import Pictures
from ktse.reviewing.server import make_app
from ktse.run_folder import RunFolder
from ktse.runtime.lock import holder
from reviewed_run import NAMES, SIZE, open_pictures

PAGE = Path(__file__).resolve().parents[2] / "src" / "ktse" / "reviewing" / "page"
PIXELS = SIZE[0] * SIZE[1]


def client_of(pictures: Pictures) -> TestClient:
    app = make_app(pictures, "runs/photos", "ktse run photos --corrections runs/photos/corrections")
    return TestClient(app, base_url="http://127.0.0.1:8350", raise_server_exceptions=False)


@pytest.fixture
def client(pictures: Pictures) -> Iterator[TestClient]:
    with client_of(pictures) as client:
        yield client


def save(client: TestClient, name: str, value: int, revision: int, **more: Any) -> Any:
    body = bytes([value]) * PIXELS
    return client.put("/api/label", params={"id": name, "revision": revision, **more}, content=body)


def test_the_page_and_its_parts_come_from_the_package(client: TestClient) -> None:
    page = client.get("/")
    assert page.status_code == 200
    assert "default-src 'self'" in page.headers["content-security-policy"]
    parts = sorted(path.name for path in PAGE.iterdir() if path.suffix in (".js", ".css"))
    assert {"main.js", "review.css"} <= set(parts)
    for part in parts:
        answer = client.get(f"/page/{part}")
        assert answer.status_code == 200
        assert "//" not in answer.text.replace("// ", "")  # nothing comes from another host
        assert len(answer.text.splitlines()) <= 350
    assert "//" not in page.text
    for part in ("server.py", "../server.py", "%2e%2e/server.py"):
        assert client.get(f"/page/{part}").status_code == 404


def test_the_list_begins_with_what_needs_a_look(client: TestClient) -> None:
    run = client.get("/api/run").json()
    assert [image["id"] for image in run["images"]] == ["beach/002", "beach/001", "park/003", "none"]
    assert [one["name"] for one in run["classes"]] == ["dog", "ball"]
    first = run["images"][0]
    assert first == {
        "id": "beach/002", "tags": [1], "confidence": 0.2, "kept_out": False, "state": "open", "revision": 0,
        "draft": False, "retagged": False, "notes": [], "learned": None,
    }  # fmt: skip


def test_one_image_with_its_pictures(client: TestClient, reviewed: RunFolder) -> None:
    about = client.get("/api/image", params={"id": "beach/001"}).json()
    assert (about["width"], about["height"]) == SIZE
    assert {layer for layer, there in about["layers"].items() if there} == {"mask", "scores"}
    assert about["run_threshold"] == 0.5
    for kind in ("photo", "thumbnail"):
        answer = client.get(f"/api/{kind}", params={"id": "beach/001"})
        assert Image.open(BytesIO(answer.content)).size == SIZE
    label = client.get("/api/label", params={"id": "beach/001", "layer": "mask"}).content
    assert label == reviewed.mask("beach/001").tobytes()
    scores = client.get("/api/scores", params={"id": "beach/001", "kind": "scores"}).content
    assert struct.unpack("<5I", scores[:20]) == (2, 8, 12, 1, 2)
    assert scores[20:] == reviewed.scores("beach/001").scores.tobytes()
    assert client.get("/api/label", params={"id": "beach/001", "layer": "fused"}).status_code == 404
    assert client.get("/api/scores", params={"id": "beach/001", "kind": "cam"}).status_code == 404


def test_a_draft_is_kept_and_nothing_learns_from_it(client: TestClient, reviewed: RunFolder) -> None:
    done = save(client, "beach/002", 1, 0, threshold=0.25)
    assert done.json() == {"state": "open", "revision": 1, "draft": True}
    assert not reviewed.path("corrections", "beach", "002.png").exists()
    with client_of(open_pictures(reviewed)) as again:  # the server starts anew
        about = again.get("/api/image", params={"id": "beach/002"}).json()
        assert (about["draft"], about["revision"], about["threshold"]) == (True, 1, 0.25)
        assert again.get("/api/label", params={"id": "beach/002", "layer": "edit"}).content == bytes([1]) * PIXELS
    assert reviewed.mask("beach/002").tobytes() != bytes([1]) * PIXELS


def test_an_edit_that_was_undone_is_no_draft(client: TestClient, reviewed: RunFolder) -> None:
    address = "/api/label?id=beach/002&revision={}"
    save(client, "beach/002", 1, 0)
    undone = client.put(address.format(1), content=reviewed.mask("beach/002").tobytes())
    assert undone.json() == {"state": "open", "revision": 2, "draft": False}
    assert save(client, "beach/002", 1, 2, action="accept").json()["state"] == "corrected"
    back = client.put(address.format(3), content=reviewed.mask("beach/002").tobytes())
    assert back.json() == {"state": "corrected", "revision": 4, "draft": True}
    assert not save(client, "beach/002", 1, 4).json()["draft"]
    assert not list(reviewed.path("corrections", ".drafts").rglob("*.png"))


def test_what_is_accepted_is_learned_from(client: TestClient, reviewed: RunFolder) -> None:
    data = open_data(reviewed.read_recipe().data)
    same = reviewed.mask("beach/001").tobytes()
    kept = client.put("/api/label", params={"id": "beach/001", "revision": 0, "action": "accept"}, content=same)
    assert kept.json()["state"] == "accepted"
    assert save(client, "beach/002", 1, 0).json()["draft"]
    assert save(client, "beach/002", 1, 1, action="accept").json() == {
        "state": "corrected", "revision": 2, "draft": False,
    }  # fmt: skip
    found = open_corrections(reviewed.path("corrections"), data)
    assert set(found.paths) == {"beach/001", "beach/002"}
    assert (found.read("beach/002") == 1).all()


def test_a_rejected_or_reopened_mask_is_not_learned_from(client: TestClient, reviewed: RunFolder) -> None:
    save(client, "beach/002", 1, 0, action="accept")
    rejected = client.post("/api/state", params={"id": "beach/002", "revision": 1, "action": "reject"})
    assert rejected.json() == {"state": "rejected", "revision": 2, "draft": True}
    assert not reviewed.path("corrections", "beach", "002.png").exists()
    assert client.get("/api/label", params={"id": "beach/002", "layer": "edit"}).content == bytes([1]) * PIXELS
    reopened = client.post("/api/state", params={"id": "beach/002", "revision": 2, "action": "reopen"})
    assert reopened.json() == {"state": "open", "revision": 3, "draft": True}


def test_an_old_revision_does_not_overwrite_a_newer_one(client: TestClient) -> None:
    assert save(client, "beach/002", 1, 0).status_code == 200
    refused = save(client, "beach/002", 0, 0)
    assert (refused.status_code, refused.json()["revision"]) == (409, 1)
    late = client.post("/api/state", params={"id": "beach/002", "revision": 0, "action": "reject"})
    assert late.status_code == 409
    assert client.get("/api/label", params={"id": "beach/002", "layer": "edit"}).content == bytes([1]) * PIXELS


def test_a_mask_that_cannot_be_one_is_refused(client: TestClient, reviewed: RunFolder) -> None:
    address = "/api/label?id=beach/002&revision=0"
    for body, words in ((b"\1" * (PIXELS - 1), "24 x 16"), (b"\3" * PIXELS, "no class: 3"), (b"", "0 bytes")):
        refused = client.put(address, content=body)
        assert refused.status_code == 422
        assert words in refused.json()["message"]
    without = save(client, "beach/002", 0, 0, action="accept")
    assert without.status_code == 422
    assert "none of the tags of this image (dog)" in without.json()["message"]
    assert save(client, "beach/002", 1, 0, action="reject").status_code == 422
    assert save(client, "none", 0, 0, action="accept").status_code == 200  # no tag, so an empty mask is right
    assert save(client, "park/003", 255, 0, action="accept").status_code == 200  # undecided everywhere
    assert not reviewed.path("corrections", "beach").exists()


def test_a_body_is_never_read_beyond_what_a_mask_needs(client: TestClient) -> None:
    address = "/api/label?id=beach/002&revision=0"
    assert client.put(address, content=b"", headers={"Content-Length": str(2 << 30)}).status_code == 413
    read = []

    def endless() -> Iterator[bytes]:
        for _ in range(1 << 15):
            read.append(1)
            yield b"\0" * (1 << 16)

    assert client.put(address, content=endless()).status_code == 413


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "127.0.0.1.evil.example:8350"},
        {"Host": ""},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:9999"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
    ids=str,
)
def test_a_foreign_page_is_refused(client: TestClient, reviewed: RunFolder, headers: dict[str, str]) -> None:
    body = bytes([1]) * PIXELS
    for answer in (
        client.get("/api/photo", params={"id": "beach/001"}, headers=headers),
        client.put("/api/label", params={"id": "beach/001", "revision": 0}, content=body, headers=headers),
        client.post("/api/solve", params={"id": "beach/001", "threshold": 0.5}, content=4 * body, headers=headers),
        client.post("/api/learn", headers=headers),
    ):
        assert answer.status_code == 403
    assert not reviewed.path("corrections").exists()


def test_the_page_itself_is_served(client: TestClient) -> None:
    for host in ("127.0.0.1:8350", "localhost:7000"):
        headers = {"Host": host, "Origin": f"http://{host}", "Sec-Fetch-Site": "same-origin"}
        assert client.get("/api/run", headers=headers).status_code == 200
    assert client.get("/", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 200  # a link to the page


@pytest.mark.parametrize("name", ["nothing", "../tags", "beach/../beach/001", "beach", "", "/etc/passwd", "link/001"])
def test_an_unknown_image_is_not_found_whatever_its_name(
    client: TestClient, reviewed: RunFolder, tmp_path: Path, name: str
) -> None:
    reviewed.path("masks", "link").symlink_to(reviewed.path("masks", "beach"))
    for path, more in (("image", {}), ("photo", {}), ("thumbnail", {}), ("label", {"layer": "mask"})):
        assert client.get(f"/api/{path}", params={"id": name, **more}).status_code == 404
    assert client.get("/api/scores", params={"id": name, "kind": "scores"}).status_code == 404
    assert save(client, name, 1, 0).status_code == 404
    assert client.post("/api/state", params={"id": name, "revision": 0, "action": "reject"}).status_code == 404
    assert not reviewed.path("corrections").exists()


def test_links_do_not_lead_an_edit_out_of_the_run(client: TestClient, reviewed: RunFolder, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    reviewed.path("corrections").mkdir()
    reviewed.path("corrections", "beach").symlink_to(outside)
    reviewed.path(".thumbnails").symlink_to(outside)
    assert client.get("/api/thumbnail", params={"id": "beach/001"}).status_code == 200
    answer = save(client, "beach/001", 1, 0, action="accept")
    assert answer.status_code == 403
    assert "is a link out of" in answer.json()["message"]
    assert not list(outside.iterdir())


def test_many_at_once_lose_nothing(client: TestClient, reviewed: RunFolder) -> None:
    with ThreadPoolExecutor(50) as pool:
        same = [answer.status_code for answer in pool.map(lambda _: save(client, "beach/001", 1, 0), range(50))]
    assert sorted(same) == [200] + [409] * 49

    def until_saved(number: int) -> int:
        name, tries = NAMES[number % 4], 0
        while True:  # as the page does: read the revision, try again
            revision = client.get("/api/image", params={"id": name}).json()["revision"]
            tries += 1
            if save(client, name, 1, revision).status_code == 200:
                return tries

    with ThreadPoolExecutor(50) as pool:
        list(pool.map(until_saved, range(50)))
        marks = np.zeros(SIZE[::-1], np.uint32)
        assert {answer.status_code for answer in pool.map(lambda _: solve(client, marks), range(50))} == {200}
    lines = [json.loads(line) for line in reviewed.path("corrections", "journal.jsonl").read_text().splitlines()]
    assert len(lines) == 51
    for name in NAMES:
        assert [line["revision"] for line in lines if line["image"] == name] == [
            *range(1, 1 + sum(line["image"] == name for line in lines))
        ]
        assert (read_label_map(reviewed.path("corrections", ".drafts", f"{name}.png")) == 1).all()


def solve(client: TestClient, marks: np.ndarray, name: str = "beach/002") -> Any:
    body = marks.astype("<u4").tobytes()
    return client.post("/api/solve", params={"id": name, "threshold": 0.5}, content=body)


def test_a_mask_is_solved_again_from_what_a_person_says(client: TestClient) -> None:
    assert client.get("/api/image", params={"id": "beach/002"}).json()["solved"] == list(SIZE)
    marks = np.zeros(SIZE[::-1], np.uint32)
    for kind, label, inside in ((0, 0, 1), (1, 0, 0), (2, 1, 0)):  # nothing; is background; is no dog
        marks[8, 2:5] = kind << 16 | label
        content = solve(client, marks).content
        count, height, width, *labels = struct.unpack("<5I", content[:20])
        assert (count, height, width, *labels) == (2, *SIZE[::-1], 0, 1)
        shares = np.frombuffer(content[20:], np.uint8).reshape(count, height, width)
        assert shares.argmax(axis=0)[8, 3] == inside
        assert not shares.argmax(axis=0)[:, 14:].any()
    marks[8, 20:23] = 1 << 16 | 2  # a class without a tag and without scores
    assert struct.unpack("<6I", solve(client, marks).content[:24])[3:] == (0, 1, 2)
    assert solve(client, marks, "none").status_code == 200


def test_what_cannot_be_solved_is_refused(client: TestClient) -> None:
    marks = np.zeros(SIZE[::-1], np.uint32)
    assert solve(client, marks[1:]).status_code == 422
    for wrong in (4 << 16 | 1, 1 << 16 | 3, 2 << 16 | 255):
        marks[0, 0] = wrong
        assert "no class" in solve(client, marks).json()["message"]
    assert solve(client, marks, "nothing").status_code == 404
    assert client.post("/api/solve", params={"id": "beach/002", "threshold": "nan"}, content=b"").status_code == 422


def learned(client: TestClient) -> dict[str, Any]:
    for _ in range(600):
        about: dict[str, Any] = client.get("/api/learn").json()
        if about["state"] != "running":
            return about
        time.sleep(0.1)
    raise AssertionError("it did not end within a minute")


def test_the_page_starts_what_learns_from_the_corrections(pictures: Pictures, reviewed: RunFolder) -> None:
    for root, state, word in ((reviewed.root, "done", "refine"), (reviewed.root / "x", "failed", "is not a run")):
        app = make_app(pictures, "runs/photos", f"ktse status {root}")
        with TestClient(app, base_url="http://127.0.0.1:8350") as client:
            assert client.get("/api/learn").json()["state"] == ""
            before = client.get("/api/run").json()["start"]
            if state == "done":
                assert client.post("/api/learn").status_code == 422  # nothing to learn from
                assert save(client, "beach/002", 1, 0, action="accept").status_code == 200
            assert client.post("/api/learn").json()["state"] == "running"
            about = learned(client)
            assert about["state"] == state
            assert word in "\n".join(about["lines"])
            assert client.get("/api/run").json()["start"] != before  # pictures in the browser's cache are old


def test_learning_runs_once_and_ends_with_the_page(pictures: Pictures, reviewed: RunFolder) -> None:
    app = make_app(pictures, "runs/photos", f"ktse review {reviewed.root} --no-browser --port 0")  # goes on for ever
    pictures.edits.accept("beach/002", np.ones(SIZE[::-1], np.uint8), 0, same=False)
    with TestClient(app, base_url="http://127.0.0.1:8350") as client:
        assert client.post("/api/learn").status_code == 200
        assert client.post("/api/learn").status_code == 409
        while not client.get("/api/learn").json()["lines"]:
            time.sleep(0.1)
        assert holder(reviewed.path(".review")) is not None
    assert holder(reviewed.path(".review")) is None


def test_a_damaged_file_is_a_message(client: TestClient, reviewed: RunFolder) -> None:
    reviewed.mask_path("beach/001").write_bytes(b"no picture")
    answer = client.get("/api/label", params={"id": "beach/001", "layer": "mask"})
    assert answer.status_code == 500
    assert "001.png cannot be read" in answer.json()["message"]
    assert client.get("/api/thumbnail", params={"id": "beach/001"}).status_code == 200  # the photo alone
    Image.new("L", (3, 3)).save(reviewed.mask_path("beach/001"))
    answer = client.get("/api/label", params={"id": "beach/001", "layer": "mask"})
    assert "has 3x3 pixels, but its image has 24x16" in answer.json()["message"]
