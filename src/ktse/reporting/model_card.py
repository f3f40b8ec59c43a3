"""The model card: what the segmentation model of a run is, learned from, is worth and must not be trusted with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ktse.data.dataset import TaggedImages
from ktse.data.masks import Truth, open_corrections
from ktse.errors import DataError
from ktse.files import write_text
from ktse.recipe import Recipe
from ktse.reporting import scores
from ktse.reporting.facts import Facts, gather
from ktse.reporting.templates import environment
from ktse.run_folder import RunFolder

FEW_IMAGES = 20
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
    template = environment().get_template("model_card.md.j2")
    text = template.render(content(gather(run, data, truth)))
    return write_text(run.path("model_card.md"), text.rstrip() + "\n")


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
    model = run.path(recipe.segment.made_by, "model.safetensors")
    return {
        "facts": facts,
        "recipe": recipe,
        "judgement": facts.judgement,
        "classes": classes[:MOST_CLASSES],
        "rare": [entry for entry in classes if entry["training"] < FEW_IMAGES][:MOST_CLASSES],
        "trained": model.is_file(),
        "epochs": recipe.segment.passes(len(data.training)),
        "validation": int(data.validation.sum()),
        "untagged": int((~data.tags.any(axis=1)).sum()),
        "corrections": corrected(data, recipe),
        "prediction": prediction,
        "class_iou": list((prediction.get("iou") or {}).items())[:MOST_CLASSES],
        "tag_parts": scores.tag_splits(facts.evaluation),
        "licences": licences(recipe),
        "noted_licence": _noted_licence(model),
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


def licences(recipe: Recipe) -> list[tuple[str, str, str]]:
    """Each part that starts from weights: its name, its network, and where its weights are from."""
    parts = [("classification network", recipe.classify.backbone, recipe.classify.weights)]
    parts.append(("segmentation model", recipe.segment.encoder, recipe.segment.weights))
    if "irn" in recipe.refine.method:
        parts.append(("boundary network", recipe.affinity.backbone, recipe.affinity.weights))
    return [
        (part, network, weights if weights in ("none", "hub", "package", "classify") else Path(weights).name)
        for part, network, weights in parts
    ]


def _noted_licence(path: Path) -> str:
    """The licence that the header of the model file names for its encoder's weights, or nothing."""
    from safetensors import SafetensorError, safe_open  # prediction with onnxruntime alone imports this module too

    try:
        with safe_open(path, framework="np") as file:
            return str((file.metadata() or {}).get("encoder_licence", "")).strip('"')
    except (SafetensorError, OSError):
        return ""
