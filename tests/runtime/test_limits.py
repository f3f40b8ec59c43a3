"""Want of memory and dead processes, in the words of each library."""

from __future__ import annotations

import multiprocessing
import os
import signal
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from ktse.errors import DataError, MachineError
from ktse.models.weights import save_tensors
from ktse.pipeline import STAGES
from ktse.runtime.limits import machine_limits


def test_memory_that_numpy_and_torch_do_not_get() -> None:
    import torch

    for ask in (lambda: np.zeros(1 << 50), lambda: torch.empty(1 << 50)):
        with pytest.raises(MachineError, match="memory of the machine is full") as caught, machine_limits("a.b"):
            ask()
        assert "Lower a.b" in caught.value.hint


def test_memory_of_a_gpu() -> None:
    import torch

    with pytest.raises(MachineError, match="memory of the GPU"), machine_limits():
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


def test_other_errors_pass() -> None:
    for error in (RuntimeError("shapes differ"), DataError("no tags"), OSError(28, "No space left on device")):
        with pytest.raises(type(error)) as caught, machine_limits("a.b"):
            raise error
        assert caught.value is error


def test_each_stage_says_what_to_lower() -> None:
    for name in ("classify", "seed", "affinity", "segment", "predict"):
        assert STAGES[name].costs.lower.startswith(f"{name}.")


class Broken:
    """Images of which one cannot be read, or whose reader dies."""

    def __init__(self, dies: bool) -> None:
        self.dies = dies

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> int:
        if self.dies:
            os.kill(os.getpid(), signal.SIGKILL)
        raise DataError("1.jpg cannot be read", where="it is cut short")


def test_what_happens_in_a_process_that_reads_images() -> None:
    from torch.utils.data import DataLoader

    for dies, message in ((True, "has died"), (False, "^1.jpg cannot be read\n  - it is cut short$")):
        loader = DataLoader(Broken(dies), num_workers=1, multiprocessing_context="fork")  # type: ignore[arg-type]
        with pytest.raises((MachineError, DataError), match=message) as caught, machine_limits():
            list(loader)
        assert "Traceback" not in str(caught.value)


def test_a_pool_whose_process_dies() -> None:
    pool = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork"))
    with pytest.raises(MachineError, match="has died") as caught, machine_limits():
        pool.submit(os._exit, 1).result()
    assert "compute.workers" in caught.value.hint


def test_a_full_disk_is_named_where_tensors_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch
    from safetensors import SafetensorError

    def full(*_: object, **__: object) -> None:
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("ktse.models.weights.save_file", full)
    with pytest.raises(OSError, match="No space left on device") as caught:
        save_tensors(tmp_path / "model.safetensors", {"a": torch.zeros(1)}, {})
    assert caught.value.filename == str(tmp_path / "model.safetensors")
    assert not list(tmp_path.iterdir())
