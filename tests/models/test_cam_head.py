"""The CAM head: score maps, gated pyramid pooling, class scores."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

from ktse.models.cam_head import CamHead, CamNetwork, Gate


@pytest.fixture
def published(golden_tensors):
    """The reference tensors and a head with their weights."""
    b = golden_tensors("b_gpp_head")
    head = CamHead(24, 20, 32)
    weights = {"reduce.weight": b["w_fc8"], "score.weight": b["w_fc9"]}
    for n in (1, 2, 3):
        for sign in ("positive", "negative"):
            weights[f"gates.{n - 1}.{sign}.weight"] = b[f"w_g{n}_{sign[:3]}"]
    head.load_state_dict({**head.state_dict(), **weights})
    return b, head


@pytest.mark.parametrize("case", ["s16", "s10x13", "s40x20", "s5x7"])
def test_head_and_its_gradient_are_the_published_ones(published, near, case):
    b, head = published
    features = b[f"{case}_x"].requires_grad_()
    scores = head(features)
    cam = scores[:, 1:]
    logits = head.classify(cam)
    loss = binary_cross_entropy_with_logits(logits, b[f"{case}_label"])
    loss.backward()
    for actual, key in ((scores, "camseg"), (cam, "cam"), (head.pyramid(cam), "gpp"), (logits, "out")):
        near(actual, b[f"{case}_{key}"], relative=1e-5)
    near(loss.view(1), b[f"{case}_bce"], relative=1e-5)
    near(features.grad, b[f"{case}_grad_x"], relative=1e-5)


def test_a_gate_is_the_published_one(published, near):
    b, head = published
    near(head.gates[1](b["gconv_x"], b["gconv_y"]), b["gconv_out"], relative=1e-5)


def test_a_gate_treats_positive_and_negative_parts_apart():
    gate = Gate(3)
    first, second = torch.randn(2, 1, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        positive = gate(first.clamp(min=0), second.clamp(min=0))
        negative = gate(first.clamp(max=0), second.clamp(max=0))
        torch.testing.assert_close(gate(first, second), positive + negative)
    assert positive.min() >= 0
    assert negative.max() <= 0


@pytest.mark.parametrize("size", [(1, 1), (3, 40)])
@pytest.mark.parametrize("classes", [1, 7])
def test_network_gives_a_cam_and_a_score_for_each_class(classes, size):
    network = CamNetwork(nn.Conv2d(3, 6, 1), CamHead(6, classes, hidden=4))
    image = torch.randn(2, 3, *size)
    cam, logits = network(image)
    assert cam.shape == (2, classes, *size)
    assert logits.shape == (2, classes)
    scores = network.scores(image)
    assert scores.shape == (2, classes + 1, *size)
    assert torch.equal(cam, scores[:, 1:])


def test_scores_are_float32_under_autocast():
    network = CamNetwork(nn.Conv2d(3, 6, 1), CamHead(6, 2, hidden=4))
    with torch.autocast("cpu", torch.bfloat16):
        assert network.head(network.backbone(torch.randn(1, 3, 8, 8))).dtype == torch.bfloat16
        assert network.scores(torch.randn(1, 3, 8, 8)).dtype == torch.float32


def test_lse_pools_what_the_mean_exponential_says():
    head = CamHead(6, 3, 4, "lse")
    with torch.no_grad():
        head.bias.copy_(torch.tensor([0.5, 0.0, -1.0]))
    cam = torch.randn(2, 3, 5, 7)
    expected = cam.exp().mean(dim=(-2, -1)).log() + head.bias
    torch.testing.assert_close(head.classify(cam), expected)
    assert not len(head.gates)


def test_lse_does_not_overflow():
    assert CamHead(6, 1, 4, "lse").classify(torch.full((1, 1, 3, 3), 500.0)).item() == pytest.approx(500)


def test_signed_features_keep_their_negative_part_and_dropout_acts_in_training_alone():
    features = -torch.rand(2, 6, 4, 4)
    assert not CamHead(6, 3, 4)(features).any()
    head = CamHead(6, 3, 4, signed=True, dropout=0.5)
    assert head(features).any()
    assert not torch.equal(head(features), head(features))
    assert torch.equal(head.eval()(features), head(features))


def test_the_level_of_a_class_is_learned_on_images_without_it():
    head = CamHead(6, 2, 4)
    generator = torch.Generator().manual_seed(2)
    tags = torch.tensor([[1.0, 0.0], [1.0, 1.0], [1.0, 0.0]])
    cams = [torch.randn(3, 2, 4, 5, generator=generator) for _ in range(3)]
    for cam in cams:
        head.learn_level(cam, tags, 0.8)
    assert head.level[0] == 0  # every image holds the class
    expected = np.mean([np.quantile(cam[[0, 2], 1].numpy(), 0.8) for cam in cams])
    assert head.level[1].item() == pytest.approx(expected, abs=1e-5)
    torch.testing.assert_close(head.evidence(cams[0])[:, 1], cams[0][:, 1] - head.level[1])


def test_a_level_that_was_not_learned_changes_nothing():
    cam = torch.randn(1, 3, 2, 2)
    assert torch.equal(CamHead(6, 3, 4).evidence(cam), cam)


def test_the_level_is_learned_for_thousands_of_classes():
    head = CamHead(6, 1300, 2)
    cam = torch.arange(1300.0)[None, :, None, None].expand(1, -1, 120, 120)
    head.learn_level(cam, torch.zeros(1, 1300), 0.8)
    torch.testing.assert_close(head.level, torch.arange(1300.0))
