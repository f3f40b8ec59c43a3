"""What is trained, as the training loop sees it: the plan of each epoch, the losses, and where training stands."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from torch import Tensor, nn
from torch.utils.data import DataLoader

POWER = 0.9
"""Published exponent of the learning rate's decay."""


@dataclass(frozen=True)
class EpochPlan:
    """How one epoch is trained.

    Attributes:
        phase: name of the phase, for the log.
        batch_size: images in a batch, over all devices together.
        weights: weight of each loss term by name, given the progress 0..1 within the epoch.
        lr: factor on every group's learning rate, given the progress 0..1 within the epoch.
        momentum: SGD momentum.
        loader: makes the loader of the epoch, given the images of each batch.
        epochs: how many epochs there will be in all, for the user.
    """

    phase: str
    batch_size: int
    weights: Callable[[float], Mapping[str, float]]
    lr: Callable[[float], float]
    momentum: float
    loader: Callable[[list[list[int]]], DataLoader[Any]]
    epochs: int = 1


@dataclass
class State:
    """Where training stands; everything that a resume needs besides tensors.

    Attributes:
        epoch: epochs finished.
        step: batches finished within the epoch.
        lines: lines of the log written so far.
        totals: sums over the current epoch that the task keeps.
        memory: what the task remembers over epochs (JSON values).
    """

    epoch: int = 0
    step: int = 0
    lines: int = 0
    totals: dict[str, float] = field(default_factory=dict)
    memory: dict[str, Any] = field(default_factory=dict)

    def count(self, **values: Tensor | float) -> None:
        """Add scalars to the sums over the epoch."""
        for name, value in values.items():
            self.totals[name] = self.totals.get(name, 0.0) + (value.item() if isinstance(value, Tensor) else value)


@dataclass(frozen=True)
class EpochEnd:
    """What to do after an epoch.

    Attributes:
        remark: line for the log and the user, or empty.
        keep: name under which this epoch's checkpoint is kept as well, or empty.
    """

    remark: str = ""
    keep: str = ""


class Task(Protocol):
    """What is trained: network, data, losses, and the plan of each epoch."""

    module: nn.Module

    def plan(self, state: State) -> EpochPlan | None:
        """The next epoch, or None when training has ended."""

    def images(self) -> list[int]:
        """Indices of the images to train on."""

    def name(self, index: int) -> str:
        """The name of an image, for messages."""

    def losses(self, module: nn.Module, batch: Any, weights: Mapping[str, float], state: State) -> dict[str, Tensor]:
        """Unweighted loss terms by name; may add to state.totals."""

    def watch(self, state: State) -> None:
        """Now and then within an epoch and at its end: raise CollapseError if training is no longer sound."""

    def end_epoch(self, state: State) -> EpochEnd:
        """After an epoch: judge it and remember in state.memory."""


def parameter_groups(
    backbone: nn.Module, head: nn.Module, lr: float, head_lr: float, weight_decay: float
) -> list[dict[str, Any]]:
    """Four groups: backbone and head, each with (matrices) and without (biases, batch norm) weight decay."""
    groups = []
    for module, rate in ((backbone, lr), (head, lr * head_lr)):
        trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
        matrices = [parameter for parameter in trained if parameter.dim() > 1]
        vectors = [parameter for parameter in trained if parameter.dim() <= 1]
        groups.append({"params": matrices, "lr": rate, "weight_decay": weight_decay})
        groups.append({"params": vectors, "lr": rate, "weight_decay": 0.0})
    return [{**group, "base_lr": group["lr"]} for group in groups if group["params"]]


def poly(progress: float) -> float:
    """Polynomial decay from 1 to 0: (1 - progress) ** POWER, progress clipped to 0..1."""
    return float((1 - min(1.0, max(0.0, progress))) ** POWER)
