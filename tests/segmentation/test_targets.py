"""Targets from scores, and the loss, against plain numpy and torch's own cross entropy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from ktse.segmentation.targets import (
    DOUBTFUL,
    TRUSTED,
    pixel_loss,
    pixel_weights,
    presence_loss,
    soft_targets,
    weighted_mean,
)
from torch.nn.functional import cross_entropy

from ktse.stages.refine import cut

IGNORED = 255


@pytest.mark.parametrize("threshold", [0.1, 0.37, 0.8])
def test_of_one_class_the_target_is_the_logistic_of_two_logits(threshold: float) -> None:
    scores = np.linspace(0.01, 0.99, 50)
    logit = np.log(scores / (1 - scores)) - np.log(threshold / (1 - threshold))
    found = soft_targets(torch.from_numpy(scores).view(1, 5, 10), threshold)
    np.testing.assert_allclose(found[1].flatten(), 1 / (1 + np.exp(-logit)), atol=1e-6)
    np.testing.assert_allclose(found.sum(dim=0), 1, atol=1e-6)
    exactly = soft_targets(torch.full((1, 1, 1), threshold), threshold)
    np.testing.assert_allclose(exactly.flatten(), 0.5, atol=1e-6)


@given(seed=st.integers(0, 10**6), count=st.integers(0, 4), threshold=st.floats(0.02, 0.98))
def test_the_likeliest_label_is_the_hard_one(seed: int, count: int, threshold: float) -> None:
    scores = np.random.default_rng(seed).integers(0, 256, (count, 6, 7)) / 255
    keys = np.arange(count)
    likeliest = soft_targets(torch.from_numpy(scores), threshold).argmax(dim=0).numpy()
    hard = cut(keys, scores, threshold, 5)
    close = np.abs(scores - threshold).min(axis=0, initial=1) < 1e-6
    assert ((likeliest == hard) | close).all()


def test_stored_certainty_is_nearly_certain_but_not_infinite() -> None:
    found = soft_targets(torch.tensor([0.0, 1.0]).view(1, 1, 2), 0.3)
    assert found.isfinite().all()
    assert found[0, 0, 0] > 0.99 and found[1, 0, 1] > 0.99


def test_without_a_class_everything_is_background() -> None:
    assert torch.equal(soft_targets(torch.zeros(0, 3, 4), 0.3), torch.ones(1, 3, 4))


def test_hard_targets_give_the_usual_cross_entropy() -> None:
    torch.manual_seed(0)
    logits, label = torch.randn(3, 5, 8, 9), torch.randint(0, 5, (3, 8, 9))
    label[0, :3] = IGNORED
    label[2] = IGNORED
    none = torch.zeros(3, 0)
    loss = pixel_loss(logits, label, IGNORED, none, torch.zeros(3, 0, 8, 9))
    pixels = pixel_weights(label, torch.full_like(label, TRUSTED), IGNORED, 1.0)
    found = weighted_mean(loss, pixels, torch.ones(3))
    torch.testing.assert_close(found, cross_entropy(logits, label, ignore_index=IGNORED))


def test_soft_targets_give_torchs_cross_entropy_with_probabilities() -> None:
    torch.manual_seed(0)
    logits, whole = torch.randn(2, 6, 4, 5, requires_grad=True), torch.zeros(2, 6, 4, 5)
    keys = torch.tensor([[0, 4, 2], [0, 3, 0]])  # the second image lacks a plane
    target = torch.rand(2, 3, 4, 5)
    target[1, 2] = 0
    target = target / target.sum(dim=1, keepdim=True)
    for image in range(2):
        for plane in range(3):
            whole[image, keys[image, plane]] += target[image, plane]
    label = torch.zeros(2, 4, 5, dtype=torch.int64)
    label[1, 0] = IGNORED
    loss = pixel_loss(logits, label, IGNORED, keys, target)
    expected = cross_entropy(logits, whole, reduction="none") * (label != IGNORED)
    torch.testing.assert_close(loss, expected)
    loss.sum().backward()
    assert logits.grad is not None
    assert (logits.grad[1, :, 0] == 0).all() and (logits.grad[1, :, 1] != 0).any()


def test_weights_of_pixels_and_images() -> None:
    label = torch.tensor([[[0, 1, IGNORED]], [[1, 1, IGNORED]]])
    trust = torch.tensor([[[TRUSTED, DOUBTFUL, DOUBTFUL]], [[DOUBTFUL, TRUSTED, 255]]])
    pixels = pixel_weights(label, trust, IGNORED, 0.25)
    assert pixels.tolist() == [[[1, 0.25, 0]], [[0.25, 1, 0]]]
    loss = torch.tensor([[[4.0, 8.0, 100.0]], [[8.0, 2.0, 100.0]]])
    # (2 x 4 + 2 x 0.25 x 8 + 0.5 x 0.25 x 8 + 0.5 x 2) / 2.5
    assert weighted_mean(loss, pixels, torch.tensor([2.0, 0.5])).item() == pytest.approx(5.6)
    # An image alone in its batch counts less too.
    assert weighted_mean(loss[1:], pixels[1:], torch.tensor([0.5])).item() == pytest.approx(0.5 * (2 + 2) / 1.25)


def test_nothing_to_learn_is_zero_and_has_a_gradient() -> None:
    logits = torch.randn(1, 3, 4, 4, requires_grad=True)
    label = torch.full((1, 4, 4), IGNORED)
    loss = pixel_loss(logits, label, IGNORED, torch.zeros(1, 0), torch.zeros(1, 0, 4, 4))
    total = weighted_mean(loss, pixel_weights(label, label, IGNORED, 1.0), torch.ones(1))
    total.backward()
    assert total.item() == 0
    assert logits.grad is not None and (logits.grad == 0).all()


def presence_by_hand(logits: np.ndarray, label: np.ndarray) -> float:
    """The loss of one image, (L, H, W) and (H, W), in plain numpy."""
    logits, label = logits[:, ::4, ::4].astype(np.float64), label[::4, ::4]
    total, present = 0.0, 0
    for key in range(1, len(logits)):
        others = np.log(np.exp(np.delete(logits, key, axis=0)).sum(axis=0))
        odds = (logits[key] - others)[label != IGNORED]
        score = np.sort(odds)[::-1][: max(1, label.size // 100)].mean()
        pixels, labelled = (label == key).sum(), (label != IGNORED).sum()
        if pixels > labelled / 200:
            present += 1
            total += np.log1p(np.exp(-score))
        elif pixels == 0:
            total += np.log1p(np.exp(score))
    return float(total / (1 + present))


def test_presence_against_plain_numpy() -> None:
    torch.manual_seed(1)
    logits, label = torch.randn(3, 5, 80, 100), torch.zeros(3, 80, 100, dtype=torch.int64)
    label[0, :40, :40], label[0, 40:, :4], label[1, :20] = 2, 3, IGNORED
    label[2, 4, 8] = 4  # one of 500 pixels: neither present nor absent
    expected = [presence_by_hand(one.numpy(), two.numpy()) for one, two in zip(logits, label, strict=True)]
    np.testing.assert_allclose(presence_loss(logits, label, IGNORED), expected, rtol=1e-5)


def test_presence_asks_for_a_class_that_is_nowhere_and_against_one_that_is_somewhere() -> None:
    logits = torch.zeros(2, 3, 64, 64)
    logits[:, 0] = 20  # sure of background everywhere
    logits[1, 2, :16, :16] = 22  # but of class 2 in a corner
    label = torch.zeros(2, 64, 64, dtype=torch.int64)
    label[0, :20, :20] = 1
    logits.requires_grad_()
    loss = presence_loss(logits, label, IGNORED)
    assert loss[0] > 9 and loss[1] > 2
    (gradient,) = torch.autograd.grad(loss.sum(), logits)
    assert gradient[0, 1].min() < -1e-3 and gradient[0, 2].abs().max() < 1e-6
    assert gradient[1, 2].max() > 1e-3 and gradient[1, 1].abs().max() < 1e-6
    right = presence_loss(torch.where(label[:, None] == torch.arange(3).view(1, 3, 1, 1), 20.0, 0.0), label, IGNORED)
    assert (right < 1e-3).all()


def test_presence_without_labelled_pixels_is_nothing() -> None:
    logits = torch.randn(1, 4, 32, 32, requires_grad=True)
    loss = presence_loss(logits, torch.full((1, 32, 32), IGNORED), IGNORED)
    (gradient,) = torch.autograd.grad(loss.sum(), logits)
    assert loss.item() == 0 and gradient.abs().max() == 0


def test_presence_does_not_grow_with_classes_that_are_not_there() -> None:
    label = torch.zeros(1, 64, 64, dtype=torch.int64)
    label[:, :30, :30] = 1
    losses = []
    for labels in (8, 501):
        logits = torch.zeros(1, labels, 64, 64)
        logits[:, 0] = np.log(10 * labels)  # background is ten times as likely as all classes together
        losses.append(presence_loss(logits, label, IGNORED).item())
    assert losses[1] < 3 * losses[0]  # with 62 times as many
