"""The verbs, the same in Python (`ktse.run(...)`) and in the shell (`ktse run ...`)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from ktse.checking import check_run
from ktse.data.check import Checked, check_images
from ktse.data.forms import open_data
from ktse.data.masks import open_truth
from ktse.data.scenes import make_scenes
from ktse.disk import maps_need
from ktse.errors import RunError
from ktse.finished import of_other_images
from ktse.pipeline import Job, meet, run_all
from ktse.prediction.files import predict_folder, predict_tagged
from ktse.prediction.predictor import Predictor
from ktse.prediction.video import is_video, predict_video
from ktse.processes import rank
from ktse.recipe import DataRecipe, PredictRecipe
from ktse.run_folder import RunFolder, read_json
from ktse.settings import absolute, changed, given_data, given_recipe, load_recipe
from ktse.using import images_of, keep_apart, model_file, require_sound, say_verdict

Settings = Mapping[str, Any]
Format = Literal["onnx", "coco", "voc", "yolo", "cvat", "labelstudio"]


def run(
    images: str | Path,
    *,
    tags: str | Path | None = None,
    out: str | Path,
    recipe: str | Path = "fast",
    weights: str | None = None,
    masks: str | Path | None = None,
    calibrate: str | Path | None = None,
    corrections: str | Path | None = None,
    skip_bad: bool = False,
    settings: Settings | None = None,
) -> RunFolder:
    """Do the whole job: check, classify, seed, refine, segment, predict, evaluate, report.

    The refiner irn adds the stage affinity before refine.

    The same call again on the same run folder does what is left, or what a changed setting invalidates.

    Args:
        images: folder of images, or the root of a data set (class subfolders, VOC, COCO).
        tags: file of tags (CSV, TSV, JSON, list, COCO); without it, the folder must say what is in its images.
        out: run folder; made if it does not exist.
        recipe: fast, demo, one of the paper's (voc12, voc12-official, coco14 ...), or the path of a YAML file.
        weights: initial weights of the backbone: a file, hub (timm's download) or none.
        masks: folder of true masks, or a COCO file, for measuring only.
        calibrate: folder of a handful of true masks that choose the background threshold; they are not measured with.
        corrections: folder of masks that you have corrected (named like those in the run's masks/), which the
            segmentation model learns from in place of the run's own.
        skip_bad: leave out images that cannot be read, instead of stopping.
        settings: changes to the recipe, such as {"classify.epochs": 5}.

    Returns:
        the run folder.

    Raises:
        KtseError: what is wrong, where, and what to do next.
    """
    folder = RunFolder(out)
    used = folder.root.exists() and (not folder.root.is_dir() or any(folder.root.iterdir()))
    if used and not (folder.root / "recipe.yaml").is_file():
        raise RunError(f"{folder.root} exists and is not a run folder", hint="Give another --out, or remove it.")
    changes = _with("segment.corrections", corrections, _with("refine.calibrate", calibrate, settings))
    job = Job(folder, given_recipe(recipe, changes, images, tags, masks, weights, skip_bad))
    _ = job.data, job.truth, job.calibration, job.corrections  # bad input is said before anything is written
    if other := of_other_images(folder, job.data.ids):
        raise RunError(
            f"{folder.root} is the run of other images", where=other, hint="Give another --out, or remove that run."
        )
    job.require_extras()
    _begin(job)
    run_all(job)
    if rank() == 0:
        say_verdict(folder)
    return folder


def demo(*, out: str | Path = "runs/demo", images: int = 240, settings: Settings | None = None) -> RunFolder:
    """Do the whole job on drawn scenes, without any download.

    Args:
        out: run folder; the scenes are drawn beside it.
        images: number of scenes.
        settings: changes to the recipe, such as {"classify.epochs": 5}.

    Raises:
        KtseError: what is wrong, where, and what to do next.
    """
    if images < 2:
        raise RunError(f"images is {images}, but must be 2 or more")
    scenes = Path(out).parent / f"{Path(out).name}-scenes"
    try:
        make_scenes(scenes, images=images)
    except FileExistsError as error:
        raise RunError(str(error), hint=f"Remove {scenes}, or give another --out.") from error
    return run(
        scenes / "images", tags=scenes / "tags.csv", out=out, recipe="demo", masks=scenes / "masks", settings=settings
    )


def check(
    images: str | Path,
    *,
    tags: str | Path | None = None,
    masks: str | Path | None = None,
    skip_bad: bool = False,
    recipe: str | Path = "fast",
    settings: Settings | None = None,
) -> Checked:
    """Say what is in a data set and what is wrong with it; of a run, after classify, which tags are doubtful.

    Args:
        images: folder of images, or the root of a data set (class subfolders, VOC, COCO), or a run folder.
        tags: file of tags (CSV, TSV, JSON, list, COCO); without it, the folder must say what is in its images.
        masks: folder of true masks, or a COCO file, to compare with the tags.
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
        return check_run(RunFolder(images), masks, skip_bad, settings or {})
    whole = changed(load_recipe(recipe, settings), {"data": given_data(images, tags, skip_bad)})
    data = open_data(whole.data)
    truth = open_truth(Path(masks), data) if masks is not None else None
    checked = check_images(data, truth, skip_bad=whole.data.skip_bad)
    need = maps_need(checked.images, len(data.classes), checked.pixels, checked.tagged_pixels, whole)
    return dataclasses.replace(checked, disk=need)


def classify(run: str | Path, *, settings: Settings | None = None) -> RunFolder:
    """Train the classification network on the tags of a run.

    Args:
        run: run folder.
        settings: changes to the recipe.
    """
    return _stage("classify", run, settings)


def seed(run: str | Path, *, settings: Settings | None = None) -> RunFolder:
    """Compute the class activation maps of a run's images.

    Args:
        run: run folder.
        settings: changes to the recipe.
    """
    return _stage("seed", run, settings)


def affinity(run: str | Path, *, settings: Settings | None = None) -> RunFolder:
    """Train the boundary network that the refiner irn needs on the confident seeds of a run.

    Args:
        run: run folder.
        settings: changes to the recipe.
    """
    return _stage("affinity", run, settings)


def refine(run: str | Path, *, calibrate: str | Path | None = None, settings: Settings | None = None) -> RunFolder:
    """Make masks from the class activation maps of a run.

    Args:
        run: run folder.
        calibrate: folder of a handful of true masks that choose the background threshold; they are not measured with.
        settings: changes to the recipe.
    """
    return _stage("refine", run, _with("refine.calibrate", calibrate, settings))


def segment(run: str | Path, *, corrections: str | Path | None = None, settings: Settings | None = None) -> RunFolder:
    """Train the segmentation model on the masks of a run.

    Args:
        run: run folder.
        corrections: folder of masks that you have corrected (named like those in the run's masks/), which the
            segmentation model learns from in place of the run's own.
        settings: changes to the recipe.
    """
    return _stage("segment", run, _with("segment.corrections", corrections, settings))


def predict(
    run: str | Path,
    images: str | Path | None = None,
    *,
    out: str | Path | None = None,
    tags: str | Path | None = None,
    settings: Settings | None = None,
) -> list[Path]:
    """Segment images without tags: any image or folder, or, without one, the run's own images.

    The run's own images, which have tags and masks, get fused masks besides (fused/ID.png).

    Args:
        run: run folder, segment/model.safetensors of one, or an exported .onnx (which needs no torch).
        images: an image, a folder of images, or a video (which needs the extra video).
        out: folder for the predictions; what is finished there is left alone.
        tags: file of the tags of these images, if they are known: no image gets a class that it is not tagged with.
        settings: changes to the recipe; given together with images they hold for this call only.

    Returns:
        the prediction files.
    """
    if images is None:
        if tags is not None:
            raise RunError("the tags of the run's own images are known", hint="Give images, or leave --tags out.")
        folder = _stage("predict", run, settings)
        return sorted(folder.path("predictions").rglob("*.png"))
    if out is None:
        raise RunError("a folder for the predictions is missing", hint="Give --out DIR.")
    keep_apart(Path(images), Path(out))
    data = None if tags is None else open_data(DataRecipe(images=str(images), tags=str(tags)))
    predictor, given = load(run, settings=settings), Path(images)
    if data is not None:
        return predict_tagged(predictor, data, Path(out))
    if given.is_file() and is_video(given):
        return predict_video(predictor, given, Path(out))
    return predict_folder(predictor, given, Path(out))


def load(path: str | Path, *, settings: Settings | None = None) -> Predictor:
    """Open a segmentation model: ktse.load("runs/photos").predict("new.jpg").label.

    Args:
        path: run folder, segment/model.safetensors of one, or an exported .onnx (which needs no torch).
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
    folder = _stage("evaluate", run, settings)
    content: dict[str, Any] = read_json(folder.path("evaluation.json"))
    return content


def report(run: str | Path) -> Path:
    """Write the report of a run.

    Args:
        run: run folder.

    Returns:
        the HTML file.
    """
    return _stage("report", run, None).path("report.html")


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
    from ktse.exporting.export import Wishes, export_file, export_model, export_run_masks

    place, wishes = None if out is None else Path(out), Wishes(int8, simplify, prefix)
    wishes.check(format)
    if format == "onnx" and Path(run).suffix == ".safetensors":
        return export_file(Path(run), PredictRecipe(), place or Path(run).with_suffix(".onnx"), int8=int8)
    folder = RunFolder.existing(run)
    job = Job(folder, folder.read_recipe())
    if format == "onnx":
        require_sound(folder, job.recipe, "segment")
        say_verdict(folder)
        where = place or folder.path("export", "model.onnx")
        return export_model(folder, lambda: job.data, job.recipe.predict, where, int8)
    data = images_of(job)
    job.look_again()
    require_sound(folder, job.recipe, "refine")
    say_verdict(folder)
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
    from ktse.importing import import_weights as convert_file  # loads torch

    convert_file(Path(file), Path(out))
    return Path(out)


def _stage(stage: str, run: str | Path, settings: Settings | None) -> RunFolder:
    folder = RunFolder.existing(run)
    job = Job(folder, absolute(changed(folder.read_recipe(), settings or {})))
    if stage == "refine":
        _ = job.calibration  # bad input is said before anything is written
    if stage == "segment":
        _ = job.corrections
    if stage == "evaluate":
        _ = job.truth
    job.require_extras([stage])
    _begin(job)
    job.do(stage)
    return folder


def _begin(job: Job) -> None:
    meet()  # every process has looked at the run folder before the first one writes
    if rank() == 0:
        job.run.write_recipe(job.recipe)


def _with(name: str, folder: str | Path | None, settings: Settings | None) -> Settings:
    """Settings, and a folder that a verb was given as one more of them."""
    return {**(settings or {}), **({} if folder is None else {name: str(folder)})}


def _has_fused(job: Job) -> bool:
    return bool(job.recipe.predict.fuse) and job.state("predict") == "done"
