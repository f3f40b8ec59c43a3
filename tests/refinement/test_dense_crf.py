"""Dense CRF against pydensecrf called directly."""

import sys
from dataclasses import replace

import numpy as np
import pytest

from ktse.errors import RunError
from ktse.recipe import PredictRecipe
from ktse.refinement.dense_crf import FOR_PREDICTIONS, FOR_SEEDS, crf_labels, crf_scores, require_crf


@pytest.fixture
def pydensecrf():
    return pytest.importorskip("pydensecrf", reason='needs the extra crf: pip install "ktse[crf]"')


def direct(image, unary, labels):
    import pydensecrf.densecrf as library

    crf = library.DenseCRF2D(image.shape[1], image.shape[0], labels)
    crf.setUnaryEnergy(unary)
    crf.addPairwiseGaussian(sxy=3, compat=3)
    crf.addPairwiseBilateral(sxy=50, srgb=5, rgbim=image, compat=10)
    return np.array(crf.inference(10)).reshape(labels, *image.shape[:2])


def scene(height=31, width=44, labels=3):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 60, (height, width, 3), dtype=np.uint8)
    image[:, width // 2 :] += 120
    label = (np.arange(width)[None] > width // 3).astype(np.int64).repeat(height, axis=0)
    label[rng.random(label.shape) < 0.1] = labels - 1
    return image, label


def test_labels_are_those_of_pydensecrf_itself(pydensecrf):
    image, label = scene()
    energy = np.full((3, label.size), -np.log(0.3 / 2), dtype=np.float32)
    energy[label.ravel(), np.arange(label.size)] = -np.log(0.7)
    expected = direct(image, energy, 3).argmax(axis=0)
    assert np.array_equal(crf_labels(image, label, 3, FOR_SEEDS), expected)
    assert not np.array_equal(expected, label)


def test_scores_are_those_of_pydensecrf_itself(pydensecrf):
    image, label = scene()
    scores = np.random.default_rng(1).dirichlet(np.ones(3), label.shape).transpose(2, 0, 1).copy()
    expected = direct(image, -np.log(scores).reshape(3, -1).astype(np.float32), 3)
    assert np.array_equal(crf_scores(image, scores, FOR_SEEDS), expected)


def test_labels_are_the_published_ones(pydensecrf, golden):
    stored = golden("l4_irn_per_image")
    labels = len(stored["cam_keys"]) + 1
    refined = crf_labels(stored["img_u8"], stored["fg_argmax"].astype(np.int64), labels, FOR_SEEDS)
    assert (refined == stored["crf_fg"]).mean() >= 0.99


def test_one_label_is_left_alone(pydensecrf):
    image, label = scene()
    assert not crf_labels(image, label * 0, 1, FOR_SEEDS).any()
    assert np.array_equal(crf_scores(image, np.ones((1, 31, 44)), FOR_SEEDS), np.ones((1, 31, 44)))


def test_no_iterations_leave_the_decision_alone(pydensecrf):
    image, label = scene()
    assert np.array_equal(crf_labels(image, label, 3, replace(FOR_SEEDS, iterations=0)), label)


def test_predictions_have_the_published_numbers_and_are_off_by_default():
    crf = FOR_PREDICTIONS
    assert (crf.iterations, crf.near_xy, crf.near_weight) == (10, 3, 1)
    assert (crf.colour_xy, crf.colour_rgb, crf.colour_weight) == (67, 3, 4)
    assert PredictRecipe().crf is False


def test_without_the_extra_the_message_names_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "pydensecrf", None)
    for call in (require_crf, lambda: crf_labels(*scene(), 3, FOR_SEEDS)):
        with pytest.raises(RunError) as error:
            call()
        assert 'pip install "ktse[crf]"' in str(error.value)
        assert "[par]" in str(error.value)
