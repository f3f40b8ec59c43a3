"""What the page says about masks that nobody has checked."""

from __future__ import annotations

import pytest

pytest.importorskip("fastapi", reason="needs the extra review")
pytest.importorskip("httpx", reason="needs httpx")

from fastapi.testclient import TestClient

from ktse.data.edit_layer import EditLayer
from ktse.quality import rest
from ktse.reviewing.server import make_app
from ktse.run_folder import RunFolder
from reviewed_run import NAMES, open_pictures


def client_of(run: RunFolder) -> TestClient:
    return TestClient(make_app(open_pictures(run), "run", "ktse run"), base_url="http://127.0.0.1:8350")


def test_how_good_the_rest_is(reviewed: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest, "LEAST", 2)
    monkeypatch.setattr("ktse.quality.expected.student", lambda _: 1.0)  # of so few masks nobody knows the spread
    with client_of(reviewed) as client:
        assert client.get("/api/rest").json() == {"rest": "", "expected": {}}
        for name in ("beach/002", "beach/001"):
            params = {"id": name, "revision": 0, "action": "accept"}
            client.put("/api/label", params=params, content=reviewed.mask(name).tobytes())
            found = client.get("/api/rest").json()
            known = name == "beach/001"
            assert ("not known yet" in found["rest"]) != known
        assert found["rest"].startswith("expected mIoU of the rest 1.00 (")
        assert found["rest"].endswith("1 mask, from 2 checked masks that were drawn by chance")
        assert found["expected"] == {"park/003": 1.0}


def test_what_was_accepted_unseen_is_shown_and_can_be_taken_back(reviewed: RunFolder) -> None:
    EditLayer(reviewed.path("corrections"), NAMES).trust({"beach/001", "park/003"})
    with client_of(reviewed) as client:
        state = {image["id"]: image["state"] for image in client.get("/api/run").json()["images"]}
        assert state == {"beach/001": "trusted", "beach/002": "open", "park/003": "trusted", "none": "open"}
        assert client.post("/api/learn").status_code == 422  # there is nothing to learn from
        back = client.post("/api/state", params={"id": "park/003", "revision": 1, "action": "reopen"}).json()
        assert back == {"state": "open", "revision": 2, "draft": False}
        wrong = client.post("/api/state", params={"id": "park/003", "revision": 2, "action": "trust"})
        assert wrong.status_code == 422  # only ktse accept does that
        drawn = client.put("/api/label", params={"id": "beach/001", "revision": 1}, content=bytes([1]) * 24 * 16)
        assert drawn.json() == {"state": "open", "revision": 2, "draft": True}
