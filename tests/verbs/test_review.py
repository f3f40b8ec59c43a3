"""`ktse review` on the command line: what it needs, and that it starts and ends."""

from __future__ import annotations

import importlib.util
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.request import urlopen

import pytest

from ktse.run_folder import RunFolder
from ktse.verbs.review import how_to_learn, how_to_review
from reviewed_run import open_pictures, served
from typed import ktse

INSTALLED = importlib.util.find_spec("fastapi") and importlib.util.find_spec("uvicorn")
needs_the_extra = pytest.mark.skipif(not INSTALLED, reason="needs the extra review")


@needs_the_extra
def test_it_serves_until_it_is_interrupted(reviewed: RunFolder) -> None:
    started = time.monotonic()
    with served(reviewed) as (process, address):
        assert b"ktse review" in urlopen(address).read()
        assert time.monotonic() - started < 20
        again = ktse("review", reviewed.root, "--no-browser", "--port", 0)
        assert again.returncode == 1
        assert "is open already" in again.stderr
        process.send_signal(signal.SIGINT)
        out, said = process.communicate(timeout=20)
    assert process.returncode == 0
    assert out.strip() == str(reviewed.path("corrections"))
    assert "review: ended" in said
    assert "Traceback" not in said


@needs_the_extra
def test_a_killed_page_can_be_opened_again(reviewed: RunFolder) -> None:
    with served(reviewed) as (process, _):
        process.kill()
        process.wait()
    with served(reviewed) as (_, address):
        assert urlopen(address).status == 200


@needs_the_extra
def test_the_page_needs_no_torch(reviewed: RunFolder) -> None:
    code = "import sys, ktse.cli, ktse.reviewing.server, ktse.reviewing.pictures; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@needs_the_extra
def test_a_port_in_use_is_a_message(reviewed: RunFolder) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = ktse("review", reviewed.root, "--no-browser", "--port", port)
    assert done.returncode == 1
    assert f"port {port} is not free" in done.stderr
    assert "0 takes a free one" in done.stderr
    wrong = ktse("review", reviewed.root, "--no-browser", "--port", 99999)
    assert wrong.returncode == 1
    assert "port 99999 is not free" in wrong.stderr


@needs_the_extra
def test_a_run_without_images_or_masks_is_a_message(reviewed: RunFolder, tmp_path: Path) -> None:
    reviewed.path("masks", "summary.json").unlink()
    done = ktse("review", reviewed.root, "--no-browser")
    assert done.returncode == 1
    assert "has no masks yet" in done.stderr
    shutil.move(tmp_path / "photos", tmp_path / "elsewhere")
    done = ktse("review", reviewed.root, "--no-browser")
    assert done.returncode == 1
    assert "the images of this run were at" in done.stderr


def test_the_command_of_the_page_learns_from_what_was_accepted(own_run: Path) -> None:
    run = RunFolder(own_run)
    recipe = run.read_recipe()
    pictures = open_pictures(run)
    tagged = [image["id"] for image in pictures.about_run()["images"] if image["tags"] and not image["kept_out"]]
    taught = [name for name in tagged if run.mask(name).any()][:3]
    for name in taught:
        pictures.edits.accept(name, run.mask(name), 0, same=True)
    done = ktse(*shlex.split(how_to_learn(run, recipe))[1:])
    assert done.returncode == 0, done.stderr
    assert f"corrected masks: {len(taught)}\n" in done.stderr
    assert f"adapt: {len(taught)} corrected masks" in done.stderr
    assert "refine: done already" in done.stderr
    assert f"to correct masks: ktse review {own_run}" in done.stderr


def test_a_folder_that_is_no_run_is_a_message(tmp_path: Path) -> None:
    done = ktse("review", tmp_path, "--no-browser")
    assert done.returncode == 1
    assert "is not a run folder" in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_missing_extra_is_a_message(reviewed: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ktse.verbs.review.find_spec", lambda name: None if name == "uvicorn" else object())
    done = ktse("review", reviewed.root, "--no-browser")
    assert done.returncode == 1
    assert "ktse review needs uvicorn" in done.stderr
    assert "pip install 'ktse[review]'" in done.stderr
    assert how_to_review(reviewed) == f"ktse review {reviewed.root} (needs pip install 'ktse[review]')"
