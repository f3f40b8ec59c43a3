"""From facts to a verdict: which facts speak against the results of a run, how much, and what to do about them.

Where enough true masks measure a class, the measure decides. Elsewhere signs decide that need no true mask. The limits
are judgement, looked at on few runs (docs/measurements/verdicts.md); benchmarks/verdicts.py makes bad ones on purpose.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from ktse.quality.facts import ClassFacts, Facts
from ktse.quality.verdict import Level, Sign, Verdict
from ktse.runtime.words import many

TRUE_MASKS = 5
"""True masks that show a class, from which on they and not the other signs judge its masks."""

RUN_TRUE_MASKS = 10
"""The same for all classes together."""


SHRINKS = 4
"""The mask of something that is seen as a thing, not as a haze, depends less on the threshold than this."""


def judge(facts: Facts) -> Verdict:
    """The verdict on a run."""
    signs = [*_run_signs(facts), *(sign for one in facts.classes for sign in _class_signs(facts, one))]
    found = [sign for sign in signs if sign is not None]
    return Verdict.of(found, (one.name for one in facts.classes), measured=facts.measured >= RUN_TRUE_MASKS)


def _run_signs(facts: Facts) -> Iterator[Sign | None]:
    report = f"ktse report {facts.root}"
    for text in facts.complaints:
        yield Sign("do-not-use", "", text, report)
    for text in facts.model_complaints:
        yield Sign("do-not-use", "", text, report, "model")
    text = f"There {'is' if facts.training == 1 else 'are'} only {many(facts.training, 'image')} to learn from."
    yield _sign(_low(facts.training, 60, 20), "", text, "add images: some hundred")
    yield _classifier(facts)
    if facts.measured >= RUN_TRUE_MASKS:
        yield from _measured(facts)
    else:
        yield _threshold(facts)
        text = f"The masks of {_share(facts.full)} of the images cover more than half of the image."
        yield _sign(_high(facts.full, 0.3, 0.5), "", text, _calibrate(facts))
        text = f"The masks of {_share(facts.empty)} of the images with tags are empty."
        yield _sign(_high(facts.empty, 0.1, 0.3), "", text, _calibrate(facts))
    for stage, spread in facts.confidences.items():
        text = f"The confidence of all {stage} is the same: it says nothing about which are good."
        concerns: Literal["masks", "model"] = "model" if stage == "predictions" else "masks"
        yield Sign("look", "", text, report, concerns) if spread < 0.01 else None
    if facts.correlation is not None and facts.measured >= 3 * RUN_TRUE_MASKS and facts.correlation < 0:
        text = "The masks with a high confidence are not the better ones: do not sort by it."
        yield Sign("look", "", text, report)


def _class_signs(facts: Facts, one: ClassFacts) -> Iterator[Sign | None]:
    name, look = repr(one.name), f"look at its images: ktse report {facts.root}"
    if one.share == 1.0:
        text = f"Every image has the tag {name}, so that nothing shows what the class looks like."
        yield Sign("do-not-use", one.name, text, f"add images without {name}")
    else:
        text = f"Only {many(one.images, 'image to learn from has', 'images to learn from have')} the tag {name}."
        yield _sign(_low(one.images, 10, 3), one.name, text, f"add images with {name}")
    if one.true_masks >= TRUE_MASKS:
        text = f"The masks of {name} reach an IoU of {_number(one.iou)} % ({many(one.true_masks, 'true mask')})."
        yield _sign(_low(one.iou, 40, 20), one.name, text, look)
    else:
        yield from _class_without_truth(facts, one, name, look)
    if one.predicted is not None and one.predicted < 0.02 and (one.area or 0) > 0:
        text = f"The model without tags never predicts {name}, on images whose masks show the class."
        yield Sign("look", one.name, text, f"ktse segment {facts.root} --segment.epochs 40", "model")


def _class_without_truth(facts: Facts, one: ClassFacts, name: str, look: str) -> Iterator[Sign | None]:
    """Signs that need no true mask that is measured with."""
    unseen = " on images it has not seen" if one.known_unseen else ""
    text = f"The network hardly knows {name}: {_to_perfect(one.known)}{unseen}."
    yield _sign(_low(one.known, 0.35, 0.15), one.name, text, _check(facts))
    text = (
        f"On the masks that you have drawn ({one.calibrating} with {name}), the class reaches an IoU of "
        f"{_number(one.calibrated_iou)} %: its tags alone do not find it."
    )
    yield _sign(_low(one.calibrated_iou, 30, 10), one.name, text, look) if one.calibrating else None
    text = f"The masks of {name} cover more than half of the image in {_share(one.full)} of its images."
    yield _sign(_high(one.full, 0.3, 0.5), one.name, text, _calibrate(facts))
    text = f"In {_share(one.empty)} of its images, the mask lacks {name}."
    yield _sign(_high(one.empty, 0.2, 0.5), one.name, text, _calibrate(facts))
    text = (
        f"{name} is about as small as the grid that the network sees ({many(round(one.cells or 0), 'cell')} in the "
        "median): its outlines are a guess."
    )
    tiles = "cut the images into tiles, or give larger ones with --seed.long_side 768"
    yield _sign(_low(one.cells, 20, 8), one.name, text, tiles)
    text = (
        f"Where {name} ends is a guess: were the threshold half way to the highest score, its masks would be "
        f"{_number(one.shrinks, 0)} times smaller."
    )
    yield Sign("look", one.name, text, _calibrate(facts)) if (one.shrinks or 0) >= SHRINKS else None
    text = f"Seeds and masks of {name} hardly agree (IoU {_share(one.seed_agreement)})."
    yield _sign(_low(one.seed_agreement, 0.25, 0.1), one.name, text, look)
    text = f"Masks and the model's predictions of {name} hardly agree (IoU {_share(one.agreement)})."
    yield _sign(_low(one.agreement, 0.25, 0.1), one.name, text, look, "model")


def _classifier(facts: Facts) -> Sign | None:
    known = [(one.known, one.images) for one in facts.classes if one.known is not None]
    if not known:
        return None
    mean = sum(value * images for value, images in known) / max(1, sum(images for _, images in known))
    text = f"The network hardly knows the tags: {_to_perfect(mean)}. Masks cannot be better than that."
    return _sign(_low(mean, 0.4, 0.2), "", text, _check(facts))


def _threshold(facts: Facts) -> Sign | None:
    if facts.threshold is None or facts.threshold_kind in ("calibrated", "crf"):
        return None
    if facts.threshold < 0.05 or facts.threshold > 0.9:
        text = f"The background threshold, {facts.threshold:.2f}, is at the end of its range."
        return Sign("do-not-use", "", text, _calibrate(facts))
    if facts.threshold_kind != "unclear":
        return None
    text = (
        "The images do not show where objects end: many background thresholds suit them about equally well, and "
        f"{facts.threshold:.2f} is a guess."
    )
    return Sign(_low(facts.explained, 0.5, 0.35) or "look", "", text, _calibrate(facts))


def _measured(facts: Facts) -> Iterator[Sign | None]:
    mask, seed, oracle = facts.miou.get("mask"), facts.miou.get("seed"), facts.oracle
    best = max((facts.miou[stage] for stage in ("mask", "fused") if stage in facts.miou), default=None)
    over, calibrate = f"({many(facts.measured, 'true mask')})", _calibrate(facts)
    yield _sign(_low(best, 45, 35), "", f"The masks reach an mIoU of {_number(best)} % {over}.", calibrate)
    if mask is not None and seed is not None:
        text = f"The masks, {mask:.1f} %, are worse than the seeds that they are made from, {seed:.1f} % {over}."
        yield _sign(_low(mask - seed, -2, -5), "", text, calibrate)
    if mask is not None and oracle is not None:
        text = f"Another background threshold gives masks of {oracle:.1f} % instead of {mask:.1f} % {over}."
        yield _sign(_high(oracle - mask, 3, 8), "", text, calibrate)
    prediction = facts.miou.get("prediction")
    if mask is not None and prediction is not None:
        text = f"The predictions, {prediction:.1f} %, are worse than the masks, {mask:.1f} % {over}."
        fused = "use the fused masks; " if "fused" in facts.miou else ""
        then = f"{fused}for new images, give their tags: ktse predict {facts.root} IMAGES --out DIR --tags CSV"
        yield _sign(_low(prediction - mask, -5, -15), "", f"{text} See docs/bad-results.md.", then, "model")


def _sign(
    level: Level | None, about: str, text: str, then: str, concerns: Literal["masks", "model"] = "masks"
) -> Sign | None:
    return None if level is None else Sign(level, about, text, then, concerns)


def _low(value: float | None, look: float, bad: float) -> Level | None:
    """The level of a value of which less is worse; None: no sign."""
    if value is None or value >= look:
        return None
    return "do-not-use" if value < bad else "look"


def _high(value: float | None, look: float, bad: float) -> Level | None:
    return None if value is None else _low(-value, -look, -bad)


def _number(value: float | None, digits: int = 1) -> str:
    return f"{value or 0:.{digits}f}"


def _share(value: float | None) -> str:
    return f"{100 * (value or 0):.0f} %"


def _to_perfect(known: float | None) -> str:
    return f"it is {_share(max(0.0, known or 0))} of the way from chance to perfect"


def _calibrate(facts: Facts) -> str:
    if not facts.calibrating:
        return f"draw 5 true masks, then: ktse refine {facts.root} --calibrate DIR"
    there = many(facts.calibrating, "mask is", "masks are")  # another folder would take their place
    added = f"add them to {facts.calibrate} ({there} there)"
    return f"draw true masks of 5 other images, {added}, then: ktse refine {facts.root}"


def _check(facts: Facts) -> str:
    return f"ktse check {facts.root} lists tags that may be wrong"
