"""The rivals through the command line: each is a matter of settings, shares the loop, and is logged by name."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from ktse.cli import main
from ktse.data.demo.scenes import make_scenes
from ktse.job import Job
from ktse.pipeline import CHECK
from ktse.recipe.load import load_recipe
from ktse.run_folder import RunFolder

NO_MGA = ["--classify.objective.weights.global_alignment", "0", "--classify.objective.weights.local_alignment", "0"]
NO_SIE = [
    "--classify.objective.weights.transfer", "0", "--classify.objective.weights.stitched_background", "0",
    "--classify.objective.weights.stitched_foreground", "0",
]  # fmt: skip
SSR = {"classification", "background", "foreground", "inter_class"}
SIE = {"transfer", "stitched_background", "stitched_foreground"}
MGA = {"global_alignment", "local_alignment"}


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run with tiny settings that has looked at its images, and no more."""
    scenes = tmp_path_factory.mktemp("data") / "scenes"
    make_scenes(scenes, images=9, size=(80, 64))
    settings = {
        "data.images": str(scenes / "images"), "data.tags": str(scenes / "tags.csv"), "classify.epochs": 2,
        "classify.warmup": 1, "classify.crop": 64, "classify.long_side": [64, 80], "compute.workers": 0,
        "classify.batch_size": 4, "classify.retries": 0, "classify.ramp": 0.0,
    }  # fmt: skip
    run = RunFolder(tmp_path_factory.mktemp("runs") / "run")
    job = Job(run, load_recipe("demo", settings))
    run.write_recipe(job.recipe)
    job.do(CHECK)
    return run


@pytest.mark.parametrize(
    ("arguments", "terms"),
    [
        ([*NO_MGA, "--classify.objective.weights.erased_classification", "1"], SSR | SIE | {"erased_classification"}),
        (
            [
                *NO_MGA, "--classify.objective.weights.attraction", "0.15",
                "--classify.objective.weights.repulsion", "0.15",
            ],
            SSR | SIE | {"attraction", "repulsion"},
        ),
        ([*NO_SIE, "--classify.objective.cutmix", "0.5"], SSR | MGA),
        (["--classify.objective.partner", "random"], SSR | SIE | MGA),
        (["--classify.warmup", "2"], {"classification"}),
    ],
    ids=["ACoL", "AEFT", "CutMix", "random pairs", "plain CAM"],
)  # fmt: skip
def test_a_rival_is_a_matter_of_settings(
    checked: RunFolder, tmp_path: Path, arguments: list[str], terms: set[str]
) -> None:
    run = RunFolder(shutil.copytree(checked.root, tmp_path / "run"))
    assert main(["classify", str(run.root), *arguments]) == 0
    lines = [json.loads(line) for line in run.path("classify", "metrics.jsonl").read_text().splitlines()]
    later = [set(line["terms"]) for line in lines if line.get("epoch", 0) >= 1 and "terms" in line]
    assert later
    assert all(found == terms for found in later)
    assert run.path("classify", "model.safetensors").is_file()


@pytest.mark.parametrize("share", ["1.5", "-0.1"])
def test_a_share_outside_0_to_1_is_a_message(
    checked: RunFolder, capsys: pytest.CaptureFixture[str], share: str
) -> None:
    assert main(["classify", str(checked.root), "--classify.objective.cutmix", share]) == 1
    assert "classify.objective.cutmix" in capsys.readouterr().err
