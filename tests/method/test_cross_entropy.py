"""Cross entropy at the size of an image: torch's numbers, without torch's planes."""

import pytest
import torch
from torch.nn.functional import cross_entropy, interpolate, relu

from ktse.method import cross_entropy as module
from ktse.method.cross_entropy import enlarged_cross_entropy
from ktse.method.regularisation import UNDECIDED


def by_torch(scores, label):
    large = interpolate(relu(scores), label.shape[-2:], mode="bilinear", align_corners=False)
    return cross_entropy(large, label, ignore_index=UNDECIDED, reduction="none")


@pytest.mark.parametrize("band", [1, 200, 1 << 21])
@pytest.mark.parametrize(
    ("small", "size"), [((4, 5), (32, 40)), ((5, 7), (21, 30)), ((6, 6), (6, 6)), ((9, 9), (8, 40)), ((1, 1), (3, 2))]
)
def test_losses_and_gradients_are_those_of_torch(monkeypatch, band, small, size):
    monkeypatch.setitem(module.BAND, "cpu", band)
    generator = torch.Generator().manual_seed(0)
    label = torch.randint(UNDECIDED, 6, (3, *size), generator=generator)
    weight = torch.rand(3, *size, generator=generator, dtype=torch.float64)
    values = 300 * torch.rand(3, 6, *small, generator=generator, dtype=torch.float64) - 150
    values[0] = -1  # an image in which nothing is positive
    values[1, [0, 2, 4]] = -1  # and one in which some classes are not, that pixels are labelled with
    found = []
    for function in (by_torch, enlarged_cross_entropy):
        scores = values.clone().requires_grad_()
        loss = function(scores, label)
        (loss * weight).sum().backward()
        found.append((loss, scores.grad))
    (loss, gradient), (our_loss, our_gradient) = found
    torch.testing.assert_close(our_loss, loss, rtol=1e-12, atol=1e-11)
    torch.testing.assert_close(our_gradient, gradient, rtol=1e-10, atol=1e-12)


def test_mixed_precision_changes_nothing():
    label, scores = torch.randint(0, 4, (2, 20, 20)), 9 * torch.rand(2, 4, 5, 5)
    plain = enlarged_cross_entropy(scores, label)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(enlarged_cross_entropy(scores, label), plain)


def test_scores_that_are_no_numbers_give_no_number():
    scores = torch.zeros(1, 3, 2, 2)
    scores[0, 2] = torch.nan  # not the class that pixels are labelled with
    assert enlarged_cross_entropy(scores, torch.zeros(1, 4, 4, dtype=torch.long)).isnan().all()
