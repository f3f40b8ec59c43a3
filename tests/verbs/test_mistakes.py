"""What a mistake on the command line looks like."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from PIL import Image

from ktse.data.demo.scenes import make_scenes
from tiny_run import TINY
from typed import ktse


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "nowhere", "--tags", "nowhere.csv", "--out", "run"], "nowhere.csv does not exist"),
        (["seed", "nowhere"], "is not a run folder"),
        (["report", "nowhere"], "is not a run folder"),
    ],
)
def test_a_mistake_is_a_message_and_writes_nothing(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = ktse(*arguments)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_mistakes_with_a_finished_run_are_messages_and_change_nothing(
    own_run: Path, drawings: Path, tmp_path: Path
) -> None:
    before = {path: path.read_bytes() for path in own_run.rglob("*") if path.is_file()}
    photos = tmp_path / "photos"
    shutil.copytree(drawings / "images", photos)
    photo = min(photos.iterdir())
    Image.open(photo).save(tmp_path / "photo.png")
    (tmp_path / "file").touch()
    others, empty = tmp_path / "others", tmp_path / "empty"
    empty.mkdir()
    make_scenes(others, images=3, size=(96, 80))
    for path in (others / "images").iterdir():
        path.rename(path.with_stem(f"other-{path.stem}"))
    table = (others / "tags.csv").read_text().splitlines()
    (others / "tags.csv").write_text("\n".join([table[0], *(f"other-{line}" for line in table[1:])]))
    for arguments, message in (
        (["evaluate", own_run, "--masks", tmp_path / "typo"], "typo does not exist"),
        (["predict", own_run, photos, "--out", photos / "masks"], "is where the images are"),
        (["predict", own_run, tmp_path / "photo.png", "--out", tmp_path], "is where the images are"),
        (["predict", own_run, photo, "--out", tmp_path / "file"], "is a file"),
        (["run", photos, "--tags", drawings / "tags.csv", "--out", tmp_path / "file", *TINY], "is not a run folder"),
        (["segment", own_run, "--segment.retries", -1], "segment.retries is -1"),
        (["demo", "--out", tmp_path / "demo", "--images", 0], "images is 0"),
        (
            ["run", others / "images", "--tags", others / "tags.csv", "--out", own_run, *TINY],
            "is the run of other images",
        ),
        (["refine", own_run, "--refine.method", "[sam]", "--refine.sam_weights", tmp_path / "nosam"], "sam"),
        (["adapt", own_run, "--corrections", empty], "holds no PNG file"),
        (["export", own_run, "--format", "coco", "--out", tmp_path / "file" / "here"], "Not a directory"),
    ):
        done = ktse(*arguments)
        assert done.returncode == 1, arguments
        assert message in done.stderr
        assert "Traceback" not in done.stderr
    assert before == {path: path.read_bytes() for path in own_run.rglob("*") if path.is_file()}
    assert not (photos / "masks").exists()


def test_a_wrong_value_is_one_line_in_plain_words() -> None:
    for arguments, message in (
        (["--classify.epochs", "many"], "--classify.epochs: Expected a whole number. Got value: many"),
        (["--refine.method", "crf"], "--refine.method: Expected a list, such as '[a, b]'. Got value: crf"),
        (["--predict.fuse", "z"], "--predict.fuse: Expected one of number, 'auto'. Got value: z"),
    ):
        done = ktse("run", "photos", "--out", "run", *arguments)
        assert done.returncode == 2
        assert message in done.stderr
        assert len(done.stderr.splitlines()) == 2
