"""The rivals of the ablations, each against a slow account of the same words."""

import numpy as np
import pytest
import torch

from ktse.method.rivals import attraction, cutmix, hard_classification, repulsion


def random_maps(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


TAGS = torch.tensor([[1.0, 0, 0, 0], [0, 1.0, 1.0, 0], [0, 0, 0, 0], [1.0, 1.0, 0, 0]])


def test_the_erased_image_must_be_classified_hard(near):
    logits = random_maps(4, 4).double()
    p = 1 / (1 + np.exp(-logits.numpy()))
    y = TAGS.numpy()
    near(hard_classification(logits, TAGS.double()), -(y * np.log(p) + (1 - y) * np.log(1 - p)).mean(), absolute=1e-12)


@pytest.mark.parametrize("channels", ["all", "tagged"])
def test_attraction_is_the_distance_of_pooled_positive_parts_of_tagged_classes(near, channels):
    erased, anchor = random_maps(4, 4, 5, 6), random_maps(4, 4, 5, 6, seed=1)
    total = sum(
        abs(np.maximum(erased[b, c].numpy(), 0).mean() - np.maximum(anchor[b, c].numpy(), 0).mean())
        for b in range(4)
        for c in range(4)
        if TAGS[b, c]
    )
    expected = total / (16 if channels == "all" else float(TAGS.sum()))
    near(attraction(erased, anchor, TAGS, channels), np.float32(expected), absolute=1e-6)


def slow_distance(pyramid, cam, tags, anchor, other, below):
    """Squared distance of the anchor's weak part from the other image, over all classes."""
    distance = 0.0
    for c in range(tags.shape[1]):
        r = np.maximum(cam[anchor, c], 0)
        n = np.maximum(r - r.min() - 1e-5, 0) / (r.max() - r.min() + 1e-5)
        g, h = (pyramid[image, c] / (np.abs(pyramid[image, c]).max() + 1e-5) for image in (anchor, other))
        weak = g[n < below].sum() / ((n < below).sum() + 1e-5)
        distance += (weak * tags[anchor, c] - h.mean() * tags[other, c]) ** 2
    return distance


def test_repulsion_is_what_is_missing_to_the_margin(near):
    pyramid, cam = random_maps(2, 4, 5, 6), random_maps(2, 4, 5, 6, seed=1)  # two images that share no tag
    arrays = pyramid.numpy(), cam.numpy(), TAGS[:2].numpy()
    distances = [slow_distance(*arrays, anchor, 1 - anchor, 0.2) for anchor in (0, 1)]
    near(repulsion(pyramid, cam, TAGS[:2], 0.2, 0.5), np.float32(0.5 - np.mean(distances)), absolute=1e-5)
    between = float(np.mean(distances))  # one is nearer, and counts alone
    near(repulsion(pyramid, cam, TAGS[:2], 0.2, between), np.float32(between - min(distances)), absolute=1e-5)
    assert repulsion(pyramid, cam, TAGS[:2], 0.2, min(distances) / 2) == 0


def test_only_images_without_common_tags_are_held_against_each_other(near):
    pyramid, cam = random_maps(4, 4, 5, 6), random_maps(4, 4, 5, 6, seed=1)
    arrays = pyramid.numpy(), cam.numpy(), TAGS.numpy()
    # Image 2 has no tags: it is no anchor, but shares no tag with any. Images 0 and 3, and 1 and 3, share one.
    possible = {
        tuple(round(slow_distance(*arrays, anchor, other, 0.2), 4) for anchor, other in ((0, a), (1, b), (3, 2)))
        for a in (1, 2)
        for b in (0, 2)
    }
    expected = {round(0.5 - sum(three) / 3, 3) for three in possible}
    torch.manual_seed(0)
    found = {round(float(repulsion(pyramid, cam, TAGS, 0.2, 0.5)), 3) for _ in range(60)}
    assert found == expected


@pytest.mark.parametrize(
    "tags", [torch.ones(3, 4), torch.zeros(3, 4), TAGS[:1]], ids=["all share", "no tags", "one image"]
)
def test_repulsion_without_a_negative_is_0_and_teaches_nothing(tags):
    pyramid = random_maps(len(tags), 4, 5, 6).requires_grad_()
    loss = repulsion(pyramid, random_maps(len(tags), 4, 5, 6), tags)
    loss.backward()
    assert loss == 0
    assert not pyramid.grad.any()


def test_a_weak_part_like_the_other_image_is_pushed_from_it():
    cam = torch.zeros(2, 2, 4, 4)
    cam[:, :, 0, 0] = 1.0  # all other pixels are the weak part
    pyramid = random_maps(2, 2, 4, 4).abs().requires_grad_()
    before = repulsion(pyramid, cam, torch.eye(2))
    before.backward()
    with torch.no_grad():
        after = repulsion(pyramid - 0.5 * pyramid.grad, cam, torch.eye(2))
    assert 0 < after < before


def test_cutmix_pastes_one_rectangle_and_mixes_tags_by_its_area(near):
    torch.manual_seed(0)
    image, other = torch.zeros(3, 20, 30), torch.ones(3, 20, 30)
    areas = []
    for _ in range(300):
        mixed, tags = cutmix(image, TAGS[0], other, TAGS[1])
        rows, columns = np.flatnonzero(mixed[0].any(dim=1)), np.flatnonzero(mixed[0].any(dim=0))
        share = len(rows) * len(columns) / 600
        assert float(mixed.mean()) == pytest.approx(share)  # a full rectangle, the same in every colour
        near(tags, np.array([1 - share, share, share, 0], dtype=np.float32), absolute=1e-6)
        areas.append(share)
    assert not image.any()
    assert 0.2 < np.mean(areas) < 0.4  # half the image's area on average, before the overhang is cut off
    same = cutmix(image, TAGS[0], other, TAGS[0])[1]
    near(same, TAGS[0], absolute=1e-6)
