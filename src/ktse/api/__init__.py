"""The verbs, the same in Python (`ktse.run(...)`) and in the shell (`ktse run ...`)."""

from ktse.api.results import accept, export, import_masks, import_weights, load, predict, review, status, verify
from ktse.api.stages import adapt, affinity, classify, evaluate, refine, report, seed, segment
from ktse.api.whole import check, demo, join, run

__all__ = [
    "accept",
    "adapt",
    "affinity",
    "check",
    "classify",
    "demo",
    "evaluate",
    "export",
    "import_masks",
    "import_weights",
    "join",
    "load",
    "predict",
    "refine",
    "report",
    "review",
    "run",
    "seed",
    "segment",
    "status",
    "verify",
]
