"""Background thresholds from the scores alone, without any true mask."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image, ImageFilter

BINS = 256

COLOURS, BLUR = 32, 1 / 48
"""Colours to which an image is reduced, and how far it is blurred before: share of its longer side."""

COARSE = 0b11111000
"""The bits of a colour that are looked at for that."""

OBJECT_POWER, LABEL_POWER = 0.8, 0.9
"""Powers of the entropy, of mask or of labels, that their information about colour is divided by."""

PRIOR = 0.3
"""How strongly thresholds near 0 and 1 are distrusted; from 0.1 to 0.8 the masks that were measured hardly change."""

MIDDLE = 0.5
"""The threshold where the images tell nothing."""

MOVED = 0.1
"""How far from the best explained threshold the chosen one may lie before the choice counts as unclear."""

SMALLEST = 0.05
"""Entropy in bits of the smallest mask that says anything."""


def boundary_contrast(image: np.ndarray, scores: np.ndarray, bins: int = BINS) -> np.ndarray:
    """How much more the image changes across the boundary of its mask than elsewhere, for all thresholds in one pass.

    A pair of neighbouring pixels lies on the boundary for the thresholds between its two scores.

    Args:
        image: (H, W, 3) uint8.
        scores: (K, H, W) float in 0..1.
        bins: number of equal bins on 0..1; a threshold is the lower end of a bin.

    Returns:
        (2, bins) float64 for each threshold: sum over boundary pairs of (colour change / mean colour change of the
        image - 1), and number of boundary pairs; zeros if K is 0 or the image is of one colour.
    """
    sums = np.zeros((2, bins))
    if len(scores) == 0:
        return sums
    best = np.clip((scores.max(axis=0).astype(np.float32) * bins).astype(np.int64), 0, bins - 1)
    colour = image.astype(np.float32)
    changes, lows, highs = [], [], []
    for axis, first, second in ((0, best[:-1], best[1:]), (1, best[:, :-1], best[:, 1:])):
        changes.append(np.abs(np.diff(colour, axis=axis)).mean(axis=-1).ravel())
        lows.append(np.minimum(first, second).ravel())
        highs.append(np.maximum(first, second).ravel())
    change, low, high = np.concatenate(changes), np.concatenate(lows), np.concatenate(highs)
    if change.size == 0 or change.mean() == 0:
        return sums
    for row, value in enumerate((change / change.mean() - 1, np.ones_like(change))):
        # A score of bin b is above every threshold up to b, so that the pair opens at low + 1 and closes after high.
        opened = np.bincount(low + 1, weights=value, minlength=bins + 1)[:bins]
        closed = np.bincount(high + 1, weights=value, minlength=bins + 1)[:bins]
        sums[row] = (opened - closed).cumsum()
    return sums


def explained_share(regions: np.ndarray, scores: np.ndarray, bins: int = BINS) -> np.ndarray:
    """How well the colours of an image explain what is object and what background, for all thresholds in one pass.

    Objects and background differ in colour, so that the colours of regions predict a mask that is right better than one
    that cuts through both. This is the mutual information of mask and colour, divided by nearly the mask's
    entropy: undivided it favours masks of half the image, entirely divided those of a few pixels.

    Args:
        regions: (H, W) int64, colour of each pixel as a number (colour_regions).
        scores: (K, H, W) float in 0..1; smooth or sharp.
        bins: number of equal bins on 0..1; a threshold is the lower end of a bin.

    Returns:
        (bins,) float64, about 0..1 for each threshold; zeros if K is 0.
    """
    return _explained(regions, scores.max(axis=0, keepdims=True), bins, OBJECT_POWER) if len(scores) else np.zeros(bins)


def explained_labels(regions: np.ndarray, scores: np.ndarray, bins: int = BINS) -> np.ndarray:
    """How well the colours of an image explain its labels: the same for the classes, and not for objects of any class.

    Where classes touch, the best threshold of their labels is higher than that of the objects together.
    Args and result as of explained_share; with one class the two differ in the power of the entropy.
    """
    return _explained(regions, scores, bins, LABEL_POWER) if len(scores) else np.zeros(bins)


def _explained(regions: np.ndarray, scores: np.ndarray, bins: int, power: float) -> np.ndarray:
    best = np.clip((scores.max(axis=0).astype(np.float32) * bins).astype(np.int64), 0, bins - 1)
    place = (regions * len(scores) + scores.argmax(axis=0)) * bins + best
    shape = (COLOURS, len(scores), bins)
    joint = np.bincount(place.ravel(), minlength=int(np.prod(shape))).reshape(shape)
    above = joint[..., ::-1].cumsum(axis=-1)[..., ::-1]
    colours = above[:, :, 0].sum(axis=1)[:, None]
    labelled = np.concatenate([(colours - above.sum(axis=1))[:, None], above], axis=1)  # colour, label, threshold
    labels, pixels = labelled.sum(axis=0), best.size
    entropy, together = _entropy(labels), _entropy(labelled.reshape(-1, bins))
    # A count of few pixels looks less random than it is (Miller, 1955).
    occupied = (labelled > 0).sum(axis=(0, 1)) - (colours > 0).sum() - (labels > 0).sum(axis=0) + 1
    information = entropy + _entropy(colours) - together - occupied / (2 * pixels * np.log(2))
    return np.where(entropy > SMALLEST, information / np.maximum(entropy, SMALLEST) ** power, 0.0)


def colour_regions(image: np.ndarray) -> np.ndarray:
    """The few colours of an image, texture left out.

    Args:
        image: (H, W, 3) uint8.

    Returns:
        (H, W) int64 number of each pixel's colour, less than COLOURS.
    """
    picture = Image.fromarray(image)
    smooth = picture.filter(ImageFilter.GaussianBlur(max(picture.size) * BLUR))
    smooth = smooth.point(lambda value: value & COARSE)  # fewer colours are reduced several times as fast
    return np.asarray(smooth.quantize(COLOURS, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE), dtype=np.int64)


def _entropy(counts: np.ndarray) -> np.ndarray:
    """Entropy in bits over the first axis."""
    share = counts / np.maximum(1, counts.sum(axis=0))
    entropy: np.ndarray = -(share * np.log2(np.where(share > 0, share, 1))).sum(axis=0)
    return entropy


@dataclass(frozen=True)
class Threshold:
    """A background threshold.

    Attributes:
        value: 0..1.
        source: where it comes from, in words.
        kind: "found" in the images, "unclear" where many suit the images about equally well, or "recipe".
    """

    value: float
    source: str
    kind: Literal["found", "unclear", "recipe"]


def explained_threshold(explained: np.ndarray, prior: float = PRIOR) -> float | None:
    """The threshold whose labels the colours of their images explain best; of about equal ones, one in the middle.

    Where the curve is nearly flat, its maximum is chance. It may then lie at an end of the range, where every threshold
    is bad. So the curve is weighted by (4 t (1 - t)) ** prior, which falls only near the ends.

    Args:
        explained: (bins,), explained_labels or explained_share summed over images.
        prior: 0 or more; 0 takes the bare maximum.

    Returns:
        0..1, or None if colours explain no mask.
    """
    if explained.max() <= 0:
        return None
    thresholds = np.arange(len(explained)) / len(explained)
    return float(thresholds[(explained * (4 * thresholds * (1 - thresholds)) ** prior).argmax()])


def choose_threshold(explained: np.ndarray, setting: float | str) -> Threshold:
    """The background threshold of a data set.

    Args:
        explained: (bins,) share of the labels that colours explain, over all images (explained_labels).
        setting: a number, or "auto".
    """
    if setting != "auto":
        return Threshold(float(setting), "set in the recipe", "recipe")
    found = explained_threshold(explained)
    if found is None:
        return Threshold(MIDDLE, "a fixed one, as the images show no objects in the scores", "unclear")
    if abs(found - explained.argmax() / len(explained)) > MOVED:
        source = "far from both ends, as many thresholds suit the images about as well"
        return Threshold(round(found, 4), source, "unclear")
    return Threshold(round(found, 4), "where masks follow the colours of the images best, no truth used", "found")
