"""What export refuses, with the reason and the command that helps; what it prints about what it takes."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from drawn_runs import CLASSES, drawn_run, judge

from ktse import export
from ktse.cli import main
from ktse.errors import CollapseError, RunError
from ktse.exporting import masks as masks_module
from ktse.files import write_json
from ktse.models.segmenter import Segmenter, describe
from ktse.models.weights import load_into, save_model, save_tensors
from ktse.quality.verdict import Sign
from ktse.recipe import Recipe, SegmentRecipe
from ktse.recipe.load import changed
from ktse.run_folder import RunFolder
from ktse.stages.segment import load_model


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """A run as it lies on disk after refine, with two photos and their tags."""
    folder, data, _ = drawn_run(tmp_path, ("a.jpg", "b.jpg"))
    (tmp_path / "tags.csv").write_text("image,tags\na.jpg,cat;dog\nb.jpg,ball\n")
    settings = {"data.images": str(data.root), "data.tags": str(tmp_path / "tags.csv"), "predict.fuse": 0.0}
    folder.write_recipe(changed(Recipe(), settings))
    folder.write_classes(CLASSES)
    write_json(folder.path("masks", "summary.json"), {"threshold": 0.3})
    folder.record("refine", {"state": "done", "key": "k", "made_from": {"refine.stride": Recipe().refine.stride}})
    return folder


def record(run: RunFolder, stage: str, **entry: Any) -> None:
    run.record(stage, {**run.manifest().get(stage, {"key": "k"}), **entry})


def model_of(run: RunFolder) -> Segmenter:
    """A model with random weights in the run."""
    torch.manual_seed(0)
    model, recipe = Segmenter("unet", "resnet10t", len(CLASSES), "none"), SegmentRecipe(encoder="resnet10t")
    header = describe(recipe, model, CLASSES) | {"architecture": "unet"}
    save_tensors(run.path("segment", "model.safetensors"), model.state_dict(), header)
    record(run, "segment", state="done")
    return model


def said(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """What a call that must fail says."""
    assert main([str(argument) for argument in arguments]) == 1
    text = capsys.readouterr().err
    assert "Traceback" not in text
    return text


def test_sound_masks_leave_with_the_verdict(run: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    verdict = judge(run, Sign("do-not-use", "", "The masks are noise.", "ktse classify RUN"))
    assert main(["export", str(run.root), "--format", "coco"]) == 0
    text = capsys.readouterr().err
    assert verdict.sentence in text
    assert "The masks are noise." in text


def test_masks_of_a_stage_that_failed(run: RunFolder, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    record(run, "refine", state="failed", message="no space left")
    text = said(capsys, "export", run.root, "--format", "coco", "--out", tmp_path / "out")
    assert "failed" in text and "no space left" in text and f"ktse refine {run.root}" in text
    record(run, "refine", state="running")
    assert "not finished" in said(capsys, "export", run.root, "--format", "coco", "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_masks_that_are_older_than_the_run(run: RunFolder, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    run.write_recipe(changed(run.read_recipe(), {"refine.stride": 8}))
    text = said(capsys, "export", run.root, "--format", "yolo", "--out", tmp_path / "out")
    assert "refine.stride" in text and f"ktse refine {run.root}" in text
    assert not (tmp_path / "out").exists()


def test_a_model_of_a_stage_that_failed_or_is_stale(run: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    assert f"ktse segment {run.root}" in said(capsys, "export", run.root)  # there is none yet
    model_of(run)
    record(run, "segment", state="failed", message="training collapsed")
    assert "training collapsed" in said(capsys, "export", run.root)
    record(run, "segment", state="done", made_from={"refine": "another"})
    assert "refine was done again" in said(capsys, "export", run.root)
    assert not run.path("export").exists()


def test_a_run_whose_images_have_moved(run: RunFolder, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "photos").rename(tmp_path / "moved")
    text = said(capsys, "export", run.root, "--format", "coco")
    assert f"the images of this run were at {tmp_path / 'photos'}" in text
    assert f"ktse run IMAGES --tags TAGS --out {run.root}" in text


def test_a_folder_is_no_file_and_a_file_no_folder(
    run: RunFolder, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    model_of(run)
    (tmp_path / "folder").mkdir()
    text = said(capsys, "export", run.root, "--out", tmp_path / "folder")
    assert f"{tmp_path / 'folder'} is a folder: give a file" in text
    (tmp_path / "file").write_text("x")
    text = said(capsys, "export", run.root, "--format", "coco", "--out", tmp_path / "file")
    assert f"{tmp_path / 'file'} is a file: give a folder" in text


def test_a_full_disk_is_named_as_such(
    run: RunFolder, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> Path:
        raise OSError(errno.ENOSPC, "No space left on device", str(tmp_path / ".1234.part"))

    monkeypatch.setitem(masks_module.FORMATS, "coco", full)
    text = said(capsys, "export", run.root, "--format", "coco", "--out", tmp_path / "small")
    assert f"No space left on device: {tmp_path / 'small'}" in text
    assert ".part" not in text


def test_a_full_disk_is_no_fault_of_the_architecture(
    run: RunFolder, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxruntime", reason="needs the extra export")
    model_of(run)
    monkeypatch.setattr("ktse.exporting.network_graph._by_dynamo", _no_dynamo)
    monkeypatch.setattr("ktse.exporting.parity.SIZES", ((64, 48),))
    write = Path.write_bytes

    def full(path: Path, content: bytes) -> int:
        if path.suffix == ".part":
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(path, content)

    monkeypatch.setattr(Path, "write_bytes", full)
    text = said(capsys, "export", run.root, "--out", tmp_path / "small" / "m.onnx")
    assert f"No space left on device: {tmp_path / 'small' / 'm.onnx'}" in text
    assert "rchitecture" not in text.partition("No space")[2]


def _no_dynamo(_: object) -> None:
    raise NotImplementedError("a shorter way for tests")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_model_that_is_not_finite_is_neither_written_nor_read(run: RunFolder, tmp_path: Path, value: float) -> None:
    model = model_of(run)
    state = model.state_dict()
    name = [key for key, tensor in state.items() if tensor.dim() == 4][3]
    state[name][0, 0, 0, 0] = value
    with pytest.raises(CollapseError, match=name):
        save_model(tmp_path / "m.safetensors", state, {"classes": list(CLASSES)})
    assert not (tmp_path / "m.safetensors").exists()
    path = run.path("segment", "model.safetensors")
    save_tensors(path, state, describe(SegmentRecipe(encoder="resnet10t"), model, CLASSES) | {"architecture": "unet"})
    with pytest.raises(RunError, match="NaN or infinite") as caught:
        load_model(path)
    assert caught.value.where == [name]
    with pytest.raises(RunError, match="NaN or infinite"):
        export(run.root, out=tmp_path / "m.onnx")
    with pytest.raises(RunError, match="NaN or infinite"):
        load_into(model, {**model.state_dict(), name: torch.full_like(state[name], value)}, path)
    assert not (tmp_path / "m.onnx").exists()
