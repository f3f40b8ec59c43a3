"""The shape of the house: imports point one way, and nothing that trains can see a true mask."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[1] / "src" / "ktse"
ARCHITECTURE = Path(__file__).resolve().parents[1] / "docs" / "architecture.md"
ORDER = re.findall(r"^\| `(\w+)` \|", ARCHITECTURE.read_text(encoding="utf-8"), re.MULTILINE)
"""The rooms from the roof to the ground: each may import what stands below it."""


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


def test_the_map_names_every_room() -> None:
    assert sorted(ORDER) == sorted({part(path) for path in FILES})


def test_the_house_is_small() -> None:
    assert len(list(SOURCE.glob("*.py"))) <= 12
    long = [path.name for path in FILES if len(path.read_text(encoding="utf-8").splitlines()) > 350]
    assert not long
    assert len((SOURCE / "pipeline.py").read_text(encoding="utf-8").splitlines()) < 200


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(SOURCE).as_posix())
def test_no_formatter_is_switched_off(path: Path) -> None:
    assert not re.search(r"# fmt: (skip|off)", path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("stage", [path.stem for path in (SOURCE / "stages").glob("*.py")])
def test_nothing_that_trains_mentions_the_truth(stage: str) -> None:
    text = (SOURCE / "stages" / f"{stage}.py").read_text(encoding="utf-8")
    assert not re.search(r"Truth|open_truth", text) or stage == "evaluate"
    # Masks to calibrate with choose thresholds, and between two masks; nothing learns from them.
    assert "Calibration" not in text or stage in ("refine", "calibration", "second_opinion")


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
