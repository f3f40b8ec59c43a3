"""From facts to a verdict: which facts speak against the results of a run, how much, and what to do about them.

Where enough true masks measure a class, the measure decides. Elsewhere signs decide that need no true mask. The limits
are judgement, looked at on few runs (docs/measurements/verdicts.md); benchmarks/verdicts.py makes bad ones on purpose.
"""

from __future__ import annotations

from collections.abc import Iterator

from ktse.quality.facts import ClassFacts, Facts
from ktse.quality.verdict import Level, Sign, Verdict

TRUE_MASKS = 5
"""True masks that show a class, from which on they and not the other signs judge its masks."""

RUN_TRUE_MASKS = 10
"""The same for all classes together."""


def judge(facts: Facts) -> Verdict:
    """The verdict on a run."""
    signs = [*_run_signs(facts), *(sign for one in facts.classes for sign in _class_signs(facts, one))]
    return Verdict.of(signs, (one.name for one in facts.classes))


def _run_signs(facts: Facts) -> Iterator[Sign]:
    for text in facts.complaints:
        yield Sign("do-not-use", "", text, f"ktse report {facts.root}")
    yield from _few_images(facts)
    yield from _classifier(facts)
    if facts.measured >= RUN_TRUE_MASKS:
        yield from _measured(facts)
    else:
        yield from _threshold(facts)
        yield from _spread_of_masks(facts)
    yield from _confidence(facts)


def _class_signs(facts: Facts, one: ClassFacts) -> Iterator[Sign]:
    yield from _class_images(facts, one)
    if one.true_masks >= TRUE_MASKS:
        yield from _class_measured(facts, one)
    else:
        yield from _class_known(facts, one)
        yield from _class_calibrated(facts, one)
        yield from _class_masks(facts, one)
        yield from _class_agreement(facts, one)
    if one.predicted is not None and one.predicted < 0.02 and (one.area or 0) > 0:
        text = f"The model without tags never predicts {one.name!r}, on images whose masks show the class."
        yield Sign("look", one.name, text, f"ktse segment {facts.root} --segment.epochs 40")


def _low(value: float | None, look: float, bad: float) -> Level | None:
    """The level of a value of which less is worse; None: no sign."""
    if value is None or value >= look:
        return None
    return "do-not-use" if value < bad else "look"


def _high(value: float | None, look: float, bad: float) -> Level | None:
    return None if value is None else _low(-value, -look, -bad)


def _calibrate(facts: Facts) -> str:
    return f"draw 5 true masks, then: ktse refine {facts.root} --calibrate DIR"


def _few_images(facts: Facts) -> Iterator[Sign]:
    if level := _low(facts.training, 60, 20):
        yield Sign(level, "", f"There are only {facts.training} images to learn from.", "add images: some hundred")


def _class_images(facts: Facts, one: ClassFacts) -> Iterator[Sign]:
    if one.share == 1.0:
        text = f"Every image has the tag {one.name!r}, so that nothing shows what the class looks like."
        yield Sign("do-not-use", one.name, text, f"add images without {one.name!r}")
    elif level := _low(one.images, 10, 3):
        text = f"Only {one.images} images to learn from have the tag {one.name!r}."
        yield Sign(level, one.name, text, f"add images with {one.name!r}")


def _classifier(facts: Facts) -> Iterator[Sign]:
    known = [(one.known, one.images) for one in facts.classes if one.known is not None]
    if not known:
        return
    mean = sum(value * images for value, images in known) / max(1, sum(images for _, images in known))
    if level := _low(mean, 0.4, 0.2):
        text = (
            f"The network hardly knows the tags: it is {100 * max(0.0, mean):.0f} % of the way from chance to perfect. "
            "Masks cannot be better than that."
        )
        yield Sign(level, "", text, f"ktse check {facts.root} lists tags that may be wrong")


def _class_known(facts: Facts, one: ClassFacts) -> Iterator[Sign]:
    if level := _low(one.known, 0.35, 0.15):
        text = (
            f"The network hardly knows {one.name!r}: it is {100 * max(0.0, one.known or 0):.0f} % of the way from "
            f"chance to perfect{' on images it has not seen' if one.known_unseen else ''}."
        )
        yield Sign(level, one.name, text, f"ktse check {facts.root} lists tags that may be wrong")


