"""BECO's pasting and co-training, against straightforward loops and numpy's morphology."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from ktse.segmentation.beco import (
    BOUNDARY,
    CERTAIN,
    DOUBTFUL,
    TRUSTED,
    LabelledViews,
    co_training,
    edge,
    half_of_the_objects,
    paste,
)

IGNORED, OUTSIDE = 255, 255


def labelled(label: Tensor, trust: Tensor | None = None) -> LabelledViews:
    """Views that tell where each pixel is from: image number, and 100 more in the second view."""
    batch, height, width = label.shape
    number = torch.arange(batch).float().view(-1, 1, 1, 1).expand(-1, 3, height, width)
    return LabelledViews(
        (number, number + 100), label, torch.full_like(label, TRUSTED) if trust is None else trust,
        torch.zeros(label.shape, dtype=torch.bool),
    )  # fmt: skip


@pytest.mark.parametrize("count", [0, 1, 2, 3, 6])
def test_half_of_the_classes_rounded_up_and_never_background(count: int) -> None:
    label = torch.zeros(4, 10, dtype=torch.int64)
    label[0] = IGNORED
    for number in range(count):
        label[2, number] = 3 * number + 1
    for _ in range(5):
        found = half_of_the_objects(label, IGNORED)
        assert len(set(label[found].tolist())) == int((count + count % 2) / 2)
        assert not found[label == 0].any() and not found[0].any()
        for value in set(label[found].tolist()):
            assert found[label == value].all()


@pytest.mark.parametrize("width", [1, 2])
def test_the_edge_is_dilation_minus_erosion_with_nothing_at_the_border(width: int) -> None:
    area = np.random.default_rng(0).random((2, 14, 17)) < 0.4
    area[0, :5], area[1] = True, False
    area[1, 3:9, 0:6] = True
    found = edge(torch.from_numpy(area), width).numpy()
    for image in range(2):
        for y in range(14):
            for x in range(17):
                around = area[image, max(0, y - width) : y + width + 1, max(0, x - width) : x + width + 1]
                assert found[image, y, x] == (around.any() and not around.all())
    for value in (True, False):
        assert not edge(torch.full((1, 5, 5), value), width).any()


def test_in_the_warm_up_objects_bring_the_label_and_trust_of_their_mask() -> None:
    label = torch.zeros(4, 6, 6, dtype=torch.int64)
    label[2, :2], label[3, 4:], label[0, 5] = 7, 8, IGNORED
    trust = torch.full_like(label, TRUSTED)
    trust[2] = DOUBTFUL
    found = paste(labelled(label, trust), None, None, IGNORED, mix=1.0)
    assert (found.label[0, :2] == 7).all() and (found.label[0, 2:5] == 0).all() and (found.label[0, 5] == IGNORED).all()
    assert (found.label[1, 4:] == 8).all() and (found.label[1, :4] == 0).all()
    assert (found.trust[0, :2] == DOUBTFUL).all() and (found.trust[0, 2:5] == TRUSTED).all()
    for view, start in zip(found.views, (0, 100), strict=True):
        assert (view[0, :, :2] == start + 2).all() and (view[0, :, 2:] == start).all()
    assert not found.boundary.any()
    # Images 0 and 1 hold nothing to give.
    assert torch.equal(found.label[2:], label[2:])


def test_after_the_warm_up_labels_are_the_networks_and_only_what_is_sure_is_pasted() -> None:
    label = torch.zeros(2, 6, 8, dtype=torch.int64)
    online, sure = torch.zeros_like(label), torch.zeros(label.shape, dtype=torch.bool)
    online[1, :3], sure[1, :2] = 5, True
    online[0, 4], sure[0, 5] = 2, True
    found = paste(labelled(label), online, sure, IGNORED, mix=1.0)
    assert (found.label[0, :2] == 5).all() and (found.label[0, 4] == 2).all() and (found.label[0, 2:4] == 0).all()
    assert (found.trust[0, :2] == TRUSTED).all()
    assert (found.trust[0, 5] == TRUSTED).all() and (found.trust[0, 2:5] == DOUBTFUL).all()
    assert BOUNDARY == 1  # published
    assert found.boundary[0, 1:3].all() and not found.boundary[0, 3:].any() and not found.boundary[0, 0].any()
    assert (found.views[0][0, :, :2] == 1).all() and (found.views[0][0, :, 2:] == 0).all()
    assert not found.boundary[1].any()  # image 0's only object is doubtful
    assert torch.equal(found.label[1], online[1])


def test_what_a_person_said_stays_and_what_is_outside_stays_outside() -> None:
    label = torch.zeros(2, 4, 4, dtype=torch.int64)
    label[0, 0], label[1, 3] = 3, IGNORED
    trust = torch.full_like(label, TRUSTED)
    trust[0], trust[1, 3] = CERTAIN, OUTSIDE
    online, sure = torch.full_like(label, 9), torch.ones(label.shape, dtype=torch.bool)
    found = paste(labelled(label, trust), online, sure, IGNORED, mix=1.0)
    assert (found.label[1, 0] == 3).all() and (found.trust[1, 0] == CERTAIN).all()  # pasted into the other image
    assert (found.label[1, 1:3] == 9).all()
    assert (found.label[1, 3] == IGNORED).all() and (found.trust[1, 3] == OUTSIDE).all()
    assert (found.label[0, 3] == 0).all()  # nothing from outside of the other image
    assert (found.label[0, :3] == 9).all() and (found.trust[0, :3] == TRUSTED).all()  # sure of the other image's object


@pytest.mark.parametrize("batch", [1, 2, 3, 5])
@pytest.mark.parametrize("mix", [0.0, 0.5, 1.0])
def test_any_batch(batch: int, mix: float) -> None:
    torch.manual_seed(0)
    label = torch.randint(0, 3, (batch, 5, 5))
    found = paste(labelled(label), label, torch.ones(label.shape, dtype=torch.bool), IGNORED, mix)
    assert found.label.shape == label.shape
    if mix == 0 or batch == 1:
        assert torch.equal(found.label, label) and not found.boundary.any()
    elif mix == 1:
        assert found.boundary.any()


def test_some_images_are_chosen_and_others_not() -> None:
    torch.manual_seed(1)
    label = torch.zeros(200, 2, 2, dtype=torch.int64)
    label[:, 0] = torch.arange(1, 201).view(-1, 1)
    found = paste(labelled(label), label, torch.ones(label.shape, dtype=torch.bool), IGNORED + 1000, 0.5)
    assert 70 < (found.label != label).any(dim=2).any(dim=1).sum() < 130


def test_the_losses_are_those_of_a_loop_over_pixels() -> None:
    torch.manual_seed(0)
    label = torch.randint(0, 4, (2, 3, 4))
    label[0, 0, 0] = IGNORED
    trust = torch.randint(0, 3, (2, 3, 4))
    trust[0, 0, 0], trust[1, 2] = TRUSTED, OUTSIDE
    label[1, 2] = IGNORED
    here = labelled(label, trust)._replace(boundary=torch.rand(2, 3, 4) < 0.5)
    logits = [torch.randn(2, 4, 3, 4), torch.randn(2, 4, 3, 4)]
    found = co_training(logits, here, IGNORED, 0.2)
    probability = [score.softmax(dim=1) for score in logits]
    learned = agreed = inside = 0.0
    for b in range(2):
        for y in range(3):
            for x in range(4):
                if trust[b, y, x] == OUTSIDE:
                    continue
                inside += 1
                for me, other in ((0, 1), (1, 0)):
                    if trust[b, y, x] == DOUBTFUL:
                        said = int(logits[other][b, :, y, x].argmax())
                        agreed -= float(probability[me][b, said, y, x].log())
                    elif label[b, y, x] != IGNORED:
                        factor = 1.2 if here.boundary[b, y, x] else 1.0
                        learned -= float(factor * probability[me][b, label[b, y, x], y, x].log())
    assert found["cross_entropy"].item() == pytest.approx(learned / inside, rel=1e-5)
    assert found["agreement"].item() == pytest.approx(agreed / inside, rel=1e-5)


def test_no_gradient_flows_through_what_the_other_says() -> None:
    first, second = (torch.randn(1, 3, 2, 2, requires_grad=True) for _ in range(2))
    label = torch.zeros(1, 2, 2, dtype=torch.int64)
    terms = co_training((first, second), labelled(label, torch.full_like(label, DOUBTFUL)), IGNORED, 0.2)
    assert terms["cross_entropy"].item() == 0
    terms["agreement"].backward()
    said = second.argmax(dim=1)
    expected = (first.softmax(dim=1) - torch.nn.functional.one_hot(said, 3).permute(0, 3, 1, 2)) / 4
    torch.testing.assert_close(first.grad, expected.detach())
