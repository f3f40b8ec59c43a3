"""Verbs that do one stage of a run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ktse import pipeline
from ktse.api.arguments import Settings, with_setting
from ktse.run_folder import RunFolder
from ktse.runtime.device import Device
from ktse.staleness import Stage
from ktse.verbs.work import do_stage


def _verb(stage: Stage) -> Callable[..., RunFolder]:
    """The verb of a stage that takes nothing but its settings."""

    def verb(run: str | Path, *, device: Device = "auto", settings: Settings | None = None) -> RunFolder:
        return do_stage(stage, run, settings, device)

    verb.__name__ = verb.__qualname__ = stage.name
    verb.__doc__ = f"""{stage.do.__doc__}

    Args:
        run: run folder.
        device: what computes: auto (a GPU if there is one), cpu, cuda or mps.
        settings: changes to the recipe.
    """
    return verb


classify, seed, affinity = (_verb(stage) for stage in (pipeline.CLASSIFY, pipeline.SEED, pipeline.AFFINITY))


def refine(
    run: str | Path, *, calibrate: str | Path | None = None, device: Device = "auto", settings: Settings | None = None
) -> RunFolder:
    """Make masks from the class activation maps of a run.

    Args:
        run: run folder.
        calibrate: folder of a handful of true masks that choose the background threshold; they are not measured with.
        device: what computes: auto (a GPU if there is one), cpu, cuda or mps.
        settings: changes to the recipe.
    """
    return do_stage(pipeline.REFINE, run, with_setting("refine.calibrate", calibrate, settings), device)


def segment(run: str | Path, *, device: Device = "auto", settings: Settings | None = None) -> RunFolder:
    """Train the segmentation model on the masks of a run.

    Args:
        run: run folder.
        device: what computes: auto (a GPU if there is one), cpu, cuda or mps.
        settings: changes to the recipe.
    """
    return do_stage(pipeline.SEGMENT, run, settings, device)


def adapt(
    run: str | Path, *, corrections: str | Path | None = None, device: Device = "auto", settings: Settings | None = None
) -> RunFolder:
    """Let the segmentation model of a run learn from masks that you have corrected.

    Args:
        run: run folder.
        corrections: folder of these masks, named like those in the run's masks/; without it, those of the last time.
        device: what computes: auto (a GPU if there is one), cpu, cuda or mps.
        settings: changes to the recipe.

    Raises:
        RecipeError: no corrections were ever given.
    """
    return do_stage(pipeline.ADAPT, run, with_setting("segment.corrections", corrections, settings), device)


def evaluate(run: str | Path, *, masks: str | Path | None = None) -> dict[str, Any]:
    """Measure tags, seeds, masks and predictions of a run.

    Args:
        run: run folder.
        masks: folder of true masks, if the run was made without.

    Returns:
        the content of evaluation.json.
    """
    settings = None if masks is None else {"truth": {"masks": str(masks)}}
    folder = do_stage(pipeline.EVALUATE, run, settings)
    return folder.evaluation()


def report(run: str | Path) -> Path:
    """Write the report of a run; returns the HTML file.

    Args:
        run: run folder.
    """
    return do_stage(pipeline.REPORT, run, None).path("report.html")
