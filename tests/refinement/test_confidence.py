"""Which pixels to trust."""

import numpy as np

from ktse.refinement.confidence import confident_half


def test_the_confident_half_is_the_published_one(golden):
    stored = golden("l4_irn_per_image")
    scores = stored["walk_score"]
    trusted = confident_half(scores)
    assert (trusted == stored["confidence_mask"].astype(bool)).mean() >= 0.99
    label = scores.argmax(axis=0)
    for number in np.unique(label):
        assert trusted[label == number].sum() == (label == number).sum() // 2


def test_pixels_with_a_large_margin_are_trusted():
    scores = np.array([[[0.5, 0.5, 0.5, 0.5, 0.5]], [[0.9, 0.6, 0.1, 0.4, 0.45]]])
    assert confident_half(scores).tolist() == [[True, False, True, False, False]]


def test_a_single_label_is_trusted():
    assert confident_half(np.zeros((1, 3, 4))).all()
