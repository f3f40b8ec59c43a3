"""On what a network runs: device, precision, and the other processes, by Lightning Fabric."""

from __future__ import annotations

import logging
import os
from datetime import timedelta
from typing import Any, cast

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies.ddp import DDPStrategy

from ktse.errors import RunError
from ktse.runtime.console import say_once
from ktse.runtime.device import chosen_device
from ktse.runtime.words import many

PATIENCE = timedelta(days=30)
"""How long a process waits for the others, as the first of them may look at a million images alone meanwhile.

If one ends with an error, torchrun stops all of them.
"""


def make_fabric(precision: str) -> Fabric:
    """A Fabric on the device at hand, or the chosen one; under torchrun on all of its processes.

    Args:
        precision: "fp32", "bf16", or "auto": bfloat16 where the device computes it natively.

    Raises:
        RunError: the chosen device is not there.
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))
    here = int(os.environ.get("LOCAL_WORLD_SIZE", "1")) if world > 1 else 1
    accelerator = find_device()
    mixed = precision == "bf16" or (precision == "auto" and native_bf16(accelerator))
    # Its remarks on precision and devices are for those who wrote the script.
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    # Batch norm freezes after the warm-up and terms are switched off: not every parameter learns in every step.
    strategy = DDPStrategy(find_unused_parameters=True, timeout=PATIENCE) if world > 1 else "auto"
    nodes, kind = max(1, world // here), "bf16-mixed" if mixed else "32-true"
    fabric = Fabric(
        accelerator=accelerator, strategy=strategy, devices=here, num_nodes=nodes, precision=cast(Any, kind)
    )
    fabric.launch()
    say_once(f"device: {_in_words(accelerator)}{', bfloat16' if mixed and precision == 'auto' else ''}")
    return fabric


def find_device() -> str:
    """The chosen device, or, if none was chosen, a GPU if there is one: "cpu", "cuda" or "mps".

    Raises:
        RunError: the chosen device is not there.
    """
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    chosen = chosen_device()
    found = [name for name, fine in there.items() if fine]
    if chosen == "auto":
        return found[0]
    if chosen not in found:
        raise RunError(
            f"there is no device {chosen!r} that this PyTorch ({torch.__version__}) can use",
            hint=f"Give --device {found[0]}, or leave it out.",
        )
    return chosen


def _in_words(device: str) -> str:
    if device == "cuda":
        return torch.cuda.get_device_name()
    return f"cpu, {many(torch.get_num_threads(), 'thread')}" if device == "cpu" else "Apple GPU (mps)"


def native_bf16(accelerator: str) -> bool:
    """Whether bfloat16 is computed by the hardware; emulated, it can be thirty times slower than float32."""
    if accelerator == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capable = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return accelerator == "cpu" and bool(capable.get("avx512_bf16") or capable.get("amx_bf16"))
