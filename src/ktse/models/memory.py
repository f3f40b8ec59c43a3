"""How much memory a network needs to learn, before it does."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks


def kept_for_gradient(network: nn.Module, batch: int, side: int) -> int:
    """Bytes that a network holds for the way back through a batch of square images; nothing is computed.

    Args:
        network: maps (B, 3, H, W) images to anything; it is of no use afterwards, as it has lost its weights.
        batch: number of images; at least 2, as a batch norm over a single value has no spread.
        side: of an image in pixels.
    """
    network.to("meta").train()
    weights = {_key(weight) for weight in (*network.parameters(), *network.buffers())}
    seen: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        if _key(tensor) not in weights:
            seen[_key(tensor)] = tensor.untyped_storage().nbytes()
        return tensor

    with saved_tensors_hooks(keep, lambda tensor: cast(Tensor, tensor)):
        alive = network(torch.empty(batch, 3, side, side, device="meta"))
    del alive
    return sum(seen.values())


def _key(tensor: Tensor) -> int:
    """One number for all views of the same memory."""
    return int(tensor.untyped_storage()._cdata)
