"""Pixel masks from image-level tags, and a segmentation model from those masks (KTSE, ECCV 2024).

The verbs of the command line are functions here: ``ktse.run("photos", tags="tags.csv", out="runs/photos")``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ktse._version import __version__ as __version__

__all__ = [
    "ablate",
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
    "phenomenon",
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

if TYPE_CHECKING:
    from ktse.api import (
        accept,
        adapt,
        affinity,
        check,
        classify,
        demo,
        evaluate,
        export,
        import_masks,
        import_weights,
        join,
        load,
        predict,
        refine,
        report,
        review,
        run,
        seed,
        segment,
        status,
        verify,
    )
    from ktse.research.ablate import ablate
    from ktse.research.phenomenon import phenomenon


def __getattr__(name: str) -> Any:
    """Load a verb when it is first used, so that importing ktse stays quick."""
    if name in __all__:
        part = f"ktse.research.{name}" if name in ("ablate", "phenomenon") else "ktse.api"
        return getattr(import_module(part), name)
    raise AttributeError(f"module 'ktse' has no attribute {name!r}")


def __dir__() -> list[str]:
    """The verbs, and the version."""
    return sorted([*__all__, "__version__"])
