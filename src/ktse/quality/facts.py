"""What is known about the results of a run, as plain numbers: with true masks and without."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class ClassFacts:
    """About one class. None: not known, as a stage has not been done or no image shows it.

    Attributes:
        name: of the class.
        images: training images that have the tag.
        share: of all images that have the tag, 0..1.
        known: how well the network ranks images with the tag before those without: average precision, where 0 is
            chance and 1 is perfect.
        known_unseen: whether that is from images kept out of training.
        area: median share of an image, 0..1, that its mask gives to the class.
        full: share of its images, 0..1, of which the mask covers most.
        empty: share of its images, 0..1, whose mask lacks the class.
        cells: median number of cells of the CAM's grid in which the CAM is above half of its maximum.
        shrinks: how many times smaller the mask of one of its images would be (median), were the threshold half way to
            the highest score.
        predicted: pixels predicted on its images, per pixel in their masks.
        agreement: IoU, 0..1, of masks and predictions on its images.
        seed_agreement: IoU, 0..1, of seeds and masks on its images.
        iou: IoU in percent of its masks, against true masks.
        true_masks: true masks that show the class.
        calibrated_iou: IoU in percent of its masks, against the masks that chose the threshold.
        calibrating: masks that chose the threshold and show the class.
    """

    name: str
    images: int
    share: float = 0.0
    known: float | None = None
    known_unseen: bool = False
    area: float | None = None
    full: float | None = None
    empty: float | None = None
    cells: float | None = None
    shrinks: float | None = None
    predicted: float | None = None
    agreement: float | None = None
    seed_agreement: float | None = None
    iou: float | None = None
    true_masks: int = 0
    calibrated_iou: float | None = None
    calibrating: int = 0


@dataclass(frozen=True)
class Facts:
    """About a whole run.

    Attributes:
        root: the run folder, for the commands that signs name.
        training: number of training images.
        classes: about each class.
        threshold: background threshold of the masks, 0..1.
        threshold_kind: where that comes from: "found", "unclear", "calibrated", "recipe" or "crf".
        explained: how well colours explain the masks at the best threshold, about 0..1, in the mean over images.
        full: share of tagged images, 0..1, of which the mask covers most.
        empty: share of tagged images, 0..1, whose mask is empty.
        miou: by stage (seed, mask, fused, prediction), in percent, against true masks.
        oracle: of the masks at the best threshold, in percent.
        measured: number of true masks that were measured with.
        correlation: rank correlation of confidence and true mIoU, -1..1.
        confidences: spread (standard deviation) of the confidence of masks and of predictions, by stage.
        complaints: doubts about the true masks.
        model_complaints: warnings about the segmentation model, from its training.
        calibrate: the folder or file of the masks that chose the threshold; empty: there are none.
        calibrating: how many masks these are.
    """

    root: str
    training: int
    classes: tuple[ClassFacts, ...]
    threshold: float | None = None
    threshold_kind: str = ""
    explained: float | None = None
    full: float | None = None
    empty: float | None = None
    miou: dict[str, float] = field(default_factory=dict)
    oracle: float | None = None
    measured: int = 0
    correlation: float | None = None
    confidences: dict[str, float] = field(default_factory=dict)
    complaints: tuple[str, ...] = ()
    model_complaints: tuple[str, ...] = ()
    calibrate: str = ""
    calibrating: int = 0
