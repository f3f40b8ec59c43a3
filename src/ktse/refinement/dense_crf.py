"""Dense CRF (Krähenbühl and Koltun, NIPS 2011) through pydensecrf2, the extra `crf`: arrays in, arrays out."""

from __future__ import annotations

import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from importlib.util import find_spec
from typing import Any

import numpy as np

from ktse.errors import RunError
from ktse.recipe import CrfRecipe
from ktse.runtime.processes import own_cores

CERTAINTY = 0.7
"""Published probability that a label map is right."""


def require_crf() -> None:
    """Make sure that the extra is installed.

    Raises:
        RunError: it is not.
    """
    if find_spec("pydensecrf") is None:
        raise RunError(
            "the dense CRF needs the package pydensecrf2, which is not installed",
            hint='Install the extra crf (it needs a C++ compiler): pip install "ktse[crf]". '
            "Or do without: --refine.method '[par]' and --affinity.labels par need no extra.",
        )


def crf_scores(image: np.ndarray, scores: np.ndarray, settings: CrfRecipe) -> np.ndarray:
    """Probability of every label after the CRF, from probabilities before it.

    Args:
        image: (H, W, 3) uint8.
        scores: (L, H, W) float, probabilities of a pixel's labels.
        settings: kernels and iterations.

    Returns:
        (L, H, W) float32 that sum to 1 over the labels; the scores themselves if there is just one label.

    Raises:
        RunError: the extra is not installed.
    """
    require_crf()
    from pydensecrf.utils import unary_from_softmax

    return scores if len(scores) < 2 else _infer(image, unary_from_softmax(scores), len(scores), settings)


def crf_labels(image: np.ndarray, label: np.ndarray, labels: int, settings: CrfRecipe) -> np.ndarray:
    """A label map after the CRF, from one that is right with probability CERTAINTY.

    Args:
        image: (H, W, 3) uint8.
        label: (H, W) integer in 0..labels - 1.
        labels: number of labels.
        settings: kernels and iterations.

    Returns:
        (H, W) int64; the map itself if there is just one label.

    Raises:
        RunError: the extra is not installed.
    """
    require_crf()
    from pydensecrf.utils import unary_from_labels

    if labels < 2:
        return label
    unary = unary_from_labels(label, labels, gt_prob=CERTAINTY, zero_unsure=False)
    best: np.ndarray = _infer(image, unary, labels, settings).argmax(axis=0)
    return best


def _infer(image: np.ndarray, unary: np.ndarray, labels: int, settings: CrfRecipe) -> np.ndarray:
    from pydensecrf.densecrf import DenseCRF2D

    height, width = image.shape[:2]
    crf = DenseCRF2D(width, height, labels)
    crf.setUnaryEnergy(np.ascontiguousarray(unary))
    crf.addPairwiseGaussian(sxy=settings.near_xy, compat=settings.near_weight)
    crf.addPairwiseBilateral(
        sxy=settings.colour_xy, srgb=settings.colour_rgb, rgbim=np.require(image, requirements=["C", "W"]),
        compat=settings.colour_weight,
    )  # fmt: skip
    return np.asarray(crf.inference(settings.iterations), dtype=np.float32).reshape(labels, height, width)


def in_processes(
    function: Callable[..., np.ndarray], jobs: Iterable[tuple[Any, ...]], workers: int
) -> Iterator[np.ndarray]:
    """Results of a function in the order of its jobs, which are drawn only as fast as they are worked off.

    Args:
        function: a function of a module, so that other processes find it.
        jobs: arguments of each call.
        workers: number of processes; -1: one a core; 0: this process does the work.
    """
    count = own_cores() if workers < 0 else workers
    if count == 0:
        yield from (function(*job) for job in jobs)
        return
    waiting: deque[Future[np.ndarray]] = deque()
    # An interruption is for the process that gives out the jobs; it tells the others.
    with ProcessPoolExecutor(count, initializer=signal.signal, initargs=(signal.SIGINT, signal.SIG_IGN)) as pool:
        try:
            for job in jobs:
                waiting.append(pool.submit(function, *job))
                if len(waiting) > 2 * count:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
