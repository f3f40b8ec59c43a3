"""Parts one after the other give the gradient of the whole, and do not hold each other's maps."""

import weakref

import torch
from torch import nn
from torch.autograd.graph import saved_tensors_hooks

from ktse.method import objective
from ktse.method.in_turn import InTurn
from ktse.method.objective import Objective
from ktse.recipe import ObjectiveRecipe
from objectives import EVERY, MEAN, STD, a_batch, tiny_network


class AllAtOnce(InTurn):
    """As if all terms were of one part."""

    def __init__(self, shared, weights):
        super().__init__(shared, weights)
        self.learns, self.scores = False, shared


def gradients(way, monkeypatch):
    monkeypatch.setattr(objective, "InTurn", way)
    network = tiny_network(4)
    terms = Objective(network, ObjectiveRecipe(), MEAN, STD)(a_batch([[0], [1, 2], [3]], pairs=2), EVERY)
    sum(EVERY[name] * loss for name, loss in terms.losses.items()).backward()
    return {name: loss.item() for name, loss in terms.losses.items()}, [one.grad for one in network.parameters()]


def test_the_gradient_is_that_of_all_terms_at_once(monkeypatch):
    (losses, found), (expected_losses, expected) = (gradients(way, monkeypatch) for way in (InTurn, AllAtOnce))
    assert losses == expected_losses
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-7)
        assert one.abs().max() > 0


def test_what_a_part_asks_of_shared_scores_reaches_them_once():
    layer = nn.Linear(2, 3, bias=False)
    given = torch.tensor([[1.0, 2.0]])
    shared = layer(given)
    parts = InTurn(shared, {"first": 2.0, "second": 3.0, "off": 0.0})
    assert parts.taken({"first": parts.scores.sum(), "off": parts.scores.square().sum()}).keys() == {"first"}
    terms = parts.taken({"second": parts.scores.sum()})
    (shared.sum() + 3 * terms["second"]).backward()
    assert torch.equal(layer.weight.grad, (1 + 2 + 3) * given.expand(3, 2))


def test_shared_scores_that_nothing_else_uses_get_the_gradient_of_the_parts():
    layer, given = nn.Linear(2, 3, bias=False), torch.tensor([[1.0, 2.0]])
    parts = InTurn(layer(given), {"only": 2.0})
    (2 * parts.taken({"only": parts.scores.sum()})["only"]).backward()
    assert torch.equal(layer.weight.grad, 2 * given.expand(3, 2))


def test_nothing_is_taken_where_nothing_learns():
    with torch.no_grad():
        shared = nn.Linear(2, 3)(torch.ones(1, 2))
        parts = InTurn(shared, {"one": 1.0})
        assert parts.taken({"one": parts.scores.sum()})["one"] == shared.sum()


def test_stitched_and_erased_images_are_not_held_together(monkeypatch):
    def most_held(way):
        held = {"now": 0, "most": 0}

        class Held:
            def __init__(self, value):
                self.value = value
                held["now"] += value.numel()
                held["most"] = max(held.values())
                weakref.finalize(self, self.let_go, value.numel())

            @staticmethod
            def let_go(count):
                held["now"] -= count

        with saved_tensors_hooks(Held, lambda one: one.value):
            gradients(way, monkeypatch)
        return held["most"]

    # Of three images: all and their two pairs are held throughout; beside them both stitched ones, or all erased ones.
    assert most_held(InTurn) < 0.85 * most_held(AllAtOnce)
