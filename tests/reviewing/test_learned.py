"""The page knows from which masks the model has not learned yet."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("fastapi", reason="needs the extra review")
pytest.importorskip("httpx", reason="needs httpx")

from fastapi.testclient import TestClient

from ktse.data.masks import open_corrections
from ktse.files import write_json
from ktse.reviewing.server import make_app
from ktse.run_folder import RunFolder
from reviewed_run import SIZE, open_pictures


def learned(client: TestClient) -> dict[str, Any]:
    return {image["id"]: image["learned"] for image in client.get("/api/run").json()["images"]}


def accept(client: TestClient, name: str, value: int, revision: int) -> None:
    params = {"id": name, "revision": revision, "action": "accept"}
    body = bytes([value]) * (SIZE[0] * SIZE[1])
    assert client.put("/api/label", params=params, content=body).status_code == 200


def test_what_was_accepted_or_changed_since_is_not_learned(reviewed: RunFolder) -> None:
    pictures = open_pictures(reviewed)
    with TestClient(make_app(pictures, "run", "ktse run"), base_url="http://127.0.0.1:8350") as client:
        accept(client, "beach/001", 1, 0)
        accept(client, "beach/002", 1, 0)
        assert learned(client) == {"beach/001": False, "beach/002": False, "park/003": None, "none": None}
        corrections = open_corrections(reviewed.path("corrections"), pictures.data)
        write_json(reviewed.path("adapt", "summary.json"), {"learned": corrections.contents()})  # as stages/adapt.py
        assert learned(client) == {"beach/001": True, "beach/002": True, "park/003": None, "none": None}
        accept(client, "beach/001", 2, 1)
        accept(client, "park/003", 2, 0)
        assert learned(client) == {"beach/001": False, "beach/002": True, "park/003": False, "none": None}


def test_of_a_model_that_does_not_say_what_it_has_learned_nothing_is_claimed(reviewed: RunFolder) -> None:
    reviewed.path("adapt").mkdir()
    reviewed.path("adapt", "model.safetensors").write_bytes(b"")
    with TestClient(make_app(open_pictures(reviewed), "run", "ktse run"), base_url="http://127.0.0.1:8350") as client:
        accept(client, "beach/001", 1, 0)
        assert set(learned(client).values()) == {None}
