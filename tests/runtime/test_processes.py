"""The whole job by two processes, started by torchrun, gives what one process gives."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from ktse.data.demo.scenes import make_scenes
from ktse.files import read_npz
from typed import TORCHRUN, ktse, ktse_process

SETTINGS = [
    "--recipe", "demo", "--classify.epochs", "2", "--classify.warmup", "2", "--classify.batch_norm", "frozen",
    "--classify.crop", "64", "--classify.long_side", "[64,80]", "--seed.scales", "[0.5]", "--segment.epochs", "1",
    "--segment.crop", "64", "--segment.long_side", "[64,80]", "--compute.workers", "0",
    # In bfloat16 the weak CAMs of so short a training are mostly rounding.
    "--compute.precision", "fp32",
    # Of their curve many thresholds are about as good, so that a difference of a float may choose the next one.
    "--refine.threshold", "0.3",
]  # fmt: skip


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("processes")
    make_scenes(folder / "scenes", images=12, size=(80, 64))
    job = ["run", "scenes/images", "--tags", "scenes/tags.csv", "--masks", "scenes/masks", *SETTINGS]
    for name, launcher in (("one", ()), ("two", TORCHRUN)):
        done = ktse_process(*job, "--out", name, launcher=launcher, cwd=folder)
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines()[-1] == str(Path(name, "report.html"))
        assert done.stdout.count("report.html") == 1  # said once, not by every process
    return folder / "one", folder / "two"


def test_both_runs_hold_the_same_files(runs: tuple[Path, Path]) -> None:
    one, two = ({path.relative_to(run).as_posix() for path in run.rglob("*")} for run in runs)
    assert one == two
    assert json.loads((runs[1] / "manifest.json").read_text())["seed"]["processes"] == 2


def test_two_processes_learn_the_same_network(runs: tuple[Path, Path]) -> None:
    one, two = (load_file(run / "classify/model.safetensors") for run in runs)
    assert all(np.allclose(one[name], two[name], atol=1e-4) for name in one)


def test_cams_agree(runs: tuple[Path, Path]) -> None:
    for path in sorted((runs[0] / "seeds").rglob("*.npz")):
        one, two = read_npz(path), read_npz(runs[1] / "seeds" / path.name)
        assert np.array_equal(one["keys"], two["keys"])
        assert np.allclose(one["logits"], two["logits"], atol=1e-3)
        assert np.mean(np.abs(one["cam"].astype(float) - two["cam"])) < 1e-3 if len(one["keys"]) else True


def test_masks_and_what_is_said_of_them_agree(runs: tuple[Path, Path]) -> None:
    one, two = (list(csv.reader((run / "masks/confidence.csv").open())) for run in runs)
    assert [row[0] for row in one] == [row[0] for row in two]
    measured = [np.array([row[2:] for row in rows[1:]], dtype=float) for rows in (one, two)]
    assert np.abs(measured[0]).max() > 0
    assert np.allclose(measured[0], measured[1], atol=0.05)
    curves = [json.loads((run / "masks/summary.json").read_text())["explained"] for run in runs]
    # The curve has a step wherever a pixel changes sides; a difference of a float may move one to the next threshold.
    assert np.mean(np.abs(np.subtract(*curves))) < 0.002


def test_the_first_process_alone_draws_the_scenes_of_the_demo(tmp_path: Path) -> None:
    counting = """
import os, pathlib, sys
import ktse.verbs.work as work
from ktse import cli

make = work.make_scenes

def counted(folder, **how):
    pathlib.Path(f"drawn-by-{os.environ['RANK']}").touch()
    make(folder, **how)

work.make_scenes = counted
cli.main(["demo", "--out", "run", "--images", "4", *sys.argv[1:]])
"""
    (tmp_path / "demo.py").write_text(counting)
    # Each process must find the scenes: what is wrong with the settings is said after that.
    command = [sys.executable, *TORCHRUN, "demo.py", "--classify.epochs", "2", "--classify.warmup", "3"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert "warmup" in done.stderr
    assert {path.name for path in tmp_path.glob("drawn-by-*")} == {"drawn-by-0"}


def test_a_run_made_with_relative_paths_can_be_used_from_anywhere(
    runs: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = ktse("check", runs[0])
    assert done.returncode == 0, done.stderr


LOPSIDED = """
import torch
from pathlib import Path
from torch import nn
from ktse.training.batches import make_loader
from ktse.runtime.fabric import make_fabric
from ktse.errors import CollapseError
from ktse.training.loop import fit
from ktse.training.task import EpochEnd, EpochPlan

fabric = make_fabric("fp32")

class Task:
    module = nn.Linear(3, 1)
    def images(self): return list(range(8))
    def name(self, index): return str(index)
    def plan(self, state):
        loader = lambda batches: make_loader([torch.ones(3)] * 8, batches, 0)
        return None if state.epoch else EpochPlan("", 4, lambda _: {"l": 1.0}, lambda _: 1.0, 0.9, loader)
    def losses(self, module, batch, weights, state):
        return {"l": module(batch).sum() * (float("inf") if fabric.global_rank else 1.0)}
    def watch(self, state): pass
    def end_epoch(self, state): return EpochEnd()

task = Task()
try:
    groups = [{"params": list(task.module.parameters()), "lr": 0.1, "base_lr": 0.1}]
    fit(task, groups, fabric, Path("run"), random_seed=0)
