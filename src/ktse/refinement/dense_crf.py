"""Dense CRF (Krähenbühl and Koltun, NIPS 2011) through pydensecrf2, the extra `crf`: arrays in, arrays out."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np

from ktse.errors import RunError

CERTAINTY = 0.7
"""Published probability that a label map is right."""


@dataclass(frozen=True)
class Kernels:
    """The pairwise terms of a dense CRF.

    Attributes:
        near_weight: of the kernel that wants neighbours to agree.
        colour_xy: reach in pixels of the kernel that wants neighbours of like colour to agree.
        colour_rgb: difference of colour, 0..255, that still counts as alike.
        colour_weight: of that kernel.
        near_xy: reach in pixels of the first kernel.
        iterations: steps of mean-field inference.
    """

    near_weight: float
    colour_xy: float
    colour_rgb: float
    colour_weight: float
    near_xy: float = 3.0
    iterations: int = 10


FOR_SEEDS = Kernels(near_weight=3.0, colour_xy=50.0, colour_rgb=5.0, colour_weight=10.0)
"""As published with IRN, for seeds and masks."""

FOR_PREDICTIONS = Kernels(near_weight=1.0, colour_xy=67.0, colour_rgb=3.0, colour_weight=4.0)
"""As published with DeepLab-v2, for predictions."""


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


def crf_scores(image: np.ndarray, scores: np.ndarray, kernels: Kernels) -> np.ndarray:
    """Probability of every label after the CRF, from probabilities before it.

    Args:
        image: (H, W, 3) uint8.
        scores: (L, H, W) float, probabilities of a pixel's labels.
        kernels: pairwise terms and iterations.

    Returns:
        (L, H, W) float32 that sum to 1 over the labels; the scores themselves if there is just one label.

    Raises:
        RunError: the extra is not installed.
    """
    require_crf()
    from pydensecrf.utils import unary_from_softmax

    return scores if len(scores) < 2 else _infer(image, unary_from_softmax(scores), len(scores), kernels)


def crf_labels(image: np.ndarray, label: np.ndarray, labels: int, kernels: Kernels) -> np.ndarray:
    """A label map after the CRF, from one that is right with probability CERTAINTY.

    Args:
        image: (H, W, 3) uint8.
        label: (H, W) integer in 0..labels - 1.
        labels: number of labels.
        kernels: pairwise terms and iterations.

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
    best: np.ndarray = _infer(image, unary, labels, kernels).argmax(axis=0)
    return best


def _infer(image: np.ndarray, unary: np.ndarray, labels: int, kernels: Kernels) -> np.ndarray:
    from pydensecrf.densecrf import DenseCRF2D

    height, width = image.shape[:2]
    crf = DenseCRF2D(width, height, labels)
    crf.setUnaryEnergy(np.ascontiguousarray(unary))
    crf.addPairwiseGaussian(sxy=kernels.near_xy, compat=kernels.near_weight)
    colours = np.require(image, requirements=["C", "W"])
    crf.addPairwiseBilateral(kernels.colour_xy, kernels.colour_rgb, colours, compat=kernels.colour_weight)
    return np.asarray(crf.inference(kernels.iterations), dtype=np.float32).reshape(labels, height, width)
