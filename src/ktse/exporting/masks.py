"""The masks of a run in the formats of other tools. Undecided pixels belong to no class; VOC keeps them as 255."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from ktse.data.dataset import TaggedImages
from ktse.errors import ExportError, RunError
from ktse.exporting.masked import Masked, Style
from ktse.exporting.pixel_formats import coco, cvat, voc
from ktse.exporting.polygon_formats import label_studio, yolo
from ktse.exporting.simplify import Simplifier
from ktse.exporting.unfit_names import unfit
from ktse.files import read_label_map, write_text
from ktse.quality.verdict import Verdict, read_verdict
from ktse.run_folder import RunFolder
from ktse.runtime.console import say, track
from ktse.runtime.words import many

LOCAL_FILES = "/data/local-files/?d="
"""Where Label Studio serves files of its own machine."""

PALETTE_CLASSES = 254
"""Classes beside background and undecided that a palette of 256 colours holds."""

Writer = Callable[[Iterator[Masked], Style, Path], Path]
FORMATS: dict[str, Writer] = {"coco": coco, "voc": voc, "yolo": yolo, "cvat": cvat, "labelstudio": label_studio}


def export_masks(
    run: RunFolder,
    data: TaggedImages,
    form: str,
    out: Path,
    fused: bool = False,
    simplify: float = 0.0,
    prefix: str | None = None,
) -> Path:
    """Write the masks of a run in another tool's format, with their confidence and the run's verdict.

    Args:
        run: a run with masks.
        data: its images.
        form: coco, voc, yolo, cvat or labelstudio.
        out: a folder; files of an earlier call are replaced.
        fused: take the fused masks.
        simplify: pixels by which polygons may leave the edge of the mask; 0: exact.
        prefix: what stands before the name of an image in Label Studio's tasks; None: where it serves local files.

    Returns:
        the main file.

    Raises:
        RunError: images have no mask yet.
        ExportError: the format cannot hold some names.
    """
    path = run.fused_path if fused else run.mask_path
    missing = [name for name in data.ids if not path(name).is_file()]
    if missing:
        hint = f"Make them first: ktse {'predict' if fused else 'refine'} {run.root}"
        raise RunError(f"no mask: {len(missing)} of {many(len(data), 'image')}", where=missing, hint=hint)
    _check_fit(data, form, out)
    verdict, simplifier = read_verdict(run), Simplifier(simplify)
    verdict = verdict and verdict.of_masks
    style = Style(data.classes, verdict, simplifier, LOCAL_FILES if prefix is None else prefix)
    say(f"export: {'fused masks' if fused else 'masks'} of {many(len(data), 'image')}")
    main = FORMATS[form](_read(run, path, data), style, out)
    _write_verdict(verdict, out / "VERDICT.txt")
    if simplify:
        say(f"export: simplified by up to {simplify:g} {'pixel' if simplify == 1 else 'pixels'}: {simplifier}")
    return main


def _check_fit(data: TaggedImages, form: str, out: Path) -> None:
    problems = unfit(form, data.files, data.ids, data.classes)
    if form == "voc" and len(data.classes) > PALETTE_CLASSES:
        problems.append(f"{len(data.classes)} classes, of which a palette holds {PALETTE_CLASSES}")
    if problems:
        others = ", ".join(other for other in FORMATS if not unfit(other, data.files, data.ids, data.classes))
        hint = "Rename them and repeat ktse run" + (f", or give another --format: {others}." if others else ".")
        raise ExportError(f"--format {form} cannot hold some names; nothing was written", where=problems, hint=hint)
    inside = any(f"/{file}".count("/images/") for file in data.files)
    if form == "yolo" and inside and (out / "images").is_symlink():
        raise ExportError(
            f"{out / 'images'} is a link, and labels of photos in a folder called images would be written through it "
            "into your photos",
            hint="Remove the link, repeat, and copy the photos to images/.",
        )


def _read(run: RunFolder, path: Callable[[str], Path], data: TaggedImages) -> Iterator[Masked]:
    confidence = run.confidence("masks")
    named = zip(data.files, data.ids, data.validation.tolist(), strict=True)
    for file, name, kept_out in track(named, "export", total=len(data)):
        yield Masked(file, name, path(name), read_label_map(run.own(path(name))), confidence.get(name), kept_out)


def _write_verdict(verdict: Verdict | None, path: Path) -> None:
    """Put the verdict beside the masks unless it is good; one of an earlier call goes."""
    if verdict is None or verdict.run == "good":
        path.unlink(missing_ok=True)
        return
    lines = [f"Verdict of ktse on these masks: {verdict.sentence}.", ""]
    lines += [f"{name}: {level}" for name, level in verdict.classes.items()]
    lines += ["", *(f"- {sign.text} Next: {sign.next}" for sign in verdict.signs)]
    write_text(path, "\n".join(lines) + "\n")
