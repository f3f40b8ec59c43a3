"""Verbs that use what a run has made: its model, its masks, its state."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from ktse import pipeline
from ktse.api.arguments import Settings, Tags
from ktse.data.remote import refuse_url
from ktse.errors import RunError
from ktse.exporting.export import Wishes
from ktse.prediction.predictor import Predictor
from ktse.run_folder import RunFolder
from ktse.runtime.device import Device
from ktse.runtime.log import recording
from ktse.verbs.accept import Accepted, accept_masks
from ktse.verbs.export import export_run
from ktse.verbs.importing import import_into
from ktse.verbs.predict import open_model, predict_new
from ktse.verbs.review import review_run
from ktse.verbs.status import Status, read_status
from ktse.verbs.verify import Verified, verify_run
from ktse.verbs.work import do_stage

Format = Literal["onnx", "coco", "voc", "yolo", "cvat", "labelstudio"]


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
    named = [images] if isinstance(images, str | Path) else images or ()
    for place in named:
        refuse_url(place, "images to predict")
    given = [Path(place) for place in named]
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


def review(run: str | Path, *, port: int = 8350, no_browser: bool = False) -> Path:
    """Open the page where you look at the masks of a run, correct and accept them; Ctrl+C ends the page.

    Only this machine can open it. What you accept is in the run folder as corrections/ID.png, for --corrections.

    Args:
        run: run folder.
        port: of the page's address; 0 takes a free one.
        no_browser: print the address, and open no browser.
    """
    return review_run(Path(run), port, not no_browser)


def accept(run: str | Path, *, risk: float = 0.1, iou: float = 0.5) -> Accepted:
    """Accept masks unseen: the most confident ones, of which at most a share is expected to be bad.

    What you have checked on the page says how good the others are, as far as the page drew it by chance. The masks are
    marked as accepted by this command, not by you: nothing learns from them. The same again replaces the marks. Masks
    of images that are kept out of training, or have no tag, are left alone.

    Args:
        run: run folder.
        risk: share of the accepted masks that may be bad, above 0 and below 1.
        iou: a mask is bad if its IoU, the mean over the classes that are in it or should be (background aside), is
            below this; above 0, 1 at most.

    Raises:
        KtseError: too few masks were checked, or the page of the run is open.
    """
    return accept_masks(Path(run), risk, iou)


def status(run: str | Path) -> Status:
    """Say of each stage of a run whether it is done, what is stale and why; the verdict; and what comes next.

    Nothing is computed or changed; the images need not be there.

    Args:
        run: run folder.

    Raises:
        RunError: it is not a run folder, or it is damaged.
    """
    return read_status(RunFolder.existing(run))


def verify(run: str | Path, *, repair: bool = False) -> Verified:
    """Look at every file of a run: is it as ktse wrote it? All that is not is named at once.

    Args:
        run: run folder.
        repair: remove what is wrong, so that the next ktse run makes it again, and put back lost settings and records.

    Raises:
        RunError: it is not a run folder, or, if it is to be repaired, another ktse works there.
    """
    return verify_run(Path(run), repair)


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


def import_masks(run: str | Path, masks: str | Path, *, replace: bool = False, unchanged: bool = False) -> Path:
    """Take masks that were corrected in another tool into the corrections of a run, as accepted masks.

    Everything that is wrong is said at once, before anything is written. Masks that are the same as those of the run
    are left aside, since nobody may have looked at them.

    Args:
        run: run folder.
        masks: a folder of PNG files, or the file or folder that COCO, CVAT for images, Label Studio, labelme or YOLO
            has; also what `ktse export` wrote.
        replace: replace corrections that are there already.
        unchanged: accept masks that are the same as those of the run, too.

    Returns:
        the folder of the corrections.

    Raises:
        KtseError: a mask cannot be used or fits no image, a class is unknown, a correction would be replaced, or the
            page of the run is open.
    """
    return import_into(Path(run), Path(masks), replace=replace, unchanged=unchanged)


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
