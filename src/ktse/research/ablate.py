"""The verb ablate."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ktse._version import __version__
from ktse.checking.extras import require_extras
from ktse.errors import RecipeError, RunError
from ktse.pipeline import stages_of
from ktse.recipe.load import given_recipe
from ktse.research.ablation_tables import Summary, write_all
from ktse.research.arms import NAMES, all_arms, choose
from ktse.research.results import read_result
from ktse.research.runs import ArmRun, do_runs, make_runs
from ktse.runtime.device import Device, on_device
from ktse.runtime.lock import locked, refuse_locked
from ktse.runtime.log import recording
from ktse.runtime.processes import rank
from ktse.runtime.words import many


def ablate(
    images: str | Path,
    *,
    tags: str | Path | None = None,
    masks: str | Path,
    out: str | Path,
    recipe: str | Path = "thorough",
    weights: str | None = None,
    tables: str = ",".join(NAMES),
    random_seeds: int = 3,
    device: Device = "auto",
    pseudo_masks: bool = False,
    skip_bad: bool = False,
    settings: Mapping[str, Any] | None = None,
) -> Path:
    """Measure the paper's ablation tables on a data set, with several random seeds, beside the paper's figures.

    Each arm and random seed is an ordinary run folder in OUT/runs. The same call again does what is left; with
    torchrun, each process does its share on a device of its own.

    Args:
        images: folder of images, or the root of a data set (class subfolders, VOC, COCO).
        tags: file of tags (CSV, TSV, JSON, list, COCO); without it, the folder must say what is in its images.
        masks: folder of true masks, or a COCO file, for measuring only.
        out: folder of the tables and the runs; made if it does not exist.
        recipe: thorough, demo, another one, or the path of a YAML file; the last arm of the elements is this recipe
            as it is.
        weights: initial weights of the backbone: a file, hub (timm's download) or none.
        tables: some of elements, alignment, sie, sensitivity, and YAML files with arms of your own, joined by commas.
        random_seeds: how many, from compute.random_seed on.
        device: what computes: auto (a GPU if there is one), cpu, cuda or mps.
        pseudo_masks: also refine, and measure the pseudo-masks.
        skip_bad: leave out images that cannot be read, instead of stopping.
        settings: changes to the recipe of every arm, such as {"classify.epochs": 5}.

    Returns:
        ablation.md; ablation.csv and ablation.svg are beside it.

    Raises:
        KtseError: what is wrong, where, and what to do next.
    """
    base = given_recipe(recipe, settings, images, tags, masks, weights, skip_bad)
    folder = Path(out)
    if random_seeds < 1:
        raise RecipeError(f"random_seeds is {random_seeds}, but must be 1 or more")
    if base.classify.warmup >= base.classify.epochs:
        hint = "Leave epochs after the warm-up, or give another --recipe."
        raise RecipeError("classify.warmup equals classify.epochs: all arms would be the same", hint=hint)
    _refuse_strange(folder)
    chosen = choose([name.strip() for name in tables.split(",") if name.strip()], base.classify)
    runs = make_runs(base, all_arms(chosen), random_seeds, folder)
    _ = runs[0].job.data, runs[0].job.given.truth  # bad input is said before anything is written
    if pseudo_masks:
        require_extras(base, stages_of(base))
    refuse_locked(folder)
    summary = _summary(runs, str(recipe), random_seeds)

    def write() -> None:
        if rank() == 0:
            finished = [read_result(run) for run in runs if run.finished(pseudo_masks)]
            write_all(folder, chosen, finished, summary)

    with recording() as log, on_device(device), locked(folder):
        log.keep(folder / "log.txt")
        do_runs(runs, pseudo_masks, write)
        write()
    return folder / "ablation.md"


def _refuse_strange(folder: Path) -> None:
    # Of the processes of one torchrun the first one looks: another may find what the first has begun to write.
    used = rank() == 0 and folder.exists() and (not folder.is_dir() or any(folder.iterdir()))
    if used and not (folder / "runs").is_dir():
        raise RunError(f"{folder} exists and holds no ablation", hint="Give another --out, or remove it.")


def _summary(runs: list[ArmRun], recipe: str, random_seeds: int) -> Summary:
    job = runs[0].job
    data, truth, classify = job.data, job.given.truth, job.recipe.classify
    first = job.recipe.compute.random_seed
    measured = len(truth.paths) if truth is not None else 0
    numbers = list(range(first, first + random_seeds))
    lines = [
        f"Data: {many(len(data), 'image')}, {many(len(data.classes), 'class', 'classes')}; measured on "
        f"{many(measured, 'true mask')}, never seen in training. Recipe `{recipe}`: {classify.backbone}, "
        f"{many(classify.epochs, 'epoch')}, at most {classify.warmup} of them warm-up, the same for all arms of a "
        f"random seed. Random seeds: {', '.join(map(str, numbers))}. ktse {__version__}.",
        "",
        "Mean ± standard deviation over the random seeds. *Against*: differences paired by random seed, and their "
        "standard deviation. The oracle threshold is chosen on the true masks, the label-free one without them. A run "
        "that collapsed is counted, and has no value. The paper's figures are for PASCAL VOC 2012 with WideResNet-38: "
        "their order and gains can be compared with these, their height cannot.",
    ]
    return Summary(lines, numbers, ["background", *data.classes])
