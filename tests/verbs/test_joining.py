"""ktse join: the same bytes as one process makes, whatever becomes of the one that helps."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image

from ktse.artefacts import digest
from ktse.run_folder import RunFolder
from ktse.runtime.claims import FOLDER, Part, SharedImages, sharing
from ktse.runtime.environment import versions
from ktse.runtime.heartbeat import beating
from ktse.runtime.lock import locked
from tiny_run import whole
from typed import command, ktse

CHANGED = ("--seed.scales", "[0.75]")
"""Makes everything after classify stale."""

PATIENT = """
import os, sys, time
from ktse.cli import main
from ktse.runtime.claims import SharedImages

plain = SharedImages._claimed
def others_first(self, offer):
    if self._joined is None and offer.part.name in os.environ["OTHERS_FIRST"].split():
        while not list(offer.folder.glob("*.made")):
            time.sleep(0.02)
    yield from plain(self, offer)

SharedImages._claimed = others_first
sys.exit(main(sys.argv[1:]))
"""
"""ktse, but of some parts of a stage another process must have made images before it begins."""


@pytest.fixture(scope="module")
def alone(drawings: Path, tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run with the changed setting, as one process makes it."""
    run = shutil.copytree(tiny_run, tmp_path_factory.mktemp("joining") / "alone")
    done = ktse(*whole(drawings, run), *CHANGED)
    assert done.returncode == 0, done.stderr
    return run


def files_of(run: Path) -> dict[str, str]:
    folders = ("seeds", "masks", "confident", "predictions", "fused", "segment/model.safetensors", "classes.txt")
    paths = [path for name in folders for path in (run / name, *(run / name).rglob("*")) if path.is_file()]
    return {path.relative_to(run).as_posix(): digest(path) for path in paths}


def noted(run: Path) -> dict[str, object]:
    """What the records of the shared stages say of their files."""
    return {
        name: json.loads((run / f"index/{name}.json").read_text())["files"] for name in ("seed", "refine", "predict")
    }


@contextmanager
def holder(drawings: Path, run: Path, parts: str) -> Iterator[subprocess.Popen[str]]:
    environment = {**os.environ, "OTHERS_FIRST": parts}
    words = [*map(str, whole(drawings, run)), *CHANGED]
    process = subprocess.Popen(
        [sys.executable, "-c", PATIENT, *words], env=environment, stderr=subprocess.PIPE, text=True
    )
    try:
        until = time.monotonic() + 120
        while not (run / FOLDER / "run.json").is_file():
            assert process.poll() is None and time.monotonic() < until
            time.sleep(0.05)
        yield process
    finally:
        process.kill()


def test_a_run_that_others_have_joined_has_the_same_files(drawings: Path, own_run: Path, alone: Path) -> None:
    with holder(drawings, own_run, "seed refine cut predict") as first:
        helper = subprocess.run(command("join", own_run), capture_output=True, text=True, check=False, timeout=200)
        said = first.communicate(timeout=200)[1]
    assert first.returncode == 0, said
    assert helper.returncode == 0, helper.stderr
    for part in ("seed", "refine", "cut", "predict"):
        assert f"join: {part}: " in helper.stderr
    assert 4 <= int(helper.stdout.split()[0]) <= 4 * 14
    assert files_of(own_run) == files_of(alone)
    assert noted(own_run) == noted(alone)
    assert not (own_run / FOLDER).exists()


def test_a_process_that_is_killed_while_it_helps_loses_nothing(drawings: Path, own_run: Path, alone: Path) -> None:
    with holder(drawings, own_run, "seed") as first:
        helper = subprocess.Popen(command("join", own_run), stderr=subprocess.PIPE, text=True)
        while not list(own_run.glob(f"{FOLDER}/seed-*/*.made")):
            assert helper.poll() is None and first.poll() is None
            time.sleep(0.005)
        helper.kill()
        helper.communicate()
        said = first.communicate(timeout=200)[1]
    assert first.returncode == 0, said
    assert files_of(own_run) == files_of(alone)
    assert noted(own_run) == noted(alone)


def test_without_a_process_to_join_the_command_that_starts_one_is_said(own_run: Path) -> None:
    done = ktse("join", own_run)
    assert done.returncode == 1
    assert f"nobody works in {own_run}: there is nothing to join" in done.stderr
    assert "Start it, here or elsewhere: ktse run " in done.stderr and f"--out {own_run}" in done.stderr


def test_a_process_with_other_versions_is_refused(own_run: Path) -> None:
    terms = {"versions": {**versions(), "ktse": "0.0.1", "numpy": "1.0"}, "processes": 1}
    with locked(own_run), beating(own_run), sharing(own_run, terms):
        done = ktse("join", own_run)
    assert done.returncode == 1
    assert "ktse is " in done.stderr and "and 0.0.1 there" in done.stderr and "and 1.0 there" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_torchrun_shares_with_nobody_else(own_run: Path) -> None:
    with locked(own_run), beating(own_run), sharing(own_run, {"versions": versions(), "processes": 4}):
        done = ktse("join", own_run)
    assert done.returncode == 1 and "4 processes of one torchrun work in" in done.stderr


@contextmanager
def offered(run: Path, key: str) -> Iterator[None]:
    """This process works in a run, and shares its seeds."""
    images = iter(SharedImages(14, lambda _: True, Part(run, "seed", "seed", key)))
    terms = {"versions": versions(), "processes": 1}
    with locked(run), beating(run), sharing(run, terms):
        next(images)
        yield


def test_a_process_whose_settings_make_something_else_is_refused(own_run: Path) -> None:
    with offered(own_run, "made from other settings"):
        done = ktse("join", own_run)
    assert done.returncode == 1
    assert "does seed, and this process would make something else" in done.stderr


def test_a_process_that_sees_other_images_is_refused(drawings: Path, own_run: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(drawings, tmp_path / "scenes")
    done = ktse(*whole(copy, own_run))
    assert done.returncode == 0, done.stderr
    photo = sorted((copy / "images").iterdir())[0]
    Image.new("RGB", (96, 80)).save(photo)  # as on another machine, where something else lies at the same path
    with offered(own_run, RunFolder(own_run).key("seed")):
        done = ktse("join", own_run)
    assert done.returncode == 1
    assert "does seed, and this process would make something else" in done.stderr
    assert "the files of images, the tags or what is kept for validation changed" in done.stderr
