"""SSR: pseudo-labels, and the losses that use them."""

import pytest
import torch
from torch.nn.functional import interpolate, one_hot

from ktse.method import regularisation
from ktse.method.erasing import tagged_channels
from ktse.method.regularisation import UNDECIDED, inter_class_term, pseudo_label, segmentation_terms


def as_label(published):
    """A published label map with this library's mark for undecided pixels."""
    label = published.long()
    return label.masked_fill(label == 255, UNDECIDED)


def agreement(ours, published):
    return (ours == as_label(published)).float().mean().item()


# --- losses


@pytest.mark.parametrize("case", ["mixed", "single", "multi", "nobg", "nosinglefg", "ties"])
def test_segmentation_and_inter_class_losses_are_the_published_ones(golden_tensors, near, case):
    c = {key.removeprefix(f"{case}_"): value for key, value in golden_tensors("c_ssr_losses").items()}
    scores, label, tags = c["pred"].requires_grad_(), as_label(c["label"]), c["cls"]
    terms = segmentation_terms(scores, label, tags.sum(dim=1) == 1)
    everyone = segmentation_terms(scores, label, torch.ones(len(tags), dtype=torch.bool))
    inter = inter_class_term(scores, tags, c["fg"], classes="all")
    # Where no pixel is valid the published loss is NaN; ours is 0.
    near(terms.background.view(1), c["bg_ce"].nan_to_num(0), relative=1e-5)
    near(terms.foreground.view(1), c["fg_ce"].nan_to_num(0), relative=1e-5)
    near(inter.view(1), c["inter"], relative=1e-5)
    total = terms.background + 0.0125 * terms.foreground + 0.005 * inter
    total.backward()
    assert scores.grad.isfinite().all()
    if c["total"].isfinite():
        near(total.view(1), c["total"], relative=1e-5)
        seen = scores > 0  # the published gradient is that behind the ReLU, which passes none where nothing is positive
        near(scores.grad * seen, c["grad"] * seen, absolute=1e-6)
    if c["stitched_total"].isfinite():
        near((everyone.background + 0.0125 * everyone.foreground).view(1), c["stitched_total"], relative=1e-5)


def test_a_part_without_a_valid_pixel_is_exactly_0():
    scores = torch.rand(2, 4, 5, 5, requires_grad=True)
    label = torch.full((2, 5, 5), UNDECIDED)
    terms = segmentation_terms(scores, label, torch.tensor([True, True]))
    assert terms == (0, 0)
    sum(terms).backward()
    assert not scores.grad.any()


def test_untagged_classes_count_only_when_all_classes_are_compared():
    scores = torch.tensor([0.0, 1.0, 2.0, 7.0]).view(1, 4, 1, 1)  # background, two tagged classes, an untagged one
    tags, foreground = torch.tensor([[1.0, 1.0, 0.0]]), torch.ones(1, 1, 1, 1)
    gaps = [inter_class_term(scores, tags, foreground, classes=classes).item() for classes in ("tagged", "all")]
    assert gaps == pytest.approx([1 - 2, 2 - 7], rel=1e-4)


def test_the_gap_between_tagged_classes_is_that_of_all_planes_masked():
    generator = torch.Generator().manual_seed(0)
    values = torch.rand(3, 8, 5, 6, generator=generator, dtype=torch.float64)
    foreground = torch.rand(3, 1, 30, 36, generator=generator, dtype=torch.float64)
    tags = one_hot_tags([[0, 2, 6], [3], [1, 5]], 7).double()
    ours, masked = values.clone().requires_grad_(), values.clone().requires_grad_()
    large = interpolate(masked, foreground.shape[-2:], mode="bilinear", align_corners=False)
    kept = torch.cat([large[:, :1], large[:, 1:] * tags[:, :, None, None]], dim=1)
    found = [inter_class_term(ours, tags, foreground), inter_class_term(kept, tags, foreground, classes="all")]
    torch.testing.assert_close(*found, rtol=1e-14, atol=1e-14)
    assert found[0] < 0
    sum(found).backward()
    torch.testing.assert_close(ours.grad, masked.grad, rtol=1e-12, atol=1e-15)


# --- pseudo-labels


@pytest.mark.parametrize(
    ("key", "high", "low"), [("pseudo", 0.3, 0.15), ("pseudo_40_10", 0.4, 0.1), ("pseudo_30_30", 0.3, 0.3)]
)
def test_pseudo_labels_are_the_published_ones(golden_tensors, key, high, low):
    h = golden_tensors("h_pseudo_labels")

    def label_of(image):
        return pseudo_label(h["cam"], image, h["label"], high, low, empty_cam="published")

    assert agreement(label_of(h["img_denorm"]), h[key]) >= 0.999
    # The published code cuts the image off to whole numbers first; doing without changes hardly a pixel.
    assert agreement(label_of(h["img_u8"] / 255), h[key]) >= 0.995


