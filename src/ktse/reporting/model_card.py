"""The model card: what the segmentation model of a run is, learned from, is worth and must not be trusted with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from ktse.data.masks import Truth, open_corrections
from ktse.data.sample import TaggedImages
from ktse.errors import DataError
from ktse.recipe import Recipe
from ktse.reporting import scores, wording
from ktse.reporting.report import read_optional, versions_of, warnings_of
from ktse.run_folder import RunFolder, atomic

RARE = 20
"""Training images below which a class is named among the limits."""


class Row:
    """One measured stage.

    Args:
        row: from evaluation.json.
    """

    def __init__(self, row: scores.StageScore) -> None:
        self.name, self.score = row.name, row.score or {}
        self.oracle = (row.oracle or {}).get("miou")

    def split(self, name: str) -> float | None:
        """The mIoU of a part of the images."""
        part = (self.score.get("by_split") or {}).get(name) or {}
        value: float | None = part.get("miou") if part.get("images") else None
        return value if wording.is_number(value) else None


def write_model_card(run: RunFolder, data: TaggedImages, truth: Truth | None) -> Path:
    """Write RUN/model_card.md with whatever the run has so far.

    Args:
        run: the run folder; every file in it but recipe.yaml may be missing.
        data: images and tags.
        truth: true masks, or None; the numbers come from evaluation.json.

    Returns:
        path of the card.

    Raises:
        RunError: a file of the run is damaged.
    """
    environment = Environment(
        loader=PackageLoader("ktse.reporting", "."),
        autoescape=False,  # Markdown, not HTML
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=False,
        undefined=StrictUndefined,
    )
    environment.globals.update(
        number=wording.number,
        whole=wording.count,
        plural=wording.plural,
        share=wording.share,
        is_number=wording.is_number,
    )
    text = environment.get_template("model_card.md.j2").render(gather_card(run, data, truth))
    path = run.path("model_card.md")
    with atomic(path) as part:
        part.write_text(text.rstrip() + "\n", encoding="utf-8")
    return path


def gather_card(run: RunFolder, data: TaggedImages, truth: Truth | None) -> dict[str, Any]:
    """Everything that the template shows, by name."""
    recipe = run.read_recipe()
    manifest = {stage: dict(entry) for stage, entry in run.manifest().items() if isinstance(entry, dict)}
    evaluation = read_optional(run.path("evaluation.json"))
    summary, learned = (read_optional(run.path(folder, "summary.json")) for folder in ("masks", "segment"))
    kept_out = data.validation
    counts = [data.tags[chosen].sum(axis=0).tolist() for chosen in (~kept_out, kept_out)]
    classes = [
        {"name": plain(name), "training": trained, "validation": apart}
        for name, trained, apart in zip(data.classes, *counts, strict=True)
    ]
    measured = [Row(row) for row in scores.stages(evaluation) if row.score]
    prediction = evaluation.get("prediction") or {}
    return {
        "name": plain(run.root.resolve().name),
        "classes": classes,
        "trained": run.path("segment", "model.safetensors").is_file(),
        "classify": recipe.classify, "seed": recipe.seed, "refine": recipe.refine, "segment": recipe.segment,
        "epochs": recipe.segment.passes(len(data.training)), "predict": recipe.predict,
        "images": len(data), "training": int((~kept_out).sum()), "validation": int(kept_out.sum()),
        "untagged": int((data.tags.sum(axis=1) == 0).sum()),
        "corrections": corrected(data, recipe),
        "has_truth": truth is not None, "true_masks": len(truth.paths) if truth is not None else 0,
        "summary": summary, "learned": learned,
        "measured": measured,
        "prediction": prediction,
        "row_kept_out": any(row.split("validation") is not None for row in measured),
        "class_iou": [(plain(name), value) for name, value in (prediction.get("iou") or {}).items()],
        "tag_parts": scores.tag_splits(evaluation),
        "rare": [f"{entry['name']} ({entry['training']})" for entry in classes if entry["training"] < RARE],
        "warnings": [*warnings_of(manifest, summary, learned, evaluation), *scores.notes(evaluation)],
        "licences": licences(run, recipe),
        "versions": versions_of(manifest),
    }  # fmt: skip


def plain(name: str) -> str:
    """A name on one line that does not end a cell of a table."""
    return " ".join(name.split()).replace("|", "\\|")


def corrected(data: TaggedImages, recipe: Recipe) -> int:
    """Number of corrected masks among the images trained on."""
    folder = recipe.segment.corrections
    if not folder:
        return 0
    try:
        known = open_corrections(Path(folder), data)
    except DataError:  # the folder has gone or changed since
        return 0
    return sum(data.ids[index] in known for index in data.training)


def licences(run: RunFolder, recipe: Recipe) -> list[tuple[str, str]]:
    """What is known of the licences of the initial weights, by part of the pipeline."""
    segment = recipe.segment.weights
    parts = [("classification network", recipe.classify.backbone, recipe.classify.weights)]
    if segment != "classify":
        parts.append(("segmentation model", recipe.segment.encoder, segment))
    if "irn" in recipe.refine.method:
        parts.append(("boundary network", recipe.affinity.backbone, recipe.affinity.weights))
    noted = _noted_licence(run.path("segment", "model.safetensors"))
    found = []
    for part, network, weights in parts:
        if weights == "none":
            text = "none, training started from random numbers."
        elif weights == "hub":
            known = (
                f"timm says {noted}" if noted and network == recipe.segment.encoder else "see the page of the weights"
            )
            text = f"{network}, downloaded by timm; their licence is not ktse's: {known}. ImageNet, on which most such "
            text += "weights were trained, has terms of its own."
        else:
            text = f"{network}, from the file {plain(Path(weights).name)}, whose licence ktse does not know."
        found.append((part, text))
    if segment == "classify":
        found.append(("segmentation model", "those that the classification network has ended with."))
    return found


def _noted_licence(path: Path) -> str:
    """The licence that the header of the model file names for its encoder's weights, or nothing."""
    from safetensors import SafetensorError, safe_open  # prediction with onnxruntime alone imports this module too

    try:
        with safe_open(path, framework="np") as file:
            return str((file.metadata() or {}).get("encoder_licence", "")).strip('"')
    except (SafetensorError, OSError):
        return ""
