"""Gather what a run folder holds and write it as one HTML file."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined

from ktse.data.masks import Truth
from ktse.data.sample import TaggedImages
from ktse.reporting import scores, wording
from ktse.reporting.charts import bar
from ktse.reporting.curves import read_metrics, training
from ktse.reporting.gallery import colour, gallery
from ktse.run_folder import STAGES, RunFolder, atomic, read_json
from ktse.settings import to_dict

MANY_CLASSES = 30
"""From this number of classes on, tables by class start folded."""


def write_report(run: RunFolder, data: TaggedImages, truth: Truth | None) -> Path:
    """Write RUN/report.html: one file that needs nothing else, with whatever the run has so far.

    Args:
        run: the run folder; every file in it but recipe.yaml may be missing.
        data: images and tags.
        truth: true masks, or None. They are only shown; the numbers come from evaluation.json.

    Returns:
        path of the report.

    Raises:
        RunError: a file of the run is damaged.
    """
    environment = Environment(
        loader=PackageLoader("ktse.reporting", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    writing = {"number": wording.number, "whole": wording.count, "share": wording.share}
    environment.filters.update(writing, duration=wording.duration, memory=wording.memory)
    environment.globals.update(bar=bar, is_number=wording.is_number, plural=wording.plural)
    path = run.path("report.html")
    page = environment.get_template("report.html.j2").render(gather(run, data, truth))
    with atomic(path) as part:
        part.write_text(page, encoding="utf-8")
    return path


def gather(run: RunFolder, data: TaggedImages, truth: Truth | None) -> dict[str, Any]:
    """Everything that the template shows, by name.

    Raises:
        RunError: a file of the run is damaged.
    """
    recipe = run.read_recipe()
    manifest = {stage: dict(entry) for stage, entry in run.manifest().items() if isinstance(entry, dict)}
    evaluation = read_optional(run.path("evaluation.json"))
    summary = read_optional(run.path("masks", "summary.json"))
    learned = read_optional(run.path("segment", "summary.json"))
    names = run.read_classes() if run.path("classes.txt").is_file() else data.classes
    tagged = dict(zip(data.classes, data.tags.sum(axis=0).tolist(), strict=True))
    tag_parts = scores.tag_splits(evaluation)
    has_masks = run.path("masks").is_dir() and any(run.path("masks").rglob("*.png"))
    stage_rows = scores.stages(evaluation)
    return {
        "name": run.root.resolve().name,
        "outcome": scores.outcome(evaluation, len(data), len(names), masks=has_masks, truth=truth is not None),
        "has_masks": has_masks,
        "has_truth": truth is not None,
        "true_masks": len(truth.paths) if truth is not None else 0,
        "validation": int(data.validation.sum()),
        "images": len(data),
        "warnings": [*warnings_of(manifest, summary, learned, evaluation), *scores.notes(evaluation)],
        "stages": stage_rows,
        "measured": [row for row in stage_rows if row.score],
        "averaged": scores.averaged(stage_rows),
        "left_out": evaluation.get("calibration_left_out") or 0,
        "conditions": scores.conditions,
        "class_rows": scores.classes(evaluation, {name: tagged.get(name, 0) for name in names}),
        "colours": {name: colour(index + 1) for index, name in enumerate(names)},
        "split_rows": scores.splits(evaluation),
        "threshold_chart": scores.threshold_chart(evaluation),
        "summary": summary,
        "learned": learned,
        "tag_parts": tag_parts,
        "tag_rows": scores.tag_classes(names, tag_parts) if tag_parts else [],
        "gallery": gallery(run, data, truth),
        "classify": training(read_metrics(run.path("classify", "metrics.jsonl")), recipe.classify.objective.weights),
        "segment": training(read_metrics(run.path("segment", "metrics.jsonl"))),
        "manifest": {stage: manifest[stage] for stage in stages_of(manifest)},
        "versions": versions_of(manifest),
        "recipe": yaml.safe_dump(to_dict(recipe), sort_keys=False, allow_unicode=True),
        "refinement": recipe.refine.chain,
        "commands": _commands(run, measured=truth is not None),
        "many": MANY_CLASSES,
    }


def read_optional(path: Path) -> dict[str, Any]:
    """A JSON object of a run; nothing for a missing file."""
    content = read_json(path) if path.is_file() else {}
    return content if isinstance(content, dict) else {}


def stages_of(manifest: dict[str, Any]) -> list[str]:
    """Stages in the order in which they run; the report itself is left out, it is being written."""
    early = [stage for stage in manifest if stage not in STAGES]
    return [stage for stage in [*early, *STAGES] if stage in manifest and stage != "report"]


def warnings_of(manifest: dict[str, Any], *sources: dict[str, Any]) -> list[str]:
    """Warnings of the stages, each once; a stage that failed is one too."""
    found = []
    for stage in stages_of(manifest):
        if manifest[stage].get("state") == "failed":
            found.append(f"The stage {stage} failed: {manifest[stage].get('message') or 'no reason was noted'}")
    for source in sources:
        listed = source.get("warnings")
        found += [str(text) for text in listed] if isinstance(listed, list) else []
    return list(dict.fromkeys(found))


def versions_of(manifest: dict[str, Any]) -> dict[str, list[str]]:
    """Versions by package; more than one where stages ran with different ones."""
    versions: dict[str, list[str]] = {}
    for stage in stages_of(manifest):
        listed = manifest[stage].get("versions")
        for package, version in listed.items() if isinstance(listed, dict) else ():
            if str(version) not in versions.setdefault(str(package), []):
                versions[str(package)].append(str(version))
    return versions


def _commands(run: RunFolder, *, measured: bool) -> list[tuple[str, str]]:
    root = shlex.quote(str(run.root))
    return [
        (f"ktse predict {root} IMAGES --out DIR", "masks for new images, which need no tags"),
        (f"ktse evaluate {root}" + ("" if measured else " --masks DIR"), "measure it against true masks"),
        (f"ktse report {root}", "write this page again"),
    ]
