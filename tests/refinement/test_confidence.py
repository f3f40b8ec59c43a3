"""Which pixels to trust."""

import numpy as np
import pytest

from ktse.refinement.confidence import Signs, confident_half, image_confidence, margins, rank_correlation, ranks


def test_the_confident_half_is_the_published_one(golden):
    stored = golden("l4_irn_per_image")
    scores = stored["walk_score"]
    trusted = confident_half(*margins(scores))
    assert (trusted == stored["confidence_mask"].astype(bool)).mean() >= 0.99
    label = scores.argmax(axis=0)
    for number in np.unique(label):
        assert trusted[label == number].sum() == (label == number).sum() // 2


def test_pixels_with_a_large_margin_are_trusted():
    scores = np.array([[[0.5, 0.5, 0.5, 0.5, 0.5]], [[0.9, 0.6, 0.1, 0.4, 0.45]]])
    assert confident_half(*margins(scores)).tolist() == [[True, False, True, False, False]]


def test_of_equal_margins_the_first_are_trusted():
    """Against sorting, which keeps the order of equal values."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        scores = rng.integers(0, 4, (3, 7, 9)) / 4
        label, margin = margins(scores)
        expected = np.zeros(label.size, dtype=bool)
        for number in np.unique(label):
            places = np.flatnonzero(label == number)
            expected[places[np.argsort(-margin.ravel()[places], kind="stable")[: len(places) // 2]]] = True
        assert np.array_equal(confident_half(label, margin).ravel(), expected)


def test_a_single_label_is_trusted():
    assert confident_half(*margins(np.zeros((1, 3, 4)))).all()


def test_equal_values_share_their_places():
    assert ranks(np.array([3, 1, 3, 9])).tolist() == pytest.approx([0.5, 0, 0.5, 1])
    assert ranks(np.array([7.0])).tolist() == [0.5]
    assert ranks(np.array([])).tolist() == []


def test_rank_correlation_is_spearmans():
    rng = np.random.default_rng(0)
    first = rng.permutation(9)
    second = rng.permutation(9)
    expected = 1 - 6 * ((first - second) ** 2).sum() / (9 * (81 - 1))  # the textbook's formula without ties
    assert rank_correlation(first, second) == pytest.approx(expected)
    assert rank_correlation(first, np.exp(first)) == pytest.approx(1)
    assert rank_correlation(first, np.zeros(9)) is None


def test_confidence_rises_with_every_good_sign():
    bad, middle, good = (
        Signs(3, 0.0, 1.0, 0.1, 0.0, 0.9),
        Signs(2, 1.0, 2.0, 0.2, 0.01, 0.5),
        Signs(1, 2, 3, 0.4, 0.1, 0.1),
    )
    assert image_confidence([bad, middle, good]).tolist() == pytest.approx([0, 0.5, 1])
    assert image_confidence([good, bad]).tolist() == pytest.approx([1, 0])
    for name in Signs._fields:  # one sign against the five others
        swapped = [bad._replace(**{name: getattr(good, name)}), good._replace(**{name: getattr(bad, name)})]
        assert image_confidence(swapped).tolist() == pytest.approx([1 / 6, 5 / 6])
    assert image_confidence([]).tolist() == []
