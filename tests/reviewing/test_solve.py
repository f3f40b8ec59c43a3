"""Solving a mask again: against a dense solution, and what a scribble must do."""

from __future__ import annotations

import numpy as np

from ktse.reviewing import solve as module
from ktse.reviewing.solve import solve

HEIGHT, WIDTH = 7, 9


def dense(across: np.ndarray, down: np.ndarray, prior: np.ndarray, said: np.ndarray, fixed: np.ndarray) -> np.ndarray:
    """The minimum of one label, by a system with a row for each pixel."""
    number = np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH)
    matrix = np.eye(HEIGHT * WIDTH) * 0.1
    pairs = [*zip(number[:, :-1].ravel(), number[:, 1:].ravel(), across.ravel(), strict=True)]
    pairs += [*zip(number[:-1].ravel(), number[1:].ravel(), down.ravel(), strict=True)]
    for one, other, weight in pairs:
        matrix[[one, other], [one, other]] += weight
        matrix[[one, other], [other, one]] -= weight
    right = 0.1 * prior.ravel()
    held = fixed.ravel()
    matrix[held] = np.eye(HEIGHT * WIDTH)[held]
    right[held] = said.ravel()[held]
    return np.linalg.solve(matrix, right).reshape(HEIGHT, WIDTH)


def test_the_walk_equals_a_dense_solution() -> None:
    rng = np.random.default_rng(3)
    across, down = rng.random((HEIGHT, WIDTH - 1)), rng.random((HEIGHT - 1, WIDTH))
    prior = rng.dirichlet((1, 1, 1), (HEIGHT, WIDTH)).transpose(2, 0, 1)
    said, fixed = rng.random((3, HEIGHT, WIDTH)) < 0.5, rng.random((3, HEIGHT, WIDTH)) < 0.1
    across, down, prior = (part.astype(np.float32) for part in (across, down, prior))
    found = module._walked((across, down), prior, prior, said, fixed, 0.1, 60)
    for label in range(3):
        wanted = dense(across, down, prior[label], said[label], fixed[label])
        np.testing.assert_allclose(found[label], wanted, atol=0.01)


def scene() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Red left of green; the prior of label 1 is a little less than that of background everywhere; nothing said."""
    image = np.zeros((20, 30, 3), np.uint8)
    image[:, :15], image[:, 15:] = (200, 40, 40), (40, 200, 40)
    prior = np.full((2, 20, 30), 0.55, np.float32)
    prior[1] = 0.45
    return image, prior, np.zeros(prior.shape, bool), np.zeros(prior.shape, bool)


def test_a_stroke_takes_what_looks_alike_and_ends_at_an_edge() -> None:
    image, prior, said, fixed = scene()
    assert not solve(image, prior, said, fixed).argmax(axis=0).any()
    fixed[:, 10, 3:6], said[1, 10, 3:6] = True, True
    found = solve(image, prior, said, fixed).argmax(axis=0)
    assert found[:, :15].all()
    assert not found[:, 15:].any()


def test_is_not_takes_a_label_away_and_says_nothing_of_the_others() -> None:
    image, prior, said, fixed = scene()
    prior = np.stack([prior[0] * 0 + 0.1, prior[0] * 0 + 0.5, prior[0] * 0 + 0.4])
    said, fixed = np.zeros(prior.shape, bool), np.zeros(prior.shape, bool)
    assert (solve(image, prior, said, fixed).argmax(axis=0) == 1).all()
    fixed[1, 10, 20:26] = True
    found = solve(image, prior, said, fixed).argmax(axis=0)
    assert (found[:, 15:] == 2).all()
    assert (found[:, :15] == 1).all()


def test_what_is_said_stays_whatever_the_prior() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (20, 30, 3), dtype=np.uint8)
    prior = rng.dirichlet((1, 1), (20, 30)).transpose(2, 0, 1).astype(np.float32)
    fixed = np.broadcast_to(rng.random((20, 30)) < 0.2, prior.shape)
    label = rng.integers(0, 2, (20, 30))
    said = np.stack([label == 0, label == 1])
    found = solve(image, prior, said, fixed)
    assert (found.argmax(axis=0) == label)[fixed[0]].all()
    assert ((found >= 0) & (found <= 1)).all()


def test_an_image_of_one_colour_or_one_pixel_is_solved() -> None:
    for size in ((1, 1), (1, 5), (6, 6)):
        prior = np.full((2, *size), 0.5, np.float32)
        fixed = np.zeros(prior.shape, bool)
        assert np.allclose(solve(np.zeros((*size, 3), np.uint8), prior, fixed, fixed), 0.5)
