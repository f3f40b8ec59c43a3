"""The verbs, the same in Python (`ktse.run(...)`) and in the shell (`ktse run ...`)."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from ktse.checking.check import Checked, check_images
from ktse.checking.disk import maps_need
from ktse.data.demo.scenes import make_scenes
from ktse.data.masks import open_truth
from ktse.data.open import open_data
from ktse.data.readers.data_frame import tags_as_file
from ktse.errors import RunError
from ktse.pipeline import Job, run_all
from ktse.prediction.files import predict_folder, predict_tagged
from ktse.prediction.predictor import Predictor
from ktse.prediction.several import check_several, predict_several
from ktse.prediction.video import is_video, predict_video
from ktse.recipe import DataRecipe, PredictRecipe
from ktse.recipe.load import changed, given_data, given_recipe, load_recipe
from ktse.run_folder import RunFolder
from ktse.runtime.console import say
from ktse.runtime.device import Device, on_device
from ktse.runtime.lock import refuse_locked
from ktse.runtime.log import recording
from ktse.verbs.check_run import check_run
from ktse.verbs.status import Status, read_status
from ktse.verbs.using import images_of, keep_apart, model_file, require_sound, say_end, say_verdict
from ktse.verbs.working import do_stage, make_ready, refuse_strange, working

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
        recipe: fast, demo, one of the paper's (voc12, voc12-official, coco14 ...), or the path of a YAML file.
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

    Raises:
        KtseError: what is wrong, where, and what to do next.
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
            run_all(job)
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

    Raises:
        KtseError: what is wrong, where, and what to do next.
    """
    if images < 2:
        raise RunError(f"images is {images}, but must be 2 or more")
    refuse_locked(Path(out))
    scenes = Path(out).parent / f"{Path(out).name}-scenes"
    try:
        make_scenes(scenes, images=images)
    except FileExistsError as error:
        raise RunError(str(error), hint=f"Remove {scenes}, or give another --out.") from error
    return run(
        scenes / "images", tags=scenes / "tags.csv", out=out, recipe="demo", masks=scenes / "masks", device=device,
        settings=settings,
    )  # fmt: skip


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
    if (Path(images) / "recipe.yaml").is_file():
        if tags is not None:
            raise RunError(f"{images} is a run folder, which knows its tags", hint="Leave --tags out.")
        with recording(), on_device(device):
            return check_run(RunFolder(images), masks, skip_bad, settings or {})
    with tempfile.TemporaryDirectory() as place, tags_as_file(tags, Path(place, "tags.csv")) as table:
        whole = changed(load_recipe(recipe, settings), {"data": given_data(images, table, skip_bad)})
        data = open_data(whole.data)
        truth = open_truth(Path(masks), data) if masks is not None else None
        checked = check_images(data, truth, skip_bad=whole.data.skip_bad)
    need = maps_need(checked.images, len(data.classes), checked.pixels, checked.tagged_pixels, whole)
    return dataclasses.replace(checked, disk=need)


def classify(run: str | Path, *, device: Device = "auto", settings: Settings | None = None) -> RunFolder:
    """Train the classification network on the tags of a run.

    Args:
        run: run folder.
        device: what computes: auto (a GPU if there is one), cpu, cuda or mps.
        settings: changes to the recipe.
    """
    return do_stage("classify", run, settings, device)


def seed(run: str | Path, *, device: Device = "auto", settings: Settings | None = None) -> RunFolder:
    """Compute the class activation maps of a run's images.

    Args:
        run: run folder.
        device: what computes: auto (a GPU if there is one), cpu, cuda or mps.
        settings: changes to the recipe.
    """
    return do_stage("seed", run, settings, device)


def affinity(run: str | Path, *, device: Device = "auto", settings: Settings | None = None) -> RunFolder:
    """Train the boundary network that the refiner irn needs on the confident seeds of a run.

    Args:
        run: run folder.
        device: what computes: auto (a GPU if there is one), cpu, cuda or mps.
        settings: changes to the recipe.
    """
    return do_stage("affinity", run, settings, device)


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
    return do_stage("refine", run, _with("refine.calibrate", calibrate, settings), device)


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
    return do_stage("segment", run, _with("segment.corrections", corrections, settings), device)


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
        folder = do_stage("predict", run, settings, device)
        return sorted(folder.path("predictions").rglob("*.png"))
    if out is None:
        raise RunError("a folder for the predictions is missing", hint="Give --out DIR.")
    with recording():
        return _predict_new(run, given, Path(out), tags, device, settings)


