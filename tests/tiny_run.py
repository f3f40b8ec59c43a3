"""A finished run on tiny scenes, and a copy of it for tests that change it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from ktse.data.demo.scenes import make_scenes
from typed import ktse

TINY = (
    "--recipe", "demo", "--classify.backbone", "test_byobnet", "--classify.epochs", "2", "--classify.warmup", "1",
    "--classify.crop", "64", "--classify.long_side", "[64,96]", "--segment.encoder", "test_byobnet", "--segment.epochs",
    "1", "--segment.crop", "64", "--segment.long_side", "[64,96]", "--seed.scales", "[0.5]", "--compute.workers", "0",
    "--compute.random_seed", "3", "--weights", "none",
)  # fmt: skip
"""A network of 0.2 million weights: a run takes 6 seconds and 18 MB. With this random seed, no CAM collapses."""


@pytest.fixture(scope="session")
def drawings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """images/, masks/ and tags.csv of 14 scenes."""
    folder = tmp_path_factory.mktemp("data") / "scenes"
    make_scenes(folder, images=14, size=(96, 80))
    table = (folder / "tags.csv").read_text().splitlines()
    table[1] = table[1].split(",")[0] + ","  # an image without tags is legal
    (folder / "tags.csv").write_text("\n".join(table))
    return folder


def whole(drawings: Path, run: Path) -> list[object]:
    """What makes the run, or goes on with it."""
    given = ["--tags", drawings / "tags.csv", "--masks", drawings / "masks"]
    return ["run", drawings / "images", *given, "--out", run, *TINY]


@pytest.fixture(scope="session")
def tiny_run(drawings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run; read it only."""
    run = tmp_path_factory.mktemp("runs") / "tiny"
    done = ktse(*whole(drawings, run))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == str(run / "report.html")
    return run


@pytest.fixture
def own_run(tiny_run: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return shutil.copytree(tiny_run, tmp_path / "run")