def _threshold(facts: Facts) -> Iterator[Sign]:
    if facts.threshold is None or facts.threshold_kind in ("calibrated", "crf"):
        return
    if facts.threshold < 0.05 or facts.threshold > 0.9:
        text = f"The background threshold, {facts.threshold:.2f}, is at the end of its range."
        yield Sign("do-not-use", "", text, _calibrate(facts))
    elif facts.threshold_kind == "unclear":
        text = (
            "The images do not show where objects end: many background thresholds suit them about equally well, and "
            f"{facts.threshold:.2f} is a guess."
        )
        yield Sign(_low(facts.explained, 0.5, 0.35) or "look", "", text, _calibrate(facts))


def _spread_of_masks(facts: Facts) -> Iterator[Sign]:
    if level := _high(facts.full, 0.3, 0.5):
        text = f"The masks of {facts.full:.0%} of the images cover more than half of the image."
        yield Sign(level, "", text, _calibrate(facts))
    if level := _high(facts.empty, 0.1, 0.3):
        text = f"The masks of {facts.empty:.0%} of the images with tags are empty."
        yield Sign(level, "", text, _calibrate(facts))


def _measured(facts: Facts) -> Iterator[Sign]:
    mask, seed = facts.miou.get("mask"), facts.miou.get("seed")
    best = max((facts.miou[stage] for stage in ("mask", "fused") if stage in facts.miou), default=None)
    over = f"({facts.measured} true masks)"
    if level := _low(best, 45, 35):
        text = f"The masks reach an mIoU of {best:.1f} % {over}."
        yield Sign(level, "", text, _calibrate(facts))
    if mask is not None and seed is not None and (level := _low(mask - seed, -2, -5)):
        text = f"The masks, {mask:.1f} %, are worse than the seeds that they are made from, {seed:.1f} % {over}."
        yield Sign(level, "", text, _calibrate(facts))
    if mask is not None and facts.oracle is not None and (level := _high(facts.oracle - mask, 3, 8)):
        text = f"Another background threshold gives masks of {facts.oracle:.1f} % instead of {mask:.1f} % {over}."
        yield Sign(level, "", text, _calibrate(facts))


def _class_measured(facts: Facts, one: ClassFacts) -> Iterator[Sign]:
    if level := _low(one.iou, 40, 20):
        text = f"The masks of {one.name!r} reach an IoU of {one.iou:.1f} % ({one.true_masks} true masks)."
        yield Sign(level, one.name, text, f"look at its images: ktse report {facts.root}")


def _class_calibrated(facts: Facts, one: ClassFacts) -> Iterator[Sign]:
    if one.calibrating and (level := _low(one.calibrated_iou, 30, 10)):
        text = (
            f"On the masks that you have drawn ({one.calibrating} with {one.name!r}), the class reaches an IoU of "
            f"{one.calibrated_iou:.1f} %: its tags alone do not find it."
        )
        yield Sign(level, one.name, text, f"look at its images: ktse report {facts.root}")


def _class_masks(facts: Facts, one: ClassFacts) -> Iterator[Sign]:
    if level := _high(one.full, 0.3, 0.5):
        text = f"The masks of {one.name!r} cover more than half of the image in {one.full:.0%} of its images."
        yield Sign(level, one.name, text, _calibrate(facts))
    if level := _high(one.empty, 0.2, 0.5):
        text = f"In {one.empty:.0%} of its images, the mask lacks {one.name!r}."
        yield Sign(level, one.name, text, _calibrate(facts))
    if level := _low(one.cells, 20, 8):
        text = (
            f"{one.name!r} is about as small as the grid that the network sees ({one.cells:.0f} cells in the median): "
            "its outlines are a guess."
        )
        yield Sign(level, one.name, text, "cut the images into tiles, or give larger ones with --seed.long_side 768")


def _class_agreement(facts: Facts, one: ClassFacts) -> Iterator[Sign]:
    for value, what in ((one.seed_agreement, "Seeds and masks"), (one.agreement, "Masks and the model's predictions")):
        if level := _low(value, 0.25, 0.1):
            text = f"{what} of {one.name!r} hardly agree (IoU {100 * (value or 0):.0f} %)."
            yield Sign(level, one.name, text, f"look at its images: ktse report {facts.root}")


def _confidence(facts: Facts) -> Iterator[Sign]:
    for stage, spread in facts.confidences.items():
        if spread < 0.01:
            text = f"The confidence of all {stage} is the same: it says nothing about which are good."
            yield Sign("look", "", text, f"ktse report {facts.root}")
    if facts.correlation is not None and facts.measured >= 3 * RUN_TRUE_MASKS and facts.correlation < 0:
        text = "The masks with a high confidence are not the better ones: do not sort by it."
        yield Sign("look", "", text, f"ktse report {facts.root}")