def test_every_step_of_a_pseudo_label_is_the_published_one(golden_tensors, near, monkeypatch):
    h, seen = golden_tensors("h_pseudo_labels"), {}
    refine = regularisation.pixel_adaptive_refinement

    def spy(image, maps, iterations):
        seen.update(image=image, maps=maps, refined=refine(image, maps, iterations))
        return seen["refined"]

    monkeypatch.setattr(regularisation, "pixel_adaptive_refinement", spy)
    keys, present = tagged_channels(h["label"][1:2])
    assert (keys[present] + 1).tolist() == h["step_keys"][1:].tolist()
    pseudo_label(h["cam"][1:2], h["img_denorm"][1:2], h["label"][1:2], empty_cam="published")
    near(seen["image"], h["step_half_image"], relative=1e-5)
    near(seen["maps"][:, :2], h["step_half_softmax"][:, 1:], relative=1e-5)
    near(seen["refined"][:, :2], h["step_refined"][:, 1:], relative=1e-5)


def made_up(tags, classes=5):
    """CAMs with a blob for each class, at another place in each image, and images that show the blobs."""
    generator = torch.Generator().manual_seed(0)
    cam = torch.randn(len(tags), classes, 6, 6, generator=generator) + 0.5
    image = torch.rand(len(tags), 3, 48, 48, generator=generator)
    return cam, image, one_hot_tags(tags, classes)


def one_hot_tags(tags, classes):
    rows = [one_hot(torch.tensor(row, dtype=torch.long), classes).sum(dim=0) for row in tags]
    return torch.stack(rows).float()


def test_a_batch_gives_the_labels_of_its_images_one_by_one():
    cam, image, tags = made_up([[0], [1, 3], [], [0, 2, 4], [2]])
    alone = [pseudo_label(cam[i : i + 1], image[i : i + 1], tags[i : i + 1]) for i in range(len(tags))]
    assert torch.equal(pseudo_label(cam, image, tags), torch.cat(alone))


@pytest.mark.parametrize("empty_cam", ["undecided", "published"])
def test_labels_are_background_tagged_classes_or_undecided(empty_cam):
    cam, image, tags = made_up([[0], [1, 3], [], [0, 2, 4]])
    label = pseudo_label(cam, image, tags, empty_cam=empty_cam)
    assert label.dtype == torch.int64
    assert label.shape == (4, 48, 48)
    for one, own in zip(label, tags, strict=True):
        allowed = {0, UNDECIDED, *(own.nonzero().flatten() + 1).tolist()}
        assert set(one.unique().tolist()) <= allowed
    assert not label[2].any()  # without tags everything is background
    assert label[1].unique().numel() > 1


@pytest.mark.parametrize(("empty_cam", "expected"), [("undecided", UNDECIDED), ("published", 2)])
def test_an_image_whose_only_tagged_class_is_negative_everywhere(empty_cam, expected):
    cam, image, tags = made_up([[1]])
    label = pseudo_label(-cam.abs() - 0.1, image, tags, empty_cam=empty_cam)
    assert label.unique().tolist() == [expected]


def test_a_negative_class_leaves_the_other_classes_of_its_image_alone():
    cam, image, tags = made_up([[1, 3]])
    cam[:, 1] = -1
    alone = pseudo_label(cam, image, one_hot_tags([[3]], 5))
    assert torch.equal(pseudo_label(cam, image, tags), alone)
    assert 4 in alone


def test_equal_thresholds_leave_nothing_undecided():
    cam, image, tags = made_up([[0], [1, 3]])
    assert UNDECIDED in pseudo_label(cam, image, tags, high=0.3, low=0.1)
    assert UNDECIDED not in pseudo_label(cam, image, tags, high=0.3, low=0.3)


def test_tagged_channels_pack_the_tags_of_each_image_to_the_front():
    keys, present = tagged_channels(torch.tensor([[0.0, 1.0, 0.0, 1.0], [0.0, 0.0, 1.0, 0.0], [0.0] * 4]))
    packed = [key[here].tolist() for key, here in zip(keys, present, strict=True)]
    assert packed == [[1, 3], [2], []]
    assert keys.shape == (3, 2)


def test_no_class_number_means_undecided():
    cam, image, tags = made_up([[254]], classes=300)
    label = pseudo_label(cam, image, tags)
    assert 255 in label
    scores = torch.rand(1, 301, 48, 48)
    assert segmentation_terms(scores, label.clamp(min=255), torch.tensor([True])).foreground > 0
