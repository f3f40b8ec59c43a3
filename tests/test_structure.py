"""The shape of the house: imports point one way, and nothing that trains can see a true mask."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[1] / "src" / "ktse"
# From the roof to the ground: a part may import what stands below it.
ORDER = [
    "__main__",
    "cli",
    "terminal",
    "api",
    "verbs",
    "research",
    "pipeline",
    "exporting",
    "reporting",
    "job",
    "staleness",
    "checking",
    "stages",
    "training",
    "method",
    "segmentation",
    "prediction",
    "refinement",
    "models",
    "quality",
    "data",
    "run_folder",
    "files",
    "visual",
    "recipe",
    "runtime",
    "errors",
    "_version",
]


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("ktse."):
            found.add(node.module.split(".")[1])
        elif isinstance(node, ast.ImportFrom) and node.module == "ktse":
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("ktse.")}
    return found


def part(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


FILES = sorted(path for path in SOURCE.rglob("*.py") if path != SOURCE / "__init__.py")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(SOURCE).as_posix())
def test_imports_point_downwards(path: Path) -> None:
    rank = ORDER.index(part(path))
    assert all(ORDER.index(name) >= rank for name in imports(path))


@pytest.mark.parametrize(
    "stage",
    [
        "classify",
        "paired_images",
        "background",
        "seed",
        "affinity",
        "refine",
        "refiners",
        "calibration",
        "masked_images",
        "segment",
        "predict",
    ],
)
def test_nothing_that_trains_mentions_the_truth(stage: str) -> None:
    text = (SOURCE / "stages" / f"{stage}.py").read_text(encoding="utf-8")
    assert "Truth" not in text
    assert "open_truth" not in text
    # Masks to calibrate with choose a threshold, and nothing else.
    assert "Calibration" not in text or stage in ("refine", "calibration")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(SOURCE).as_posix())
def test_nothing_is_unpickled(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert "import pickle" not in text or path.name == "import_weights.py"
    assert "pickle.load" not in text
    assert "allow_pickle=True" not in text
    calls = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call) and _is_torch_load(node)]
    assert text.count("torch.load") == len(calls) == (path.name == "import_weights.py")
    for call in calls:
        given = {keyword.arg: keyword.value for keyword in call.keywords}
        assert isinstance(given["weights_only"], ast.Constant)
        assert given["weights_only"].value is True


def _is_torch_load(call: ast.Call) -> bool:
    return ast.unparse(call.func) == "torch.load"


def test_importing_ktse_does_not_load_torch() -> None:
    code = "import sys, ktse, ktse.cli; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
