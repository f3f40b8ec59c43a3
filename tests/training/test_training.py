"""The training loop: an interrupted training ends exactly like an uninterrupted one, and a collapse is said."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from ktse.errors import CollapseError
from ktse.models.weights import save_tensors
from ktse.runtime.fabric import make_fabric
from ktse.runtime.processes import alone, own_cores, world_size
from ktse.training.batches import epoch_batches, make_loader, mostly, share_of
from ktse.training.loop import fit, go_back
from ktse.training.task import EpochEnd, EpochPlan, State, parameter_groups, poly


class Numbers(Dataset[Tensor]):
    def __getitem__(self, index: int) -> Tensor:
        return torch.full((3,), float(index) / 10)


class Line:
    """A line with dropout, so that the random state matters."""

    def __init__(self, epochs: int = 3, stop_at: int = -1, blow_up: bool = False) -> None:
        torch.manual_seed(0)
        self.module: nn.Module = nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.5), nn.Linear(8, 1))
        self.epochs, self.stop_at, self.blow_up, self.seen = epochs, stop_at, blow_up, 0
        self.watched: list[tuple[int, int]] = []

    def images(self) -> list[int]:
        return list(range(10))

    def name(self, index: int) -> str:
        return f"image {index}"

    def plan(self, state: State) -> EpochPlan | None:
        if state.epoch >= self.epochs:
            return None
        return EpochPlan(
            "line", 4, lambda _: {"square": 1.0}, lambda p: poly((state.epoch + p) / self.epochs), 0.9, self.loader
        )

    def loader(self, batches: list[list[int]]) -> DataLoader[Any]:
        return make_loader(Numbers(), batches, 0)

    def losses(self, module: nn.Module, batch: Tensor, weights: Mapping[str, float], state: State) -> dict[str, Tensor]:
        self.seen += 1
        if self.seen == self.stop_at:
            os.kill(os.getpid(), signal.SIGINT)
        factor = float("nan") if self.blow_up else 1.0
        return {"square": ((module(batch) - 1) ** 2).mean() * factor}

    def watch(self, state: State) -> None:
        self.watched.append((state.epoch, state.step))

    def end_epoch(self, state: State) -> EpochEnd:
        return EpochEnd(f"epoch {state.epoch}", keep="first.safetensors" if state.epoch == 1 else "")


def train(task: Line, folder: Path) -> dict[str, Tensor]:
    groups = [{"params": list(task.module.parameters()), "lr": 0.05, "base_lr": 0.05}]
    fit(task, groups, make_fabric("fp32"), folder, random_seed=1)
    return task.module.state_dict()


@pytest.mark.parametrize("stop_at", [1, 3, 5, 9])
def test_an_interrupted_training_ends_like_an_uninterrupted_one(tmp_path: Path, stop_at: int) -> None:
    expected = train(Line(), tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(Line(stop_at=stop_at), tmp_path / "parts")
    resumed = train(Line(), tmp_path / "parts")
    assert all(torch.equal(resumed[key], expected[key]) for key in expected)
    assert (tmp_path / "parts/metrics.jsonl").read_text() == (tmp_path / "whole/metrics.jsonl").read_text()


def test_a_finished_training_is_not_repeated(tmp_path: Path) -> None:
    expected = train(Line(), tmp_path)
    again = Line()
    assert all(torch.equal(value, expected[key]) for key, value in train(again, tmp_path).items())
    assert again.seen == 0


def test_going_back_repeats_what_followed_the_kept_checkpoint(tmp_path: Path) -> None:
    expected = train(Line(), tmp_path)
    for count in (1, 2):
        go_back(tmp_path / "first.safetensors", tmp_path, {"repeated": count}, f"back {count}", make_fabric("fp32"))
    again = Line()
    assert all(torch.equal(value, expected[key]) for key, value in train(again, tmp_path).items())
    assert again.seen == 6
    events = [json.loads(line).get("event") for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [event for event in events if event] == [
        "epoch 1",
        "epoch 2",
        "epoch 3",
        "back 1",
        "back 2",
        "epoch 2",
        "epoch 3",
    ]


def test_killed_after_a_kept_checkpoint_training_comes_to_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = train(Line(), tmp_path / "whole")
    names: list[str] = []

    def killed(path: Path, *what: Any) -> None:
        if names and names[-1] == "first.safetensors":
            raise KeyboardInterrupt
        save_tensors(path, *what)
        names.append(path.name)

    monkeypatch.setattr("ktse.training.checkpoint.save_tensors", killed)
    with pytest.raises(KeyboardInterrupt):
        train(Line(), tmp_path / "parts")
    monkeypatch.undo()
    assert names == ["first.safetensors"]
    assert not (tmp_path / "parts" / "checkpoint.safetensors").exists()
    resumed = train(Line(), tmp_path / "parts")
    assert all(torch.equal(resumed[key], expected[key]) for key in expected)
    for name in ("first.safetensors", "checkpoint.safetensors", "metrics.jsonl"):
        assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_checkpoint_of_weights_that_are_no_numbers_is_not_written(tmp_path: Path) -> None:
    task = Line()
    whole = task.losses

    def losses(module: nn.Module, batch: Tensor, weights: Mapping[str, float], state: State) -> dict[str, Tensor]:
        found = whole(module, batch, weights, state)
        if task.seen == 5:  # a number still, but its step leaves none; then somebody interrupts the training
            task.module[2].weight.register_hook(lambda gradient: torch.full_like(gradient, float("nan")))
            os.kill(os.getpid(), signal.SIGINT)
        return found

    task.losses = losses  # type: ignore[method-assign]
    with pytest.raises(CollapseError, match=r"2\.weight holds NaN"):
        train(task, tmp_path)
    expected = train(Line(), tmp_path / "whole")
    assert all(torch.equal(value, expected[key]) for key, value in train(Line(), tmp_path).items())


def test_a_task_is_asked_to_watch_within_an_epoch_and_at_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ktse.training.loop.WATCH_STEPS", 2)
    task = Line(epochs=2)
    train(task, tmp_path)
    assert task.watched == [(0, 2), (1, 0), (1, 2), (2, 0)]


def test_a_loss_that_is_no_number_is_a_collapse(tmp_path: Path) -> None:
    with pytest.raises(CollapseError, match="no longer a number in epoch 1, step 1") as caught:
        train(Line(blow_up=True), tmp_path)
    assert "square: nan" in str(caught.value)
    assert str(caught.value).count("image ") == 4  # the batch
    assert not list(tmp_path.glob("*.safetensors"))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_weight_that_is_no_number_is_a_collapse_that_names_it(tmp_path: Path, value: float) -> None:
    task = Line(epochs=1)
    whole = task.losses

    def losses(module: nn.Module, batch: Tensor, weights: Mapping[str, float], state: State) -> dict[str, Tensor]:
        found = whole(module, batch, weights, state)
        if task.seen == 3:  # the last step, whose loss is a number still
            task.module[2].weight.register_hook(lambda gradient: torch.full_like(gradient, value))
        return found

    task.losses = losses  # type: ignore[method-assign]
    with pytest.raises(CollapseError, match=r"2\.weight holds NaN or infinite"):
        train(task, tmp_path)
    assert not (tmp_path / "checkpoint.safetensors").exists()


@given(count=st.integers(1, 60), batch_size=st.integers(1, 9), epoch=st.integers(0, 5))
def test_an_epoch_holds_every_image_once(count: int, batch_size: int, epoch: int) -> None:
    batches = epoch_batches(list(range(count)), batch_size, random_seed=0, epoch=epoch)
    assert sorted(index for batch in batches for index in batch) == list(range(count))
    assert batches == epoch_batches(list(range(count)), batch_size, random_seed=0, epoch=epoch)
    assert batch_size == 1 or count == 1 or min(len(batch) for batch in batches) > 1


def test_the_learning_rate_falls_like_the_published_one(golden: Any) -> None:
    stored = golden("k_poly_sgd")
    for step in range(20):
        for column, base in enumerate((0.01, 0.02, 0.1, 0.2)):
            assert base * poly(step / 20) == pytest.approx(stored["small_lr_f64"][step, column], abs=1e-12)
    for step, lr in zip(stored["voc_step"], stored["voc_lr_f64"], strict=True):
        if step < stored["voc_max_step"][0]:
            assert 0.01 * poly(step / float(stored["voc_max_step"][0])) == pytest.approx(lr, abs=1e-12)


class GivenGradients(Line):
    """A weight whose gradient in each step is given, and that is written down after each step."""

    def __init__(self, start: Tensor, gradients: Tensor) -> None:
        super().__init__(epochs=1)
        self.module = nn.Linear(start.shape[1], start.shape[0], bias=False)
        self.module.weight.data.copy_(start)
        self.gradients, self.weights = gradients, []  # type: ignore[var-annotated]

    def plan(self, state: State) -> EpochPlan | None:
        if state.epoch == 1:
            return None
        return EpochPlan("given", 1, lambda _: {"given": 1.0}, poly, 5e-4, self.loader)

    def losses(self, module: nn.Module, batch: Tensor, weights: Mapping[str, float], state: State) -> dict[str, Tensor]:
        weight = cast(Tensor, cast(nn.Linear, self.module).weight)
        self.weights.append(weight.detach().clone())
        gradient = self.gradients[state.step] if state.step < len(self.gradients) else torch.zeros_like(weight)
        return {"given": module(torch.eye(5)).mul(gradient.T).sum()}


def test_steps_follow_the_published_optimiser(golden: Any, near: Any, tmp_path: Path) -> None:
    stored = {key: torch.from_numpy(value) for key, value in golden("k_poly_sgd").items()}
    task = GivenGradients(stored["traj_w0"], stored["traj_grads"])
    groups = parameter_groups(task.module, nn.Identity(), 0.1, 1.0, 5e-4)
    fit(task, groups, make_fabric("fp32"), tmp_path, random_seed=1)
    near(torch.stack(task.weights[1:9]), stored["traj_w"], absolute=1e-6)


@given(sizes=st.lists(st.integers(1, 9), min_size=1, max_size=4), world=st.integers(1, 4))
def test_devices_share_every_batch_and_none_is_left_with_a_single_image(sizes: list[int], world: int) -> None:
    batches = [[10 * number + image for image in range(size)] for number, size in enumerate(sizes)]
    shares = [share_of(batches, rank, world) for rank in range(world)]
    for number, batch in enumerate(batches):
        assert {image for share in shares for image in share[number]} == set(batch)
        if world > 1:
            assert min(len(share[number]) for share in shares) >= 2
        if len(batch) >= 2 * world:
            assert sorted(image for share in shares for image in share[number]) == batch


@pytest.mark.parametrize(
    ("cores", "processes", "gpu", "workers"),
    [(1, 1, False, 0), (2, 1, False, 0), (2, 1, True, 1), (8, 1, False, 7), (8, 4, False, 0), (64, 1, True, 8)],
)
def test_images_are_read_by_the_cores_that_training_can_spare(
    monkeypatch: pytest.MonkeyPatch, cores: int, processes: int, gpu: bool, workers: int
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: cores)
    monkeypatch.setattr("torch.cuda.is_available", lambda: gpu)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(processes))
    assert make_loader(Numbers(), [[0]], -1).num_workers == workers
    assert make_loader(Numbers(), [[0]], 3).num_workers == 3


def test_runs_apart_share_the_cores_and_train_on_one_device_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 16)
    for name, value in {"RANK": "5", "LOCAL_RANK": "5", "WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "8"}.items():
        monkeypatch.setenv(name, value)
    with alone():
        assert own_cores() == 2
        assert make_fabric("fp32").world_size == 1
    assert world_size() == 8


@given(st.integers(0, 40), st.integers(1, 10), st.floats(0, 1), st.integers(1, 99))
def test_strong_images_make_up_their_share(weak: int, strong: int, share: float, count: int) -> None:
    found = mostly(list(range(strong)), list(range(strong, strong + weak)), share, count, 0)
    assert len(found) == count and set(found) <= set(range(strong + weak))
    of_strong = sum(image < strong for image in found)
    assert of_strong == (round(share * count) if weak else count)
    for kind, all_of_it in ((range(strong), of_strong), (range(strong, strong + weak), count - of_strong)):
        counts = [found.count(image) for image in kind]
        assert sum(counts) == all_of_it
        assert not counts or max(counts) - min(counts) <= 1
