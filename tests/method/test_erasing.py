"""Normalised activation, foreground score, erasing, stitching, and the average over classes."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import interpolate, relu

from ktse.method.erasing import erase, foreground_score, keep_mask, max_normalise, mean_over_classes, stitch


def test_normalised_activation_is_the_published_one(golden_tensors, near):
    a = golden_tensors("a_maxnorm")
    near(max_normalise(a["cam"]), a["train_maxnorm"], relative=1e-6)
    near(foreground_score(a["cam"], a["label"]), a["fg_score"], relative=1e-6)


def test_erasing_is_the_published_one(golden_tensors, near):
    f = golden_tensors("f_erasing_mask")
    cam, tags = f["camseg_anchor"][:, 1:], f["label"]
    near(foreground_score(cam, tags), f["fg_cam_res"], absolute=1e-6)
    assert torch.equal(keep_mask(cam, tags, 0.6), f["mask_cam_res"].float())
    assert torch.equal(erase(torch.ones_like(f["img_norm"]), cam, tags, 0.6)[:, :1], f["mask_img_res"].float())
    assert torch.equal(erase(f["img_norm"], cam, tags, 0.6), f["masked_input"])


def test_normalised_activation_spans_0_to_1_whatever_the_scale():
    cam = torch.randn(2, 3, 7, 5, generator=torch.Generator().manual_seed(0))
    for scale in (1.0, 1000.0):
        normalised = max_normalise(cam * scale)
        assert normalised.min() == 0
        assert normalised.max() == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("value", [-2.0, 0.0, 3.0])
def test_a_class_without_contrast_has_no_activation_and_erases_nothing(value):
    cam, tags = torch.full((1, 2, 4, 4), value), torch.ones(1, 2)
    assert not max_normalise(cam).any()
    image = torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    assert torch.equal(erase(image, cam, tags, 0.6), image)


def test_only_tagged_classes_are_erased():
    cam = torch.zeros(1, 2, 2, 2)
    cam[0, 0, 0, 0] = cam[0, 1, 1, 1] = 1
    assert keep_mask(cam, torch.tensor([[1.0, 0.0]]), 0.6).flatten().tolist() == [0, 1, 1, 1]


@pytest.mark.parametrize("size", [None, (29, 40)])
def test_looking_at_tagged_classes_alone_gives_what_looking_at_all_gives(size):
    generator = torch.Generator().manual_seed(0)
    cam = torch.randn(4, 9, 6, 7, generator=generator, dtype=torch.float64)
    tags = torch.zeros(4, 9, dtype=torch.float64)
    tags[0, [1, 5, 8]] = tags[1, 3] = tags[3, [0, 2]] = 1
    large = cam if size is None else interpolate(relu(cam), size, mode="bilinear", align_corners=False)
    whole = (max_normalise(large) * tags[:, :, None, None]).amax(dim=1, keepdim=True)
    torch.testing.assert_close(foreground_score(cam, tags, size), whole, rtol=1e-14, atol=1e-14)
    assert whole[0].any()
    assert not whole[2].any()


def test_a_pixel_at_the_threshold_is_erased():
    cam, tags = torch.tensor([[[[0.0, 1.0, 2.0]]]]), torch.ones(1, 1)
    threshold = foreground_score(cam, tags).flatten()[1].item()
    assert keep_mask(cam, tags, threshold).flatten().tolist() == [1, 0, 0]


@pytest.mark.parametrize(("axis", "dim"), [("height", 2), ("width", 3)])
def test_stitching_puts_the_anchor_first(axis, dim):
    anchor, paired = torch.zeros(2, 3, 4, 6), torch.ones(2, 3, 4, 6)
    first, second = stitch(anchor, paired, axis).chunk(2, dim=dim)
    assert torch.equal(first, anchor)
    assert torch.equal(second, paired)


@st.composite
def per_class_values(draw):
    """Values (B, C) or (B, C, h, w), tags (B, C), and a number of classes to append."""
    batch, classes, extra = draw(st.integers(1, 4)), draw(st.integers(1, 6)), draw(st.integers(1, 50))
    size = draw(st.sampled_from([(), (1, 1), (3, 5)]))
    tags = draw(st.lists(st.sampled_from([0.0, 1.0]), min_size=batch * classes, max_size=batch * classes))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    return torch.rand(batch, classes, *size, generator=generator), torch.tensor(tags).view(batch, classes), extra


@settings(max_examples=50, deadline=None)
@given(per_class_values())
def test_never_tagged_classes_change_the_average_only_over_all_classes(drawn):
    value, tags, extra = drawn
    classes = tags.shape[1]
    more_value = torch.cat([value, torch.ones_like(value[:, :1]).repeat_interleave(extra, dim=1)], dim=1)
    more_tags = torch.cat([tags, torch.zeros(len(tags), extra)], dim=1)
    tagged, everything = (mean_over_classes(value, tags, channels) for channels in ("tagged", "all"))
    torch.testing.assert_close(mean_over_classes(more_value, more_tags, "tagged"), tagged)
    torch.testing.assert_close(
        mean_over_classes(more_value, more_tags, "all"), everything * classes / (classes + extra)
    )


@pytest.mark.parametrize("channels", ["all", "tagged"])
def test_the_average_over_no_tagged_class_is_0(channels):
    assert mean_over_classes(torch.ones(2, 3, 4, 4), torch.zeros(2, 3), channels) == 0
