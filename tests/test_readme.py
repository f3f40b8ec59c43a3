"""What the README tells people to type, typed."""

from __future__ import annotations

import ast
import inspect
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import ktse
from ktse.cli import main
from ktse.run_folder import RunFolder
from ktse.terminal.parser import VERBS

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
TINY = [
    "--classify.backbone", "resnet10t", "--classify.output_stride", "16", "--classify.weights", "none",
    "--classify.epochs", "2", "--classify.warmup", "1", "--classify.crop", "32", "--classify.long_side", "[32,40]",
    "--segment.encoder", "resnet10t", "--segment.weights", "none", "--segment.epochs", "1", "--segment.crop", "32",
    "--segment.long_side", "[32,40]", "--seed.scales", "[1.0]", "--seed.long_side", "40", "--predict.long_side", "40",
    "--compute.workers", "0",
]  # fmt: skip


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


SHELL = [line.split("#")[0].strip() for block in blocks("sh") for line in block.splitlines()]
TYPED = [shlex.split(line)[1:] for line in SHELL if line.startswith("ktse ")]
MENTIONED = [shlex.split(line.replace("\n", " "))[1:] for line in re.findall(r"`(ktse [^`]+)`", README)]


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (table,) = blocks("csv")
    (tmp_path / "tags.csv").write_text(table)
    draws = np.random.default_rng(0)
    for name in [*(line.split(",")[0] for line in table.splitlines()[1:]), "../new-photos/a.jpg"]:
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draws.integers(0, 256, (48, 40, 3), dtype=np.uint8)).save(path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.trains
def test_the_commands_on_ones_own_photos_do_what_they_promise(photos: Path) -> None:
    verbs = [arguments[0] for arguments in TYPED]
    assert verbs == ["demo", "check", "run", "refine", "predict"]
    mask = np.zeros((48, 40), dtype=np.uint8)
    mask[10:20, 10:20], mask[30:40, 10:20] = 1, 2
    (photos / "five-masks" / "beach").mkdir(parents=True)
    Image.fromarray(mask).save(photos / "five-masks" / "beach" / "001.png")
    for arguments in TYPED[1:]:
        small = [*TINY, "--weights", "none"] if arguments[0] == "run" else []
        assert main([*arguments, *small]) == 0, arguments
    promised = set(re.findall(r"^\| `([^`]+)` \|", README, re.MULTILINE))
    assert {"masks/ID.png", "report.html", "segment/model.safetensors"} <= promised
    for name in promised:
        assert (photos / "runs" / "photos" / name.replace("ID", "beach/001")).is_file(), name
    assert list((photos / "masks").rglob("a.png"))


@pytest.mark.trains
@pytest.mark.parametrize("package", [Path("weights.pth"), None])
def test_the_demo_draws_its_scenes_and_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: Path | None
) -> None:
    """With the weights' package, which a setting replaces here, and without."""
    monkeypatch.setattr("ktse.models.packaged.packaged_file", lambda _: package)
    monkeypatch.chdir(tmp_path)
    assert main([*TYPED[0], "--images", "12", *TINY]) == 0
    run = RunFolder(tmp_path / "runs" / "demo")
    assert run.path("report.html").is_file()
    assert run.read_recipe().segment.on_features == (package is not None)


@pytest.mark.parametrize("arguments", MENTIONED, ids=" ".join)
def test_commands_in_the_text_exist_with_their_flags(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main([arguments[0], "--help"])
    assert end.value.code == 0
    if VERBS[arguments[0]].settings:
        assert main([arguments[0], "--help-settings", "all"]) == 0
    text = capsys.readouterr().out
    for flag in arguments[1:]:
        assert not flag.startswith("--") or flag in text


def test_python_calls_fit_the_functions() -> None:
    (block,) = blocks("python")
    calls = [node for node in ast.walk(ast.parse(block)) if isinstance(node, ast.Call)]
    assert calls
    for call in calls:
        assert isinstance(call.func, ast.Attribute)
        given = {word.arg: ast.literal_eval(word.value) for word in call.keywords if word.arg}
        inspect.signature(getattr(ktse, call.func.attr)).bind(*map(ast.literal_eval, call.args), **given)


def test_make_knows_the_targets_and_the_pages_exist() -> None:
    targets = {line.split()[1] for line in SHELL if line.startswith("make ")}
    assert targets == {"demo", "test"}
    known = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert targets <= set(known)
    for page in re.findall(r"\]\((\S+?)\)", README):
        file, _, anchor = page.partition("#")
        assert page.startswith("http") or (ROOT / file).is_file(), page
        if anchor:
            headings = re.findall(r"^#+ (.+)$", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {heading.lower().replace(" ", "-") for heading in headings}, page
