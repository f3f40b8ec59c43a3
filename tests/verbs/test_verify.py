"""Every file of a run is looked at: what is wrong is named, removed if that is wanted, and made again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ktse.models.weights import load_tensors, save_tensors
from tiny_run import whole
from typed import ktse

VARYING = ("log.txt", "manifest.json", "report.html", "model_card.md", "evaluation.json")
"""Files that hold times, or the place of the run."""


def content(run: Path) -> dict[str, bytes]:
    files = {path.relative_to(run).as_posix(): path for path in run.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in files.items() if not name.startswith(("index", *VARYING))}


def flip(path: Path) -> None:
    held = bytearray(path.read_bytes())
    held[len(held) // 2] ^= 16
    path.write_bytes(held)


def test_nothing_is_wrong_with_a_finished_run(tiny_run: Path) -> None:
    done = ktse("verify", tiny_run)
    assert done.returncode == 0, done.stdout
    assert "nothing is wrong" in done.stdout


def test_all_that_is_wrong_is_named_at_once_and_made_again(own_run: Path, drawings: Path) -> None:
    before = content(own_run)
    flip(own_run / "classify/model.safetensors")
    flip(own_run / "classify/checkpoint.safetensors")
    flip(own_run / "masks/0001.png")
    (own_run / "masks/summary.json").write_text("{}")
    (own_run / "seeds/0002.npz").write_bytes(b"")
    (own_run / "fused/0003.png").unlink()
    (own_run / "classes.txt").write_text("a\nb\n")
    shutil.copyfile(own_run / "predictions/0004.png", own_run / "predictions/0005.png")
    shutil.copyfile(own_run / "seeds/0004.npz", own_run / "seeds/9999.npz")
    (own_run / "recipe.yaml").write_text("\n".join((own_run / "recipe.yaml").read_text().splitlines()[:40]))
    (own_run / "manifest.json").unlink()
    (own_run / ".0badf00d.4194303.part").write_text("half")
    names = ["classify/model.safetensors", "classify/checkpoint.safetensors", "masks/0001.png", "masks/summary.json"]
    names += ["seeds/0002.npz", "fused/0003.png", "classes.txt", "predictions/0005.png", "seeds/9999.npz"]
    names += ["recipe.yaml", "manifest.json", ".0badf00d.4194303.part"]
    found = ktse("verify", own_run)
    assert found.returncode == 1
    assert all(name in found.stdout for name in names), found.stdout
    assert f"next: ktse verify {own_run} --repair" in found.stdout
    assert ktse("verify", own_run, "--repair").returncode == 0
    again = ktse(*whole(drawings, own_run))
    assert again.returncode == 0, again.stderr
    assert ktse("verify", own_run).returncode == 0
    assert content(own_run) == before


@pytest.mark.parametrize("key", ["", "of another training"])
def test_a_checkpoint_that_is_empty_or_of_another_training_is_named(own_run: Path, key: str) -> None:
    checkpoint = own_run / "segment/checkpoint.safetensors"
    tensors, header = load_tensors(checkpoint)
    tensors = {name: value.clone() for name, value in tensors.items()}  # from the file, which loses its content
    checkpoint.write_bytes(b"")
    if key:
        save_tensors(checkpoint, tensors, {**header, "key": key})
    found = ktse("verify", own_run)
    assert found.returncode == 1
    assert "segment/checkpoint.safetensors" in found.stdout


@pytest.mark.parametrize("name", ["evaluation.json", "check.json", "classes.txt", "segment/summary.json"])
def test_the_same_command_makes_small_files_again(own_run: Path, tiny_run: Path, drawings: Path, name: str) -> None:
    """Commands in a verdict name the place of the run, of which this one is a copy."""
    before, held = content(own_run), (own_run / name).read_bytes()
    flip(own_run / name)
    done = ktse(*whole(drawings, own_run))
    assert done.returncode == 0, done.stderr
    assert f"{name} is not what was written" in done.stderr
    assert content(own_run) == before
    assert (own_run / name).read_text().replace(str(own_run), str(tiny_run)) == held.decode()


def test_a_stage_looks_at_all_that_it_reads(own_run: Path, drawings: Path) -> None:
    names = ("seeds/0001.npz", "masks/0002.png", "masks/0003.npz", "segment/model.safetensors")
    before = content(own_run)
    for name in names:
        flip(own_run / name)
    done = ktse(*whole(drawings, own_run), "--predict.flip", "true")
    assert done.returncode == 0, done.stderr
    for name in ("seeds/0001.npz", "masks/0002.png", "segment/model.safetensors"):
        assert f"{name} is not what was written" in done.stderr
    assert all(content(own_run)[name] == before[name] for name in names)


def test_results_that_leave_the_run_are_looked_at_first(own_run: Path, drawings: Path, tmp_path: Path) -> None:
    photo = min((drawings / "images").iterdir())
    flip(own_run / "segment/model.safetensors")
    flip(own_run / "fused/0001.png")
    for words in (["predict", own_run, photo], ["export", own_run, "--format", "coco"]):
        done = ktse(*words, "--out", tmp_path / words[0])
        assert done.returncode == 1
        assert "ktse verify" in done.stderr and "Traceback" not in done.stderr


def test_other_settings_adopt_nothing_whose_record_is_lost(own_run: Path, drawings: Path) -> None:
    before = (own_run / "classify/model.safetensors").read_bytes()
    (own_run / "manifest.json").unlink()
    shutil.rmtree(own_run / "index")
    done = ktse(*whole(drawings, own_run), "--classify.lr", "0.011")
    assert done.returncode == 0, done.stderr
    for stage in ("classify", "seed", "refine", "segment"):
        assert f"{stage}: nothing says what its files were made from" in done.stderr
    assert (own_run / "classify/model.safetensors").read_bytes() != before


def test_a_lost_record_costs_no_training_if_the_files_say_what_they_are(own_run: Path, drawings: Path) -> None:
    before = content(own_run)
    (own_run / "manifest.json").unlink()
    assert ktse(*whole(drawings, own_run)).stderr.count("done already") == 8  # the index knows
    shutil.rmtree(own_run / "index")
    log = (own_run / "classify/metrics.jsonl").stat().st_mtime_ns
    done = ktse(*whole(drawings, own_run))
    assert done.returncode == 0, done.stderr
    assert "seed: nothing says" in done.stderr and "classify: nothing says" not in done.stderr
    assert (own_run / "classify/metrics.jsonl").stat().st_mtime_ns == log
    assert content(own_run) == before


def test_a_run_of_an_earlier_version_stays_finished_and_is_noted(own_run: Path, drawings: Path) -> None:
    shutil.rmtree(own_run / "index")
    assert "nothing is noted of the files of check, classify" in ktse("verify", own_run).stdout
    done = ktse(*whole(drawings, own_run))
    assert done.stderr.count("done already") == 8, done.stderr
    assert len(list((own_run / "index").iterdir())) == 9
    flip(own_run / "seeds/0001.npz")
    assert "seeds/0001.npz" in ktse("verify", own_run).stdout


def test_what_a_person_has_drawn_is_named_and_never_removed(own_run: Path) -> None:
    (own_run / "corrections").mkdir()
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(own_run / "corrections/0001.png")
    (own_run / "corrections/0002.png").write_bytes(b"half")
    done = ktse("verify", own_run, "--repair")
    assert done.returncode == 1
    assert "corrections/0002.png" in done.stdout and "corrections/0001.png" not in done.stdout
    assert (own_run / "corrections/0002.png").is_file()


def test_a_recipe_that_is_cut_short_or_changed_is_not_taken_for_the_settings(own_run: Path, drawings: Path) -> None:
    path = own_run / "recipe.yaml"
    text = path.read_text()
    path.write_text(text[: len(text) // 2])
    for words in (["refine", own_run], [*whole(drawings, own_run), "--recipe", path], ["status", own_run]):
        done = ktse(*words)
        assert done.returncode == 1
        assert "recipe.yaml is empty or cut short" in done.stderr and "--repair" in done.stderr
    path.write_text(text.replace("threshold: auto", "threshold: 0.4"))
    done = ktse("refine", own_run)
    assert done.returncode == 1
    assert "recipe.yaml is not as ktse wrote it" in done.stderr and f"--recipe {path}" in done.stderr
    assert ktse("verify", own_run, "--repair").returncode == 0
    assert path.read_text() == text


def test_a_finished_run_can_be_used_where_nothing_can_be_written(
    own_run: Path, drawings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    for name in ("os.replace", "os.link", "os.rename", "os.mkdir", "os.unlink"):
        monkeypatch.setattr(name, refuse)
    monkeypatch.setattr("ktse.runtime.log.append", refuse, raising=False)
    before = {path: path.stat().st_mtime_ns for path in own_run.rglob("*") if path.name != "log.txt"}
    for words in (whole(drawings, own_run), ["evaluate", own_run], ["report", own_run], ["status", own_run]):
        done = ktse(*words)
        assert done.returncode == 0, done.stderr
    assert {path: path.stat().st_mtime_ns for path in own_run.rglob("*") if path.name != "log.txt"} == before


def test_another_runs_record_or_note_is_not_believed(own_run: Path, tmp_path: Path, drawings: Path) -> None:
    other = shutil.copytree(own_run, tmp_path / "other")
    assert ktse(*whole(drawings, other), "--compute.random_seed", "5").returncode == 0
    before = content(own_run)
    for name in ("manifest.json", "index/classify.json", "check.json", "index/check.json"):
        shutil.copyfile(other / name, own_run / name)
        done = ktse(*whole(drawings, own_run))
        assert done.returncode == 0, done.stderr
        assert "stage 2 of 8: classify" not in done.stderr  # no training
        assert content(own_run) == before
    assert json.loads((own_run / "manifest.json").read_text())["classify"]["state"] == "done"
