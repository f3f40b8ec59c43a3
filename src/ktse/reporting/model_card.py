"""The model card: what the segmentation model of a run is, learned from, is worth and must not be trusted with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ktse.data.dataset import TaggedImages
from ktse.data.masks import Truth, open_corrections
from ktse.errors import DataError
from ktse.recipe import Recipe
from ktse.reporting import judgement, scores
from ktse.reporting.facts import Facts, gather
from ktse.reporting.templates import environment, write
from ktse.reporting.wording import plain
from ktse.run_folder import RunFolder

RARE = 20
"""Training images below which a class is named among the limits."""

MOST_CLASSES = 300
"""Classes that a table names."""


def write_model_card(run: RunFolder, data: TaggedImages, truth: Truth | None) -> Path:
    """Write RUN/model_card.md with whatever the run has so far.

    Args:
        run: the run folder; every file in it but recipe.yaml may be missing.
        data: images and tags.
        truth: true masks, or None; the measures come from evaluation.json.

    Returns:
        path of the card.

    Raises:
        RunError: a file of the run is damaged.
    """
    template = environment(html=False).get_template("model_card.md.j2")
    return write(run.path("model_card.md"), template.render(content(gather(run, data, truth))))


def content(facts: Facts) -> dict[str, Any]:
    """What the template shows beside the facts, by name."""
    run, data, recipe = facts.run, facts.data, facts.recipe
    levels = facts.verdict.model_classes if facts.verdict else {}
    counts = [data.tags[chosen].sum(axis=0).tolist() for chosen in (~data.validation, data.validation)]
    classes = [
        {"name": name, "level": levels.get(name, ""), "training": trained, "validation": apart}
        for name, trained, apart in zip(data.classes, *counts, strict=True)
    ]
    prediction = facts.evaluation.get("prediction") or {}
    rare = [entry for entry in classes if entry["training"] < RARE]
    return {
        "facts": facts,
        "recipe": recipe,
        "judgement": judgement.show(facts.verdict, facts.root),
        "classes": classes[:MOST_CLASSES],
        "trained": run.path("segment", "model.safetensors").is_file(),
        "epochs": recipe.segment.passes(len(data.training)),
        "training": int((~data.validation).sum()),
        "validation": int(data.validation.sum()),
        "untagged": int((data.tags.sum(axis=1) == 0).sum()),
        "corrections": corrected(data, recipe),
        "prediction": prediction,
        "kept_out": any(row.split("validation") is not None for row in facts.stages),
        "class_iou": list((prediction.get("iou") or {}).items())[:MOST_CLASSES],
        "tag_parts": scores.tag_splits(facts.evaluation),
        "rare": rare[:MOST_CLASSES],
        "licences": licences(run, recipe),
    }


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
