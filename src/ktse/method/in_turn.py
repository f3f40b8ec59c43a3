"""Parts of an objective one after the other, so that what one part holds for its gradient is gone before the next."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


class InTurn:
    """Parts that share scores of the network, and beyond these only its weights.

    The gradient of a sum is the sum of the gradients: that of a part is taken at once, for the network's weights and
    for the shared scores. What the parts ask of the shared scores is added when the gradient of these is taken.

    Args:
        shared: scores whose gradient will be taken last, by whoever uses them.
        weights: weight of each term by name.

    Attributes:
        scores: the shared scores as the parts are to use them.
    """

    def __init__(self, shared: Tensor, weights: Mapping[str, float]) -> None:
        self.weights, self.shared, self.scores = weights, shared, shared
        self.learns = torch.is_grad_enabled() and shared.requires_grad
        if self.learns:
            self.scores = scores = shared.detach().requires_grad_()
            shared.register_hook(  # type: ignore[no-untyped-call]
                lambda gradient: gradient if scores.grad is None else gradient + scores.grad
            )

    def taken(self, losses: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Take the gradient of a part.

        Args:
            losses: scalars by name; those without a weight are left out.

        Returns:
            the terms that have a weight, without what they hold, as their gradient is where it belongs. They ask the
            shared scores for a gradient of 0, so that these get the parts' even where no other term uses them.
        """
        losses = {name: loss for name, loss in losses.items() if self.weights.get(name)}
        if not self.learns or not losses:
            return losses
        total = torch.stack([self.weights[name] * loss for name, loss in losses.items()]).sum()
        with torch.autocast(total.device.type, enabled=False):
            total.backward()  # type: ignore[no-untyped-call]
        return {name: loss.detach() + 0 * self.shared.sum() for name, loss in losses.items()}
