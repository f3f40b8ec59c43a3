"""Calibration within refine: the threshold that suits the masks that the user gave for this purpose."""

from __future__ import annotations

from collections.abc import Callable

from ktse.data.dataset import TaggedImages
from ktse.data.masks import Masks
from ktse.errors import RunError
from ktse.quality.metrics import THRESHOLDS, ThresholdSweep
from ktse.refinement.calibration import Calibrated, calibrate
from ktse.refinement.cutting import enlarge
from ktse.run_folder import Scores


def calibrated_images(data: TaggedImages, calibration: Masks) -> list[str]:
    """The images, of those that the run uses, that have a mask to calibrate with.

    Raises:
        RunError: none of them is used.
    """
    names = [name for name in data.ids if name in calibration.paths]
    if not names:
        raise RunError(
            "none of the images with a mask to calibrate with is left in the run",
            hint="They could not be read and were skipped: give --calibrate masks of other images.",
        )
    return names


def calibrated_threshold(data: TaggedImages, calibration: Masks, scores: Callable[[str], Scores]) -> Calibrated:
    """Choose the threshold on the scores of the images that have a mask to calibrate with.

    Args:
        data: images and tags.
        calibration: the masks.
        scores: reads those of an image.
    """
    counts = []
    for name in calibrated_images(data, calibration):
        true, stored = calibration.read(name), scores(name)
        sweep = ThresholdSweep(len(data.classes), THRESHOLDS)
        sweep.add(true, stored.keys, enlarge(stored.scores, (true.shape[0], true.shape[1])))
        counts.append(sweep.counts)
    return calibrate(counts, THRESHOLDS)
