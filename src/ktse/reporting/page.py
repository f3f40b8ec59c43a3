"""The page of a run: one HTML file that needs nothing else."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

import yaml
from markupsafe import Markup

from ktse.data.dataset import TaggedImages
from ktse.data.masks import Truth
from ktse.files import write_text
from ktse.recipe.load import to_dict
from ktse.reporting import scores
from ktse.reporting.curves import training
from ktse.reporting.facts import Facts, gather
from ktse.reporting.gallery import gallery
from ktse.reporting.pictures import colour
from ktse.reporting.templates import environment
from ktse.reporting.wording import clip, is_number
from ktse.run_folder import RunFolder

MANY_CLASSES = 30
"""From this number of classes on, tables by class start folded."""

MOST_CLASSES = 300
"""Rows of a table by class; of more classes, those with the lowest IoU."""

MOST_RECIPE = 40_000
"""Characters of the recipe that are shown."""


def write_report(run: RunFolder, data: TaggedImages, truth: Truth | None) -> Path:
    """Write RUN/report.html: one file, below 5 MiB, with whatever the run has so far.

    Args:
        run: the run folder; every file in it but recipe.yaml may be missing.
        data: images and tags.
        truth: true masks, or None. They are only shown; the measures come from evaluation.json.

    Returns:
        path of the page.

    Raises:
        RunError: a file of the run is damaged.
    """
    script = Path(__file__).with_name("report.js").read_text(encoding="utf-8")
    # The hash allows this script and no other.
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    template = environment().get_template("report.html.j2")
    page = template.render(**content(gather(run, data, truth)), script=Markup(script), script_hash=digest)
    return write_text(run.path("report.html"), page.rstrip() + "\n")


def content(facts: Facts) -> dict[str, Any]:
    """What the template shows beside the facts, by name.

    Raises:
        RunError: a file of the run is damaged.
    """
    run, data, evaluation = facts.run, facts.data, facts.evaluation
    tagged = dict(zip(data.classes, data.tags.sum(axis=0).tolist(), strict=True))
    images = gallery(facts)
    class_rows = scores.classes(evaluation, tagged)
    tag_parts = scores.tag_splits(evaluation)
    recipe = yaml.safe_dump(to_dict(facts.recipe), sort_keys=False, allow_unicode=True)
    return {
        "facts": facts,
        "judgement": facts.judgement,
        "gallery": images,
        "thumbs": any(shown.pictures for shown in images["images"]),
        "list_classes": [clip(name) for name in data.classes[:MOST_CLASSES]],
        "class_rows": _lowest(class_rows),
        "class_count": len(class_rows),
        "colours": {name: colour(index + 1) for index, name in enumerate(data.classes)},
        "other_rows": list(facts.other.items())[:MOST_CLASSES],
        "threshold_chart": scores.threshold_chart(evaluation),
        "tag_parts": tag_parts,
        "tag_names": list(data.classes[:MOST_CLASSES]),
        "classify": training(run.steps("classify"), facts.recipe.classify.objective.weights),
        "segment": training(run.steps("segment")),
        "recipe": recipe if len(recipe) <= MOST_RECIPE else f"{recipe[:MOST_RECIPE]}\n... the rest is in recipe.yaml",
        "many": MANY_CLASSES,
    }


def _lowest(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows in their order; of very many, those with the lowest IoU in the last measured stage."""

    def last(row: dict[str, Any]) -> float:
        value = list(row["iou"].values())[-1]
        return value if is_number(value) else 101.0

    kept = {row["name"] for row in sorted(rows, key=last)[:MOST_CLASSES]}
    return [row for row in rows if row["name"] in kept]
