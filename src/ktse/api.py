"""The verbs, the same in Python (`ktse.run(...)`) and in the shell (`ktse run ...`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from ktse import pipeline
from ktse.checking.check import Checked
from ktse.data.readers.data_frame import tags_as_file
from ktse.errors import RunError
from ktse.exporting.export import Wishes
from ktse.job import Job
from ktse.prediction.predictor import Predictor
from ktse.recipe.load import given_recipe, load_recipe
from ktse.run_folder import RunFolder
from ktse.runtime.device import Device, on_device
from ktse.runtime.lock import refuse_locked
from ktse.runtime.log import recording
from ktse.staleness import Stage
from ktse.verbs.check import check_data
from ktse.verbs.export import export_run
from ktse.verbs.predict import open_model, predict_new
from ktse.verbs.review import review_run
from ktse.verbs.status import Status, read_status
from ktse.verbs.verdict import say_end
from ktse.verbs.work import do_stage, make_ready, refuse_strange, scenes_beside, working

Settings = Mapping[str, Any]
Tags = Any
"""A file of tags as str or Path, or a table in memory with columns, such as a pandas DataFrame; or None."""

Format = Literal["onnx", "coco", "voc", "yolo", "cvat", "labelstudio"]


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
        images: folder of images, or the root of a data set (class subfolders, VOC, COCO).
        tags: file of tags (CSV, TSV, JSON, list, COCO), or a DataFrame, which is kept in the run folder as tags.csv;
            without it, the folder must say what is in its images.
        out: run folder; made if it does not exist.
        recipe: fast, thorough, demo, one of the paper's (voc12, voc12-official, coco14 ...), or the path of a YAML
            file.
        weights: initial weights of the backbone: a file, hub (timm's download) or none.
        masks: folder of true masks, or a COCO file, for measuring only.
        calibrate: folder of a handful of true masks that choose the background threshold; they are not measured with.
        corrections: folder of masks that you have corrected (named like those in the run's masks/), which the
            segmentation model learns from in place of the run's own.
        device: what computes: auto (a GPU if there is one), cpu, cuda or mps.
        skip_bad: leave out images that cannot be read, instead of stopping.
        settings: changes to the recipe, such as {"classify.epochs": 5}.

    Returns:
        the run folder.
    """
    folder = RunFolder(out)
    changes = _with("segment.corrections", corrections, _with("refine.calibrate", calibrate, settings))
    with recording() as log, on_device(device):
        refuse_locked(folder.root)
        refuse_strange(folder.root)
        with tags_as_file(tags, folder.path("tags.csv")) as table:
            job = Job(folder, given_recipe(recipe, changes, images, table, masks, weights, skip_bad))
            make_ready(job)
        with working(job, log):
            pipeline.run_all(job)
        log.at_end(lambda: say_end(folder))
    return folder


