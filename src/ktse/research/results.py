"""What the runs of an ablation have measured: values by arm and random seed, means, spreads and paired differences."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import mean, stdev

from ktse.pipeline import CLASSIFY, REFINE
from ktse.research.runs import ArmRun

MEASURES = {
    "oracle": "seed mIoU % at the oracle threshold",
    "miou": "seed mIoU % at the label-free threshold",
    "tag_f1": "tag F1 %",
    "mask": "mask mIoU % at the label-free threshold",
    "mask_oracle": "mask mIoU % at the oracle threshold",
}
"""What tables show, by the names of Result.values."""


@dataclass(frozen=True)
class Result:
    """What one run has measured.

    Attributes:
        arm: name of its arm.
        random_seed: of its training.
        values: measures by name, in percent, 0..1 (thresholds) and seconds of training; None where unknown.
        iou: seed IoU of each class at the oracle threshold, in percent.
        collapsed: how training collapsed, or empty.
        masks_collapsed: how refinement collapsed, or empty.
        retries: how often a collapse was answered by a lower learning rate, after which training went well.
    """

    arm: str
    random_seed: int
    values: dict[str, float | None] = field(default_factory=dict)
    iou: dict[str, float | None] = field(default_factory=dict)
    collapsed: str = ""
    masks_collapsed: str = ""
    retries: int = 0


@dataclass(frozen=True)
class Spread:
    """Mean and sample standard deviation of some values; the deviation of a single one is None.

    Attributes:
        mean: of the values.
        deviation: with n - 1 in the denominator.
        count: how many there are.
    """

    mean: float
    deviation: float | None
    count: int


def spread(values: Iterable[float]) -> Spread | None:
    """Mean and deviation; None without any value."""
    known = list(values)
    if not known:
        return None
    return Spread(mean(known), stdev(known) if len(known) > 1 else None, len(known))


def by_random_seed(results: Sequence[Result], arm: str, measure: str) -> dict[int, float]:
    """The values of an arm by random seed, where there is one."""
    found = {result.random_seed: result.values.get(measure) for result in results if result.arm == arm}
    return {seed: value for seed, value in found.items() if value is not None}


def differences(values: dict[int, float], reference: dict[int, float]) -> list[float]:
    """Differences to a reference with the same random seed."""
    return [values[seed] - reference[seed] for seed in sorted(values.keys() & reference.keys())]


def paired(values: dict[int, float], reference: dict[int, float]) -> Spread | None:
    """Mean and deviation of the differences, which is not the deviation of the two arms."""
    return spread(differences(values, reference))


def read_result(run: ArmRun) -> Result:
    """What a finished run has left in its folder."""
    from ktse.stages.classify import WENT_BACK  # loads torch

    if collapsed := run.collapse(CLASSIFY):
        return Result(run.arm.name, run.random_seed, collapsed=collapsed)
    folder = run.job.run
    evaluation = folder.evaluation()
    seed, mask, tags = evaluation["seed"], evaluation.get("mask") or {}, evaluation["tags"]
    oracle = seed["oracle"] or {}
    values = {
        "oracle": oracle.get("miou"),
        "oracle_threshold": oracle.get("threshold"),
        "miou": seed["miou"],
        "threshold": seed["threshold"],
        "tag_f1": tags["train"]["f1"],
        "tag_f1_validation": tags.get("validation", {}).get("f1"),
        "mask": mask.get("miou"),
        "mask_oracle": (mask.get("oracle") or {}).get("miou"),
        "seconds": folder.manifest()["classify"]["seconds"],
    }
    retries = sum(WENT_BACK in str(line.get("event", "")) for line in folder.steps("classify"))
    iou = dict(oracle.get("iou", {}))
    return Result(run.arm.name, run.random_seed, values, iou, masks_collapsed=run.collapse(REFINE), retries=retries)
