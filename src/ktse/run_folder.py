"""The run folder: the one place where stages meet. Atomic writes, manifest, seeds and masks; nothing is pickled.

recipe.yaml       every setting, resolved
manifest.json     per stage: state, what it was made from and the hash of it (key), versions, seconds, peak memory
classes.txt       one name a line, line k is class k
classify/         model.safetensors, checkpoint.safetensors, metrics.jsonl, tags.json
seeds/ID.npz      keys, cam, logits;  seeds/source.json  which network they come from
affinity/         labels/ID.png, model.safetensors, checkpoint.safetensors, metrics.jsonl (only for the refiner irn)
masks/ID.png      pseudo-mask, 255 undecided;  masks/ID.npz  keys, scores;  masks/summary.json
scores/ID.npz     keys, scores before the dense CRF (only for the refiner crf)
confident/ID.png  1 where the mask is to be trusted
segment/          model.safetensors, checkpoint.safetensors, metrics.jsonl, summary.json
predictions/ID.png
fused/ID.png      mask and segmentation model together, limited to the image's tags
evaluation.json   report.html   model_card.md
tags.csv          the tags, if they were given as a table in memory
log.txt           what ktse has said, with times
.lock             the process that works here now
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from ktse.errors import RunError
from ktse.files import atomic, read_json, write_json
from ktse.recipe import Recipe
from ktse.recipe.load import recipe_from_dict, to_dict

STAGES = ("classify", "seed", "affinity", "refine", "segment", "predict", "evaluate", "report")


class RunFolder:
    """Paths and small files of one run.

    Args:
        root: the run folder; made when something is first written.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)

    def __repr__(self) -> str:
        try:
            manifest = self.manifest()
        except RunError:
            return f"<RunFolder {self.root}: manifest.json is damaged>"
        done = [stage for stage in STAGES if manifest.get(stage, {}).get("state") == "done"]
        return f"<RunFolder {self.root}: {', '.join(done) or 'nothing'} done>"

    @classmethod
    def existing(cls, root: str | Path) -> RunFolder:
        """Open a run that exists.

        Raises:
            RunError: there is none.
        """
        run = cls(root)
        if not (run.root / "recipe.yaml").is_file():
            raise RunError(f"{run.root} is not a run folder", hint="ktse run IMAGES --tags CSV --out RUN makes one.")
        return run

    def path(self, *parts: str) -> Path:
        """A path inside the run folder."""
        return self.root.joinpath(*parts)

    def seed_path(self, image_id: str) -> Path:
        """The CAMs of an image."""
        return self.root / "seeds" / f"{image_id}.npz"

    def affinity_label_path(self, image_id: str) -> Path:
        """The confident seed of an image, 255 undecided."""
        return self.root / "affinity" / "labels" / f"{image_id}.png"

    def soft_scores_path(self, image_id: str) -> Path:
        """The refined scores that the dense CRF starts from."""
        return self.root / "scores" / f"{image_id}.npz"

    def confident_path(self, image_id: str) -> Path:
        """Which pixels of the pseudo-mask are to be trusted."""
        return self.root / "confident" / f"{image_id}.png"

    def mask_path(self, image_id: str) -> Path:
        """The pseudo-mask of an image."""
        return self.root / "masks" / f"{image_id}.png"

    def mask_scores_path(self, image_id: str) -> Path:
        """The refined scores from which the pseudo-mask was cut."""
        return self.root / "masks" / f"{image_id}.npz"

    def prediction_path(self, image_id: str) -> Path:
        """The segmentation model's answer for an image."""
        return self.root / "predictions" / f"{image_id}.png"

    def fused_path(self, image_id: str) -> Path:
        """The mask of an image and the segmentation model's answer together."""
        return self.root / "fused" / f"{image_id}.png"

    def write_recipe(self, recipe: Recipe) -> None:
        """Store every setting, resolved."""
        with atomic(self.path("recipe.yaml")) as part:
            part.write_text(yaml.safe_dump(to_dict(recipe), sort_keys=False, allow_unicode=True), encoding="utf-8")

    def read_recipe(self) -> Recipe:
        """Read the settings of this run.

        Raises:
            RunError: there are none, or they are damaged.
        """
        path = self.path("recipe.yaml")
        try:
            content = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, yaml.YAMLError) as error:
            raise RunError(f"{path} cannot be read", where=str(error)) from error
        return recipe_from_dict(content, source=str(path))

    def write_classes(self, classes: tuple[str, ...]) -> None:
        """Store the class names."""
        with atomic(self.path("classes.txt")) as part:
            part.write_text("".join(f"{name}\n" for name in classes), encoding="utf-8")

    def read_classes(self) -> tuple[str, ...]:
        """The class names of this run.

        Raises:
            RunError: there are none.
        """
        path = self.path("classes.txt")
        if not path.is_file():
            raise RunError(f"{path} does not exist", hint="Run ktse classify first.")
        return tuple(path.read_text(encoding="utf-8").splitlines())

    def manifest(self) -> dict[str, dict[str, Any]]:
        """What each stage did; empty for a new run."""
        path = self.path("manifest.json")
        return dict(read_json(path)) if path.is_file() else {}

    def record(self, stage: str, entry: Mapping[str, Any]) -> None:
        """Store what a stage did."""
        write_json(self.path("manifest.json"), {**self.manifest(), stage: dict(entry)})
