"""A hub that cannot be reached costs seconds and one message, whatever the reason."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from huggingface_hub import constants

from ktse.errors import RecipeError
from ktse.models import hub
from ktse.models.backbone import create


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    hub._reachable.cache_clear()
    yield
    hub._reachable.cache_clear()


@pytest.fixture
def nobody() -> Iterator[str]:
    """An address at which nobody answers."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An address that takes a call and says nothing, as behind some firewalls."""
    monkeypatch.setattr(hub, "PATIENCE", 0.2)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


@pytest.mark.parametrize("kind", ["nobody", "silent"])
def test_weights_from_a_hub_out_of_reach_are_one_message(
    kind: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", request.getfixturevalue(kind))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(RecipeError, match=r"cannot be downloaded: .* cannot be reached") as caught:
        create("resnet10t", "hub")
    assert "--weights FILE" in caught.value.hint and "--weights none" in caught.value.hint
    assert len(str(caught.value).splitlines()) == 2
    assert not constants.HF_HUB_OFFLINE


def test_whoever_answers_can_be_reached_and_others_are_not_asked(monkeypatch: pytest.MonkeyPatch, nobody: str) -> None:
    class Refuse(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_error(403)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Refuse) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        assert hub.reachable()
        with hub.asked_once("hub"):
            assert not constants.HF_HUB_OFFLINE
        server.shutdown()
    monkeypatch.setattr(constants, "ENDPOINT", nobody)
    assert not hub.reachable()
    with hub.asked_once("hub"):
        assert constants.HF_HUB_OFFLINE
    with hub.asked_once("none"):
        assert not constants.HF_HUB_OFFLINE
