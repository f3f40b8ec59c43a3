"""Pairs of pixels: paths, affinity, labels and losses against the published ones."""

import pytest
import torch

from ktse.refinement.pairs import displacements, irn_terms, pair_affinity, pair_labels, path


@pytest.mark.parametrize("radius", [5, 10])
def test_displacements_and_their_order_are_the_published_ones(golden_tensors, radius):
    stored = golden_tensors("l1_irn_affinity")[f"r{radius}_search_dst"]
    assert displacements(radius) == [tuple(pair) for pair in stored.tolist()]


def test_paths_are_the_published_ones(golden_tensors):
    stored = golden_tensors("l1_irn_affinity")
    published = [way for number in range(9) for way in stored[f"r5_paths_{number}"].tolist()]
    ours = [path(dy, dx) for dy, dx in displacements(5)]
    assert [sorted(map(tuple, way)) for way in published] == [sorted(way) for way in ours]


@pytest.mark.parametrize("radius", [5, 10])
def test_affinity_is_the_published_one(golden_tensors, near, radius):
    stored = golden_tensors("l1_irn_affinity")
    near(pair_affinity(stored[f"r{radius}_edge"][:, 0], radius), stored[f"r{radius}_affinity"], absolute=1e-6)


@pytest.mark.parametrize("radius", [5, 10])
def test_labels_are_the_published_ones(golden_tensors, radius):
    stored = golden_tensors("l1_irn_affinity")
    labels = pair_labels(stored[f"r{radius}_label"][None], radius)
    for ours, name in zip(labels, ("bg", "fg", "neg"), strict=True):
        assert torch.equal(ours[0], stored[f"r{radius}_aff_{name}"].bool())


def test_losses_and_gradients_are_the_published_ones(golden_tensors, near):
    stored = golden_tensors("l2_irn_losses")
    edge, displacement = stored["edge_logit"].requires_grad_(), stored["displacement"].requires_grad_()
    terms = irn_terms(edge[:, 0].sigmoid(), displacement, pair_labels(stored["label"], 5), 5)
    for term, name in zip(terms, ("loss_pos", "loss_neg", "loss_dp_fg", "loss_dp_bg"), strict=True):
        near(term.reshape(1), stored[name], relative=1e-5)
    total = sum(terms) / 2
    near(total.reshape(1), stored["total"], relative=1e-5)
    total.backward()
    near(edge.grad, stored["grad_edge"], relative=1e-6)
    near(displacement.grad, stored["grad_dp"], relative=1e-6)


@pytest.mark.parametrize("label", [0, 1, 255])
def test_terms_without_pairs_are_zero_and_teach_nothing(label):
    edge = torch.rand(1, 12, 14, requires_grad=True)
    displacement = torch.rand(1, 2, 12, 14, requires_grad=True)
    terms = irn_terms(edge, displacement, pair_labels(torch.full((1, 12, 14), label), 3), 3)
    filled = {0: ("same", "displacement_background"), 1: ("same", "displacement_foreground"), 255: ()}[label]
    assert {name for name, value in terms._asdict().items() if value != 0} == set(filled)
    sum(terms).backward()
    assert torch.isfinite(edge.grad).all()


def test_labels_of_many_classes_have_their_own_undecided_value():
    label = torch.full((1, 8, 8), 255)
    assert pair_labels(label, 3, undecided=65535).foreground.all()
    assert not pair_labels(label, 3).foreground.any()


def test_a_map_without_room_for_a_pair_is_refused():
    with pytest.raises(ValueError, match="too small for pairs of radius 5"):
        pair_affinity(torch.rand(1, 20, 8), 5)