def _predict_new(
    run: str | Path, images: list[Path], out: Path, tags: Tags, device: Device, settings: Settings | None
) -> list[Path]:
    """Segment images that are not those of the run."""
    if len(images) > 1:
        check_several(images)
        if tags is not None:
            raise RunError("tags are those of a folder of images", hint="Give one folder, or leave --tags out.")
    for path in images:
        keep_apart(path, out)
    first, data = images[0], None
    if tags is not None:
        with tempfile.TemporaryDirectory() as place, tags_as_file(tags, Path(place, "tags.csv")) as table:
            data = open_data(_read_alike(run, first, table))
    predictor = load(run, device=device, settings=settings)
    if data is not None:
        return predict_tagged(predictor, data, out)
    if len(images) > 1:
        return predict_several(predictor, images, out)
    if first.is_file() and is_video(first):
        return predict_video(predictor, first, out)
    return predict_folder(predictor, first, out)


def _read_alike(run: str | Path, images: Path, tags: str | Path | None) -> DataRecipe:
    """Other images and tags, read like those of the run: the same columns, separators and names that mean no tag."""
    given = RunFolder(run).read_recipe().data if (Path(run) / "recipe.yaml").is_file() else DataRecipe()
    return DataRecipe(
        images=str(images),
        tags=str(tags),
        rows=given.rows,
        separator=given.separator,
        no_tag=given.no_tag,
        image_column=given.image_column,
        tag_column=given.tag_column,
    )


def load(path: str | Path, *, device: Device = "auto", settings: Settings | None = None) -> Predictor:
    """Open a segmentation model: ktse.load("runs/photos").predict("new.jpg").label.

    Args:
        path: run folder, segment/model.safetensors of one, or an exported .onnx (which needs no torch).
        device: what computes: auto (a GPU if there is one), cpu, cuda or mps.
        settings: changes to how it is applied, such as {"predict.flip": False}.

    Raises:
        KtseError: there is no such model.
    """
    path = Path(path)
    if path.suffix == ".onnx":
        from ktse.prediction.onnx import OnnxModel

        exported = OnnxModel(path)
        return Predictor(exported, exported.recipe(settings or {}))
    from ktse.stages.predict import TorchModel  # loads torch

    path, recipe = model_file(path, settings or {})
    with on_device(device):
        return Predictor(TorchModel(path, recipe.precision), recipe)


def evaluate(run: str | Path, *, masks: str | Path | None = None) -> dict[str, Any]:
    """Measure tags, seeds, masks and predictions of a run.

    Args:
        run: run folder.
        masks: folder of true masks, if the run was made without.

    Returns:
        the content of evaluation.json.
    """
    settings = None if masks is None else {"truth": {"masks": str(masks)}}
    folder = do_stage("evaluate", run, settings)
    return folder.evaluation()


def report(run: str | Path) -> Path:
    """Write the report of a run.

    Args:
        run: run folder.

    Returns:
        the HTML file.
    """
    return do_stage("report", run, None).path("report.html")


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
    from ktse.exporting.export import Wishes, check_place, export_file, export_model, export_run_masks

    place, wishes = None if out is None else Path(out), Wishes(int8, simplify, prefix)
    wishes.check(format)
    if place is not None:
        check_place(place, format)
    if format == "onnx" and Path(run).suffix == ".safetensors":
        say(f"{run}: exported with the default predict settings, as a file alone has none; a run folder has its own")
        return export_file(Path(run), PredictRecipe(), place or Path(run).with_suffix(".onnx"), int8=int8)
    folder = RunFolder.existing(run)
    job = Job(folder, folder.read_recipe())
    if format == "onnx":
        require_sound(folder, job.recipe, "segment")
        say_verdict(folder, "model")
        where = place or folder.path("export", "model.onnx")
        return export_model(folder, lambda: job.data, job.recipe.predict, where, int8)
    data = images_of(job)
    job.look_again()
    require_sound(folder, job.recipe, "refine")
    say_verdict(folder, "masks")
    return export_run_masks(folder, data, format, place or folder.path("export", format), _has_fused(job), wishes)


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


def _has_fused(job: Job) -> bool:
    return bool(job.recipe.predict.fuse) and job.state("predict") == "done"