def demo(
    *, out: str | Path = "runs/demo", images: int = 240, device: Device = "auto", settings: Settings | None = None
) -> RunFolder:
    """Do the whole job on drawn scenes, without any download.

    Args:
        out: run folder; the scenes are drawn beside it.
        images: number of scenes.
        device: what computes: auto (a GPU if there is one), cpu, cuda or mps.
        settings: changes to the recipe, such as {"classify.epochs": 5}.
    """
    scenes = scenes_beside(Path(out), images)
    return run(
        scenes / "images",
        tags=scenes / "tags.csv",
        out=out,
        recipe="demo",
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
    """Say what is in a data set and what is wrong with it; of a run, after classify, which tags are doubtful.

    Args:
        images: folder of images, or the root of a data set (class subfolders, VOC, COCO), or a run folder.
        tags: file of tags (CSV, TSV, JSON, list, COCO), or a DataFrame; without it, the folder must say what is in its
            images.
        masks: folder of true masks, or a COCO file, to compare with the tags.
        device: what finds doubtful tags: auto (a GPU if there is one), cpu, cuda or mps.
        skip_bad: images that cannot be read are warnings, not errors.
        recipe: whose run's need of disk is estimated.
        settings: changes to the recipe's data settings, such as {"data.separator": " "}.

    Returns:
        counts, errors and warnings.

    Raises:
        KtseError: the table does not fit the images, or the masks do not.
    """
    return check_data(images, tags, masks, device, skip_bad, load_recipe(recipe, settings), settings or {})


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
    return do_stage(pipeline.REFINE, run, _with("refine.calibrate", calibrate, settings), device)


def segment(
    run: str | Path, *, corrections: str | Path | None = None, device: Device = "auto", settings: Settings | None = None
) -> RunFolder:
    """Train the segmentation model on the masks of a run.

    Args:
        run: run folder.
        corrections: folder of masks that you have corrected (named like those in the run's masks/), which the
            segmentation model learns from in place of the run's own.
        device: what computes: auto (a GPU if there is one), cpu, cuda or mps.
        settings: changes to the recipe.
    """
    return do_stage(pipeline.SEGMENT, run, _with("segment.corrections", corrections, settings), device)


def predict(
    run: str | Path,
    images: str | Path | Sequence[str | Path] | None = None,
    *,
    out: str | Path | None = None,
    tags: Tags = None,
    device: Device = "auto",
    settings: Settings | None = None,
) -> list[Path]:
    """Segment images without tags: any images or a folder of them, or, without any, the run's own images.

    The run's own images, which have tags and masks, get fused masks besides (fused/ID.png).

    Args:
        run: run folder, segment/model.safetensors of one, or an exported .onnx (which needs no torch).
        images: an image or several, a folder of images, or a video (which needs the extra video).
        out: folder for the predictions; what is finished there is left alone.
        tags: file (or DataFrame) of the tags of the images in a folder, if they are known: no image gets a class that
            it is not tagged with.
        device: what computes: auto (a GPU if there is one), cpu, cuda or mps.
        settings: changes to the recipe; given together with images they hold for this call only.

    Returns:
        the prediction files.
    """
    given = [Path(images)] if isinstance(images, str | Path) else [Path(image) for image in images or ()]
    if not given:
        if tags is not None:
            raise RunError("the tags of the run's own images are known", hint="Give images, or leave --tags out.")
        folder = do_stage(pipeline.PREDICT, run, settings, device)
        return sorted(folder.path("predictions").rglob("*.png"))
    if out is None:
        raise RunError("a folder for the predictions is missing", hint="Give --out DIR.")
    with recording():
        return predict_new(run, given, Path(out), tags, lambda: load(run, device=device, settings=settings))


def load(path: str | Path, *, device: Device = "auto", settings: Settings | None = None) -> Predictor:
    """Open a segmentation model: ktse.load("runs/photos").predict("new.jpg").label.

    Args:
        path: run folder, segment/model.safetensors of one, or an exported .onnx (which needs no torch).
        device: what computes: auto (a GPU if there is one), cpu, cuda or mps.
        settings: changes to how it is applied, such as {"predict.flip": False}.

    Raises:
        KtseError: there is no such model.
    """
    return open_model(Path(path), device, settings or {})


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


def review(run: str | Path, *, port: int = 8350, no_browser: bool = False) -> Path:
    """Open the page where you look at the masks of a run, correct and accept them; Ctrl+C ends the page.

    Only this machine can open it. What you accept is in the run folder as corrections/ID.png, for --corrections.

    Args:
        run: run folder.
        port: of the page's address; 0 takes a free one.
        no_browser: print the address, and open no browser.
    """
    return review_run(Path(run), port, not no_browser)


def status(run: str | Path) -> Status:
    """Say of each stage of a run whether it is done, what is stale and why; the verdict; and what comes next.

    Nothing is computed or changed; the images need not be there.

    Args:
        run: run folder.

    Raises:
        RunError: it is not a run folder, or it is damaged.
    """
    return read_status(RunFolder.existing(run))


def export(
    run: str | Path,
    *,
    format: Format = "onnx",
    out: str | Path | None = None,
    int8: bool = False,
    simplify: float = 0.0,
    prefix: str | None = None,
) -> Path:
    """Take the segmentation model of a run elsewhere (onnx), or its masks (the other formats).

    Masks are the fused ones if the run has them. The ONNX model does all that `ktse predict` does to a photo, takes any
    size and batch, and is compared with `ktse predict` first.

    Args:
        run: run folder; for onnx also segment/model.safetensors of one.
        format: onnx, coco, voc, yolo, cvat or labelstudio.
        out: file of the ONNX model, or folder of the masks; without it, in the run folder.
        int8: quantise the ONNX model to eight bits; says how many labels that keeps.
        simplify: pixels by which polygons may leave the edge of the mask, for fewer points; 0: exact. With coco and
            cvat, polygons take the place of exact pixels.
        prefix: what stands before the name of an image in Label Studio's tasks, such as s3://bucket/ (by default, the
            place of local files).

    Returns:
        the file, of several the main one.

    Raises:
        KtseError: there is nothing to export, a stage failed or is stale, the format cannot hold some names, or the
            exported model does not give the same.
    """
    return export_run(Path(run), format, None if out is None else Path(out), Wishes(int8, simplify, prefix))


def import_weights(file: str | Path, *, out: str | Path) -> Path:
    """Turn weights from elsewhere into a file for --weights: MXNet .params, PyTorch .pth, or safetensors.

    Args:
        file: the file; the published ResNet-38 weights and KTSE checkpoint are recognised.
        out: the .safetensors file to write.

    Returns:
        the file that was written.

    Raises:
        DataError: the file cannot be read or used.
    """
    from ktse.models.import_weights import import_weights as convert_file  # loads torch

    convert_file(Path(file), Path(out))
    return Path(out)


def _with(name: str, folder: str | Path | None, settings: Settings | None) -> Settings:
    """Settings, and a folder that a verb was given as one more of them."""
    return {**(settings or {}), **({} if folder is None else {name: str(folder)})}