except CollapseError:
    Path(f"noticed-{fabric.global_rank}").touch()
fabric.barrier()
torch.distributed.destroy_process_group()
"""


def test_a_loss_that_is_no_number_on_one_device_is_a_collapse_on_all(tmp_path: Path) -> None:
    (tmp_path / "lopsided.py").write_text(LOPSIDED)
    command = [sys.executable, *TORCHRUN, "lopsided.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
    # Not the exit code: what the backend does while it is torn down is not the point.
    assert sorted(path.name for path in tmp_path.glob("noticed-*")) == ["noticed-0", "noticed-1"], done.stderr


RESUMED = """
import os, signal, sys
from pathlib import Path
import torch
from torch import nn
from ktse.runtime.fabric import make_fabric
from ktse.training.batches import make_loader
from ktse.training.loop import fit
from ktse.training.task import EpochEnd, EpochPlan

fabric = make_fabric("fp32")
STEPS, EPOCHS = 10, 2

class Task:
    def __init__(self, stop_at=0):
        torch.manual_seed(0)
        self.module = nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.5), nn.Linear(8, 1))
        self.stop_at, self.seen, self.sums = stop_at, 0, []
    def images(self): return list(range(4 * STEPS))
    def name(self, index): return str(index)
    def plan(self, state):
        loader = lambda batches: make_loader([torch.ones(3) * i / 40 for i in range(4 * STEPS)], batches, 0)
        return None if state.epoch == EPOCHS else EpochPlan("", 4, lambda _: {"l": 1.0}, lambda _: 0.01, 0.9, loader)
    def losses(self, module, batch, weights, state):
        self.seen += 1
        if self.seen == self.stop_at and fabric.global_rank == 1:  # one of them is interrupted
            os.kill(os.getpid(), signal.SIGINT)
        if fabric.global_rank:
            torch.rand(1)  # so that the processes draw different numbers
        state.count(images=len(batch), sum=batch.sum())
        return {"l": ((module(batch) - 1) ** 2).mean()}
    def watch(self, state): pass
    def end_epoch(self, state):
        self.sums.append(dict(state.totals))
        return EpochEnd()

def train(task, folder):
    groups = [{"params": list(task.module.parameters()), "lr": 0.1, "base_lr": 0.1}]
    fit(task, groups, fabric, Path(folder), random_seed=1)
    return task

whole = train(Task(), "whole")
wrong = []
for stop_at in range(1, STEPS * EPOCHS + 1):
    folder = f"parts-{stop_at}"
    try:
        train(Task(stop_at), folder)
        wrong.append(f"{stop_at}: not stopped")
    except KeyboardInterrupt:
        pass
    torch.manual_seed(99 + fabric.global_rank)
    again = train(Task(), folder)
    same = all(torch.equal(a, b) for a, b in zip(whole.module.parameters(), again.module.parameters()))
    same &= again.sums[-1] == whole.sums[-1] and again.sums[0] == whole.sums[-len(again.sums)]
    wrong += [] if same else [f"{stop_at}: {again.sums} {whole.sums}"]
Path(f"done-{fabric.global_rank}").write_text("\\n".join(wrong))
fabric.barrier()
torch.distributed.destroy_process_group()
"""


def test_two_processes_that_were_stopped_at_any_step_go_on_as_if_they_had_not_been(tmp_path: Path) -> None:
    (tmp_path / "resumed.py").write_text(RESUMED)
    command = [sys.executable, *TORCHRUN, "resumed.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=240)
    for number in range(2):
        assert (tmp_path / f"done-{number}").is_file(), done.stderr
        assert (tmp_path / f"done-{number}").read_text() == ""


STOPPED = """
import os, signal, sys, time
from pathlib import Path
from ktse.runtime import heartbeat
heartbeat.BEAT, heartbeat.SILENCE = 0.1, 1.0
with heartbeat.beating(Path(".")):
    time.sleep(1)
    if os.environ["RANK"] == "1":
        os.kill(os.getpid(), signal.SIGSTOP)
    time.sleep(600)
"""


def test_a_process_that_has_stopped_ends_the_others_with_a_message(tmp_path: Path) -> None:
    environment = {**os.environ, "WORLD_SIZE": "2"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", STOPPED],
            cwd=tmp_path,
            env={**environment, "RANK": str(number)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(2)
    ]
    try:
        said = processes[0].communicate(timeout=60)[1]
    finally:
        processes[1].kill()
        processes[1].communicate()
    assert processes[0].returncode == 1
    assert "process 1 of 2 (counted from 0) has stopped" in said


def test_an_error_of_one_process_alone_is_said(tmp_path: Path) -> None:
    program = """
import os, sys
import ktse.cli
from ktse.errors import DataError

def only_the_second(words, name):
    if os.environ["RANK"] == "1":
        raise DataError("its disk is gone")
    import time; time.sleep(60)

ktse.cli._main = only_the_second
sys.exit(ktse.cli.main(["run"]))
"""
    (tmp_path / "one.py").write_text(program)
    command = [sys.executable, *TORCHRUN, "one.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 1 and "process 1: ktse run: its disk is gone" in done.stderr


def test_an_error_of_all_processes_is_said_once(tmp_path: Path) -> None:
    command = [sys.executable, *TORCHRUN, "-m", "ktse.cli", "run", "nowhere", "--tags", "none.csv", "--out", "out"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 1 and done.stderr.count("nowhere does not exist") == 1, done.stderr
