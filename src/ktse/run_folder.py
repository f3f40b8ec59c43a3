"""The layout of a run folder, the one place where stages meet, and what is in each of its files.

recipe.yaml       every setting, resolved
manifest.json     per stage: state, what it was made from and the hash of it (key), versions, seconds, peak memory
index/STAGE.json  its entry of the manifest, and size and hash of each file;  index/recipe.json  the settings, once more
classes.txt       one name a line, line k is class k;  tags.csv  the tags, if they were given as a table in memory
images/           copies of images at a URL;  features/ID.npz  what a frozen backbone sees; may be removed at any time
classify/         model.safetensors, checkpoint.safetensors, metrics.jsonl, tags.json
seeds/ID.npz      keys, cam, logits
affinity/         labels/ID.png, model.safetensors, checkpoint.safetensors, metrics.jsonl (only for the refiner irn)
masks/ID.png      pseudo-mask, 255 undecided;  masks/ID.npz  keys, scores;  masks/summary.json, levels.json, other.json
scores/ID.npz     keys, scores before the dense CRF (only for the refiner crf)
confident/ID.png  1 where the mask is to be trusted;  other/ID.png  mask by another method (only with refine.other)
segment/          model.safetensors, checkpoint.safetensors, metrics.jsonl, summary.json
adapt/            the same after corrections; summary.json names these
predictions/ID.png;  fused/ID.png  mask and segmentation model together, limited to the image's tags
evaluation.json   report.html   model_card.md;  noticed.json  what check found after classify, may be removed
log.txt           what ktse has said, with times
.lock             the process that works here now;  .alive/  its sign of life;  .claims/  what others may do for it
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, cast

import numpy as np
import yaml

from ktse.errors import RunError
from ktse.files import (
    AGAIN,
    MOST_TEXT,
    Held,
    digest,
    read_json,
    read_label_map,
    read_lines,
    read_npz,
    read_table,
    write_json,
    write_npz,
    write_text,
)
from ktse.recipe import Recipe
from ktse.recipe.load import known_settings, recipe_from_dict, to_dict
from ktse.recipe.yaml_file import BEGIN, END, read_yaml
from ktse.runtime.reading import reading
from ktse.runtime.shapes import SHAPES, misfit


class Seed(NamedTuple):
    """The CAMs of an image.

    Attributes:
        keys: (K,) int32, its tagged classes 0..C-1.
        cam: (K, h, w) float16 in 0..1.
        logits: (C,) float32 class scores.
        explained: (bins,) float32, how well its colours explain the CAM cut at each threshold.
    """

    keys: np.ndarray
    cam: np.ndarray
    logits: np.ndarray = np.zeros(0, dtype=np.float32)
    explained: np.ndarray = np.zeros(0, dtype=np.float32)


class Scores(NamedTuple):
    """The refined scores of an image.

    Attributes:
        keys: (K,) int32, its tagged classes 0..C-1.
        scores: (K, h, w) uint8, 255 is 1.
        contrast: (2, bins) float32, excess contrast at the boundary and pairs, at each threshold; empty after the CRF.
        explained: (bins,) float32, as in Seed; empty after the CRF.
    """

    keys: np.ndarray
    scores: np.ndarray
    contrast: np.ndarray = np.zeros(0, dtype=np.float32)
    explained: np.ndarray = np.zeros(0, dtype=np.float32)


Kind = TypeVar("Kind", Seed, Scores)


def _stored(kind: type[Kind], path: Path) -> Kind:
    with reading(path, kind=RunError, hint=AGAIN):
        found = kind(**read_npz(path))
        maps = found.cam if isinstance(found, Seed) else found.scores
        fits = found.keys.dtype.kind in "iu" and maps.ndim == 3 and found.keys.shape == maps.shape[:1]
        if not fits or any(part.dtype.kind not in "iuf" for part in found):
            raise ValueError("its arrays are not those of this stage")
    return found


def _as_text(recipe: Recipe) -> str:
    return f"{BEGIN}\n{yaml.safe_dump(to_dict(recipe), sort_keys=False, allow_unicode=True)}{END}\n"


class RunFolder:
    """Paths and small files of one run.

    Args:
        root: the run folder; made when something is first written.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        self._held = Held()

    def __repr__(self) -> str:
        try:
            manifest = self.manifest()
        except RunError:
            return f"<RunFolder {self.root}: manifest.json is damaged>"
        done = [stage for stage, entry in manifest.items() if entry.get("state") == "done"]
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

    def own(self, path: Path) -> Path:
        """The path of a file of the run, if it is as its stage wrote it, or if no finished stage has noted it.

        Raises:
            RunError: it has changed since.
        """
        name = path.relative_to(self.root).as_posix()
        for stage in self.indexed():
            noted = self.index(stage).get("files", {}).get(name)
            if noted is not None and path.is_file() and digest(path) != noted[1]:
                again = f"ktse verify {self.root} --repair removes what is wrong; the next ktse run makes it again."
                raise RunError(f"{path} is not what {stage} has written", hint=again)
        return path

    def seed_path(self, image_id: str) -> Path:
        """The CAMs of an image."""
        return self.root / "seeds" / f"{image_id}.npz"

    def features_path(self, image_id: str) -> Path:
        """What a frozen backbone sees in an image."""
        return self.root / "features" / f"{image_id}.npz"

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

    def scores_path(self, image_id: str) -> Path:
        """The refined scores from which the pseudo-mask was cut."""
        return self.root / "masks" / f"{image_id}.npz"

    def prediction_path(self, image_id: str) -> Path:
        """The segmentation model's answer for an image."""
        return self.root / "predictions" / f"{image_id}.png"

    def fused_path(self, image_id: str) -> Path:
        """The mask of an image and the segmentation model's answer together."""
        return self.root / "fused" / f"{image_id}.png"

    def seed(self, image_id: str) -> Seed:
        """The CAMs of an image."""
        return _stored(Seed, self.own(self.seed_path(image_id)))

    def write_seed(self, image_id: str, seed: Seed) -> None:
        """Store the CAMs of an image."""
        write_npz(self.seed_path(image_id), **seed._asdict())

    def scores(self, image_id: str) -> Scores:
        """The refined scores that the mask of an image was cut from."""
        return _stored(Scores, self.own(self.scores_path(image_id)))

    def soft_scores(self, image_id: str) -> Scores:
        """The refined scores of an image before the dense CRF."""
        return _stored(Scores, self.own(self.soft_scores_path(image_id)))

    def mask(self, image_id: str) -> np.ndarray:
        """The pseudo-mask of an image: (H, W) uint8 or uint16 label map."""
        return read_label_map(self.own(self.mask_path(image_id)))

    def fused(self, image_id: str) -> np.ndarray:
        """The fused mask of an image: (H, W) uint8 or uint16 label map."""
        return read_label_map(self.own(self.fused_path(image_id)))

    def prediction(self, image_id: str) -> np.ndarray:
        """The prediction for an image: (H, W) uint8 or uint16 label map."""
        return read_label_map(self.own(self.prediction_path(image_id)))

    def confident(self, image_id: str) -> np.ndarray:
        """Which pixels of a pseudo-mask are to be trusted: (H, W) uint8, 1 where they are."""
        return read_label_map(self.own(self.confident_path(image_id)))

    def confidence(self, folder: str) -> dict[str, float]:
        """Confidence of each image, 0..1, by its name, in "masks" or "predictions"; empty if there is none."""
        path, found = self.own(self.path(folder, "confidence.csv")), {}
        for row in read_table(path):
            value = row.get("confidence", "")
            with reading(path, kind=RunError, hint=AGAIN):
                found[next(iter(row.values()))] = float(value)
            if not 0 <= float(value) <= 1:
                raise RunError(f"{path} is damaged", where=f"a confidence is {value}, not in 0..1", hint=AGAIN)
        return found

    def summary(self, folder: str) -> dict[str, Any]:
        """What a stage (or "fused", "masks") says about its whole result; empty if it says nothing."""
        return self._object(folder, "summary.json")

    def checked(self) -> dict[str, Any]:
        """What check found; empty if it was not done."""
        return self._object("check.json")

    def noticed(self) -> dict[str, Any]:
        """What check found after classify, "doubtful" and "near_copies"; empty if nobody asked."""
        return self._object("noticed.json")

    def evaluation(self) -> dict[str, Any]:
        """What was measured, and the verdict; empty if nothing was."""
        return self._object("evaluation.json")

    def steps(self, stage: str) -> list[dict[str, Any]]:
        """The log of a training: an entry for each step and each event."""
        return read_lines(self.own(self.path(stage, "metrics.jsonl")))

    def _object(self, *parts: str) -> dict[str, Any]:
        path = self.own(self.path(*parts))
        content = read_json(path) if path.is_file() else {}
        if wrong := misfit(content, SHAPES.get("/".join(parts), {})):
            raise RunError(f"{path} is damaged", where=wrong, hint=AGAIN)
        return cast(dict[str, Any], content)

    def write_recipe(self, recipe: Recipe) -> None:
        """Store every setting, resolved; nothing where they are stored already."""
        if not self.has_recipe(recipe):
            # Killed between the two, the former settings are still those that ktse wrote.
            former = self.index("recipe").get("settings")
            self.write_index("recipe", {"settings": to_dict(recipe), "former": former})
            write_text(self.path("recipe.yaml"), _as_text(recipe))

    def has_recipe(self, recipe: Recipe) -> bool:
        """Whether these settings are stored."""
        path, noted = self.path("recipe.yaml"), self.index("recipe").get("settings")
        same = path.is_file() and path.read_text(encoding="utf-8", errors="replace") == _as_text(recipe)
        return same and noted == to_dict(recipe)

    def read_recipe(self, *, edited: bool = False) -> Recipe:
        """Read the settings of this run.

        Args:
            edited: take them even if somebody has changed the file by hand.

        Raises:
            RunError: there are none, they are damaged, or the file is not as ktse wrote it.
        """
        path, back = self.path("recipe.yaml"), f"ktse verify {self.root} --repair puts it back."
        content = read_yaml(path, RunError, hint=back)
        if not isinstance(content, dict):
            raise RunError(f"{path} does not hold settings", hint=back)
        noted = self.index("recipe")
        if not edited and noted and content not in (noted.get("settings"), noted.get("former")):
            new = f"If you have changed it: ktse run ... --out {self.root} --recipe {path} takes the new settings."
            raise RunError(f"{path} is not as ktse wrote it", hint=f"{back}\n{new}")
        return recipe_from_dict(known_settings(content), source=str(path))

    def write_classes(self, classes: tuple[str, ...]) -> None:
        """Store the class names."""
        write_text(self.path("classes.txt"), "".join(f"{name}\n" for name in classes))

    def read_classes(self) -> tuple[str, ...]:
        """The class names of this run.

        Raises:
            RunError: there are none.
        """
        path = self.own(self.path("classes.txt"))
        if not path.is_file():
            raise RunError(f"{path} does not exist", hint="Run ktse classify first.")
        with reading(path, kind=RunError, hint="Repeat ktse run, which writes it.", most=MOST_TEXT):
            return tuple(path.read_text(encoding="utf-8").splitlines())

    def manifest(self) -> dict[str, dict[str, Any]]:
        """What each stage did; empty for a new run. What is lost of it is taken from the index.

        Raises:
            RunError: it is damaged, and there is no index.
        """
        try:
            held = self._held.get(self.path("manifest.json"), lambda: self._object("manifest.json"))
            found = {name: one for name, one in held.items() if isinstance(one, dict)}
            return found | self._noted(found)
        except RunError:
            if entries := self._noted():
                return entries
            raise

    def _noted(self, but: Collection[str] = ()) -> dict[str, dict[str, Any]]:
        """What the index says of stages."""
        return {name: entry for name in self.indexed() if name not in but and (entry := self.index(name).get("entry"))}

    def record(self, stage: str, entry: Mapping[str, Any]) -> None:
        """Store what a stage did."""
        write_json(self.path("manifest.json"), {**self.manifest(), stage: dict(entry)})

    def key(self, stage: str) -> str:
        """The name of what a stage is made from, which it writes into its results; empty if it is not recorded."""
        return str(self.manifest().get(stage, {}).get("key", ""))

    def indexed(self) -> list[str]:
        """The stages, and the recipe, of which something is noted."""
        return sorted(path.stem for path in self.path("index").glob("*.json"))

    def index(self, name: str) -> dict[str, Any]:
        """What is noted of the files of a stage, or of the recipe; empty if nothing is, or if that is damaged."""
        path = self.path("index", f"{name}.json")
        with suppress(OSError, RunError):
            content = self._held.get(path, lambda: read_json(path))
            return content if isinstance(content, dict) else {}
        return {}

    def write_index(self, name: str, content: Mapping[str, Any]) -> None:
        """Note the files of a stage, or the recipe."""
        text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        write_text(self.path("index", f"{name}.json"), text + "\n")
