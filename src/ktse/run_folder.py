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

import json
import os
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

from ktse.errors import RunError
from ktse.recipe import Recipe
from ktse.recipe.load import recipe_from_dict, to_dict
from ktse.visual import PALETTE

STAGES = ("classify", "seed", "affinity", "refine", "segment", "predict", "evaluate", "report")


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`, which takes its place only if the block ends without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Short, since the path's own name may be as long as a name can be.
    temporary = path.with_name(f".{zlib.crc32(os.fsencode(path.name)):08x}.{os.getpid()}.part")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, content: Any) -> None:
    """Write JSON atomically."""
    with atomic(path) as part:
        part.write_text(json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """Read a JSON file of a run.

    Raises:
        RunError: it is missing or damaged.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise RunError(f"{path} does not exist", hint="Is this a run folder? ktse run makes one.") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise RunError(f"{path} is damaged", where=str(error), hint="Remove it and repeat the stage.") from error


def write_npz(path: Path, **arrays: np.ndarray) -> None:
    """Write arrays compressed, atomically; object arrays are refused."""
    for name, array in arrays.items():
        if array.dtype == object:
            raise TypeError(f"{name} would be pickled")
    with atomic(path) as part, part.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """Read arrays.

    Raises:
        RunError: the file is missing or damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            return dict(file)
    except FileNotFoundError as error:
        raise RunError(f"{path} does not exist", hint="Run the stage that writes it first.") from error
    except (zipfile.BadZipFile, ValueError, OSError, EOFError) as error:
        raise RunError(f"{path} is damaged", hint="Remove it and repeat the stage.") from error


def label_type(classes: int) -> type[np.unsignedinteger]:
    """The smallest type that holds labels 0..C; its largest value (255 for up to 254 classes) is undecided."""
    return np.uint8 if classes < 255 else np.uint16


def undecided(label: np.ndarray) -> int:
    """The value of an undecided pixel in a label map: 255, or 65535 in 16 bits."""
    return int(np.iinfo(label.dtype).max)


def write_label_map(path: Path, label: np.ndarray) -> None:
    """Write a label map, atomically: palette PNG for uint8, grey PNG for uint16.

    Args:
        path: the file.
        label: (H, W) uint8 or uint16, 0 background, k class k, the type's largest value undecided.
    """
    image = Image.fromarray(label)
    if label.dtype == np.uint8:
        image.putpalette(PALETTE.tobytes())
    with atomic(path) as part:
        image.save(part, format="PNG")


def read_label_map(path: Path) -> np.ndarray:
    """Read a label map: (H, W) uint8 or uint16 class indices from a palette or grey PNG.

    Raises:
        RunError: it is missing, unreadable, or a colour image.
    """
    try:
        with Image.open(path) as image:
            if image.mode in ("P", "L", "1"):
                return np.asarray(image).astype(np.uint8)
            if image.mode in ("I;16", "I"):
                return np.asarray(image).astype(np.uint16)
            raise RunError(
                f"{path} is a {image.mode} image, not a label map",
                hint="Masks hold class numbers: an 8-bit palette or grey PNG, 0 background, k class k.",
            )
    except FileNotFoundError as error:
        raise RunError(f"{path} does not exist") from error
    except (OSError, SyntaxError) as error:
        raise RunError(f"{path} cannot be read", where=str(error)) from error


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
