"""A mask is solved again from its scores, the colours of the image, and what a person says about some pixels.

A random walk with restarts on the grid of pixels (Grady, TPAMI 2006, with a prior at each pixel): the share of a label
is a mean of the shares around, the closer the more the colours are alike, and of the prior. Where the person says
something, the share is fixed. The person is also heard beyond the scribble: pixels that resemble it in colour, place
and prior change their prior.
"""

from __future__ import annotations

import numpy as np

COARSE = 240
"""Steps of the conjugate gradients at half the size, of all labels together, so that an answer always comes in time."""

FINE = 12
"""Steps at the whole size, which begin with the coarse shares."""

CLOSE = 2e-3
"""The steps end before if no share would move further than this."""

SAMPLES = 48
"""Pixels of the scribbles of a label that the others are compared with."""

WEAKEST = 1e-3
"""Weight of the strongest edge of an image, where alike neighbours have 1."""


def solve(
    image: np.ndarray,
    prior: np.ndarray,
    said: np.ndarray,
    fixed: np.ndarray,
    *,
    pull: float = 0.006,
    contrast: float = 0.8,
    reach: float = 0.1,
) -> np.ndarray:
    """The share of each label at each pixel; the label with the largest share is the one to take.

    Args:
        image: (H, W, 3) uint8.
        prior: (K, H, W) float32 in 0..1, what is known without the person; the K shares of a pixel sum to 1.
        said: (K, H, W) bool, whether the person says that a pixel has the label; counts where `fixed`.
        fixed: (K, H, W) bool, where the person says that a pixel has, or has not, the label.
        pull: weight of the prior, where alike neighbours have 1.
        contrast: how strongly colours part neighbours: an edge as strong as the mean one weighs exp(-contrast).
        reach: how far a pixel may be from a scribble in colour, place and prior, all in 0..1, to be taken for alike.

    Returns:
        (K, H, W) float32 in 0..1.
    """
    colours = np.moveaxis(image.astype(np.float32) / 255, -1, 0)
    small, prior = _halved(colours), _halved(prior)
    stated, known = _halved(said & fixed) > 0, _halved(fixed) > 0
    prior = _heard(small, prior, stated, known, reach)
    steps = max(20, min(60, COARSE // len(prior)))
    start = _walked(_weights(small, contrast), prior, prior, stated, known, pull, steps)
    height, width = image.shape[:2]
    prior, start = (part.repeat(2, axis=1).repeat(2, axis=2)[:, :height, :width] for part in (prior, start))
    return _walked(_weights(colours, contrast), prior, start, said, fixed, pull, FINE)


def _halved(maps: np.ndarray) -> np.ndarray:
    """(K, H, W) at half the size: means of four pixels."""
    even = np.pad(maps.astype(np.float32), ((0, 0), (0, maps.shape[1] % 2), (0, maps.shape[2] % 2)), mode="edge")
    return (even[:, ::2, ::2] + even[:, 1::2, ::2] + even[:, ::2, 1::2] + even[:, 1::2, 1::2]) / 4


def _weights(colours: np.ndarray, contrast: float) -> tuple[np.ndarray, np.ndarray]:
    """Weight of each pixel and its right neighbour (H, W-1), and of each pixel and the one below (H-1, W)."""
    far = [(difference**2).sum(axis=0) for difference in (np.diff(colours, axis=2), np.diff(colours, axis=1))]
    mean = max(sum(float(part.sum()) for part in far) / max(1, sum(part.size for part in far)), 1e-6)
    across, down = (np.exp(-contrast * part / mean) + WEAKEST for part in far)
    return across, down


def _walked(
    weights: tuple[np.ndarray, np.ndarray],
    prior: np.ndarray,
    start: np.ndarray,
    said: np.ndarray,
    fixed: np.ndarray,
    pull: float,
    steps: int,
) -> np.ndarray:
    """Minimise sum w_ij (x_i - x_j)^2 + pull sum (x_i - prior_i)^2 over the shares that are not fixed."""
    across, down = weights
    total = np.full(prior.shape[1:], pull, np.float32)
    total[:, 1:] += across
    total[:, :-1] += across
    total[1:] += down
    total[:-1] += down
    free = ~fixed

    def system(share: np.ndarray) -> np.ndarray:
        result: np.ndarray = total * share
        result[:, :, 1:] -= across * share[:, :, :-1]
        result[:, :, :-1] -= across * share[:, :, 1:]
        result[:, 1:] -= down * share[:, :-1]
        result[:, :-1] -= down * share[:, 1:]
        return result

    share = np.where(fixed, said, start).astype(np.float32)
    rest = (pull * prior - system(share)) * free
    step = ready = rest / total
    size = _dot(rest, ready)
    for _ in range(steps):
        moved = system(step) * free
        along = size / np.maximum(_dot(step, moved), 1e-30)
        share += along * step
        if np.abs(along * step).max() < CLOSE:
            break
        rest -= along * moved
        ready = rest / total
        size, before = _dot(rest, ready), size
        step = ready + size / np.maximum(before, 1e-30) * step
    return np.clip(share, 0, 1)


def _dot(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Of each label alone, since each has a system of its own."""
    return np.asarray(np.einsum("kyx,kyx->k", one, other)[:, None, None])


def _heard(colours: np.ndarray, prior: np.ndarray, said: np.ndarray, fixed: np.ndarray, reach: float) -> np.ndarray:
    """The prior after the person is heard: less of a label where pixels resemble "is not", more where "is"."""
    count, height, width = prior.shape
    y, x = np.mgrid[:height, :width].astype(np.float32) / max(height, width)
    traits = np.stack([*colours, y / 2, x / 2, *(prior / 2)]).reshape(-1, height * width).T / reach
    stated = fixed & said
    denied = fixed & ~said & ~stated.any(axis=0)
    less, more = (np.stack([_resemblance(traits, part.ravel()) for part in parts]) for parts in (denied, stated))
    result = prior.reshape(count, -1) * (1 - less)
    result /= np.maximum(result.sum(axis=0), 1e-6)
    result += more.max(axis=0) * (more / np.maximum(more.sum(axis=0), 1e-6) - result)
    return np.reshape(result, prior.shape)


def _resemblance(traits: np.ndarray, marked: np.ndarray) -> np.ndarray:
    """How much each pixel resembles the likest of those that are marked: 0..1; 0 where none is."""
    places = np.flatnonzero(marked)
    if not len(places):
        return np.zeros(len(traits), np.float32)
    samples = traits[places[np.linspace(0, len(places) - 1, min(len(places), SAMPLES)).astype(int)]]
    inner = traits @ samples.T - (samples**2).sum(axis=1) / 2
    far = (traits**2).sum(axis=1) - 2 * inner.max(axis=1)
    return np.asarray(np.exp(-far.clip(0)))
