"""SIE: what the stitched image lost against its halves."""

import pytest
import torch

from ktse.method.erasing import stitch
from ktse.method.transfer import transfer_loss


def test_knowledge_transfer_and_its_gradients_are_the_published_ones(golden_tensors, near):
    d = golden_tensors("d_knowledge_transfer")
    anchor, pair, stitched = (d[f"camseg_{name}"].requires_grad_() for name in ("anchor", "pair", "stitched"))
    tags = torch.maximum(d["label"], d["label2"])[:4]
    assert torch.equal(tags, d["mix_label"])
    loss = transfer_loss(stitch(anchor[:4, 1:], pair[:4, 1:], "height"), stitched[:, 1:], tags)
    near(loss.view(1), d["loss_kt"], absolute=1e-6)
    loss.backward()
    for name, scores in (("anchor", anchor), ("pair", pair), ("stitched", stitched)):
        near(scores.grad, d[f"grad_kt_{name}"], absolute=1e-7)


@pytest.mark.parametrize(("reference", "expected"), [(1.0, 0.0), (1.05, 0.0), (1.15, 0.1), (-3.0, 0.0)])
def test_only_a_loss_of_more_than_the_margin_costs(reference, expected):
    loss = transfer_loss(torch.full((1, 1, 4, 4), reference), torch.ones(1, 1, 4, 4), torch.ones(1, 1), margin=0.05)
    assert loss.item() == pytest.approx(expected, abs=1e-6)
