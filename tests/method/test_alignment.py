"""MGA: the erased image against its anchor."""

import pytest
import torch

from ktse.method.alignment import global_alignment, local_alignment


@pytest.mark.parametrize("term", ["global", "local"])
def test_alignment_and_its_gradients_are_the_published_ones(golden_tensors, near, term):
    e = golden_tensors("e_alignment")
    erased, anchor = (e[f"camseg_{name}"].requires_grad_() for name in ("masked", "anchor"))
    if term == "global":
        loss = global_alignment(erased[:, 1:], anchor[:, 1:], e["label"])
    else:
        loss = local_alignment(erased[:, 1:], anchor[:, 1:], e["mask_cam_res"].float(), e["label"])
    near(loss.view(1), e[f"loss_{term}_align"], absolute=1e-6)
    loss.backward()
    near(erased.grad, e[f"grad_{term}_align_masked"], absolute=1e-7)
    near(anchor.grad, e[f"grad_{term}_align_anchor"], absolute=1e-7)


def test_an_image_that_erasing_did_not_change_costs_nothing():
    cam, tags = torch.randn(2, 3, 5, 5, generator=torch.Generator().manual_seed(0)), torch.ones(2, 3)
    assert global_alignment(cam, cam, tags) == 0
    assert local_alignment(cam, cam, torch.ones(2, 1, 5, 5), tags) == 0


def test_new_activation_costs_only_where_nothing_was_erased():
    anchor, erased, tags = torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 2, 2), torch.ones(1, 1)
    erased[..., 0] = 1
    keep = torch.tensor([[[[0.0, 1.0], [1.0, 1.0]]]])
    assert local_alignment(erased, anchor, keep, tags, margin=0.0) == 0.25
