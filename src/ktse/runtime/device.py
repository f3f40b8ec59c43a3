"""Which device the user has chosen. The choice is not a setting: it does not change what a result means."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal

Device = Literal["auto", "cpu", "cuda", "mps"]

_chosen: ContextVar[Device] = ContextVar("device", default="auto")


def chosen_device() -> Device:
    """The device that the user has chosen; "auto" if none."""
    return _chosen.get()


@contextmanager
def on_device(device: Device) -> Iterator[None]:
    """Within the block, networks are put on this device.

    Args:
        device: "auto" is a GPU if there is one.
    """
    token = _chosen.set(device)
    try:
        yield
    finally:
        _chosen.reset(token)
