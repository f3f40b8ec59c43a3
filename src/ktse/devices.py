"""On what a network runs: device, precision, and the other processes, by Lightning Fabric."""

from __future__ import annotations

import os
from datetime import timedelta

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies.ddp import DDPStrategy

PATIENCE = timedelta(days=30)
"""How long a process waits for the others, as the first of them may look at a million images alone meanwhile.

If one ends with an error, torchrun stops all of them.
"""


def make_fabric(precision: str) -> Fabric:
    """A Fabric on the device at hand; under torchrun on all of its processes.

    Args:
        precision: "fp32", "bf16", or "auto": bfloat16 where the device computes it natively.
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))
    here = int(os.environ.get("LOCAL_WORLD_SIZE", "1")) if world > 1 else 1
    accelerator = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    mixed = precision == "bf16" or (precision == "auto" and native_bf16(accelerator))
    fabric = Fabric(
        accelerator=accelerator,
        devices=here,
        num_nodes=max(1, world // here),
        # Batch norm freezes after the warm-up and terms are switched off: not every parameter learns in every step.
        strategy=DDPStrategy(find_unused_parameters=True, timeout=PATIENCE) if world > 1 else "auto",
        precision="bf16-mixed" if mixed else "32-true",
    )
    fabric.launch()
    return fabric


def native_bf16(accelerator: str) -> bool:
    """Whether bfloat16 is computed by the hardware; emulated, it can be thirty times slower than float32."""
    if accelerator == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capable = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return accelerator == "cpu" and bool(capable.get("avx512_bf16") or capable.get("amx_bf16"))
