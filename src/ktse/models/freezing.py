"""Parts of a network that stay as they are while the rest learns: batch norms, and the stages next to the image."""

from __future__ import annotations

from torch import nn

from ktse.models.folding import fold_batch_norms, unfold_batch_norms


def batch_norms(model: nn.Module) -> list[nn.Module]:
    """All batch norms of a model."""
    return [module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]


class PartlyFrozen(nn.Module):
    """A network with an encoder, some of which can stay as it is."""

    def __init__(self) -> None:
        super().__init__()
        self.batch_norm_frozen = False
        self._frozen: list[nn.Module] = []

    @property
    def encoder(self) -> nn.Module:
        """The part that starts from given weights."""
        raise NotImplementedError

    def freeze_batch_norm(self, frozen: bool = True) -> None:
        """Keep the statistics and the affine part of the encoder's batch norms as they are, or let them learn."""
        self.batch_norm_frozen = frozen
        for module in batch_norms(self.encoder):
            module.requires_grad_(not frozen)
        for module in self._frozen:
            module.requires_grad_(False)
        (fold_batch_norms if frozen else unfold_batch_norms)(self.encoder)
        self.train(self.training)

    def freeze_stages(self, count: int) -> None:
        """Keep the encoder's first children as they are; -1: all of it."""
        self._frozen = first_stages(self.encoder, count)
        for module in self._frozen:
            module.requires_grad_(False)

    def train(self, mode: bool = True) -> PartlyFrozen:
        """Switch to training; frozen batch norms and frozen stages stay in evaluation."""
        super().train(mode)
        for module in (*self._frozen, *(batch_norms(self.encoder) if self.batch_norm_frozen else ())):
            module.eval()
        return self


def first_stages(model: nn.Module, count: int) -> list[nn.Module]:
    """The children of a model, from the image on, up to and with the given number of those that have weights.

    Containers such as MobileNetV2's "blocks" count by their members, so that stages mean the same everywhere.

    Args:
        model: any timm model, also inside of a wrapper.
        count: number of children; -1: the whole model, since some weights, such as a ViT's position embedding, are in
            no child.
    """
    if count < 0:
        return [model]
    while len(inside := list(model.children())) == 1:
        model = inside[0]
    children: list[nn.Module] = []
    for child in model.children():
        children += list(child.children()) if isinstance(child, nn.Sequential | nn.ModuleList) else [child]
    with_weights = [child for child in children if any(True for _ in child.parameters())]
    return children[: children.index(with_weights[min(count, len(with_weights)) - 1]) + 1] if count else []
