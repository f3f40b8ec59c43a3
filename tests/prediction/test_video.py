"""Videos frame by frame, from a clip that is written here."""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from ktse.cli import main
from ktse.errors import DataError, KtseError
from ktse.prediction.predictor import Predictor
from ktse.prediction.video import is_video, predict_video, upright
from ktse.recipe import PredictRecipe

COLOURS = ((230, 20, 20), (20, 230, 20), (20, 20, 230), (230, 20, 20))


class Strongest:
    """A model that says which of red, green and blue is strongest."""

    classes = ("green", "blue")

    def __init__(self) -> None:
        self.calls = 0

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        self.calls += 1
        scores = np.moveaxis(images.astype(np.float32) + 1, -1, 1)
        return scores / scores.sum(axis=1, keepdims=True)

    def logits(self, images: np.ndarray) -> np.ndarray:
        return np.log(self.probabilities(images))


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    av = pytest.importorskip("av", reason="needs the extra video: pip install 'ktse[video]'")
    path = tmp_path / "a clip.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=5)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for colour in COLOURS:
            frame = av.VideoFrame.from_image(Image.new("RGB", (64, 48), colour))
            for packet in stream.encode(frame):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path


def test_every_frame_gets_its_label_map_and_a_second_call_does_nothing(clip: Path, tmp_path: Path) -> None:
    model, recipe = Strongest(), PredictRecipe(flip=False, overlay=True)
    written = predict_video(Predictor(model, recipe), clip, tmp_path / "out")
    assert [path.name for path in written] == [f"{number:06d}.png" for number in range(4)]
    for path, expected in zip(written, (0, 1, 2, 0), strict=True):
        label = np.asarray(Image.open(path))
        assert label.shape == (48, 64) and (label == expected).all()
        assert (tmp_path / "out" / "overlays" / "a clip" / f"{path.stem}.jpg").is_file()
    rows = list(csv.reader((tmp_path / "out" / "confidence.csv").read_text().splitlines()))
    assert [row[0] for row in rows] == ["image", *(f"a clip/{number:06d}" for number in range(4))]
    assert model.calls == 4
    written[2].unlink()
    assert predict_video(Predictor(model, recipe), clip, tmp_path / "out") == written
    assert model.calls == 5


def test_a_file_that_is_no_video_is_a_message(tmp_path: Path) -> None:
    pytest.importorskip("av")
    (tmp_path / "a.mp4").write_bytes(b"nonsense")
    with pytest.raises(DataError, match="cannot be read as a video"):
        predict_video(Predictor(Strongest(), PredictRecipe()), tmp_path / "a.mp4", tmp_path / "out")


def test_without_pyav_the_message_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(KtseError, match=r"ktse\[video\]"):
        predict_video(Predictor(Strongest(), PredictRecipe()), tmp_path / "a.mp4", tmp_path / "out")


def test_frames_are_turned_as_the_camera_was_held() -> None:
    picture = np.zeros((20, 30, 3), np.uint8)
    picture[0, 0] = 255  # a phone held upright stores the top of the scene at the left
    turned = np.asarray(upright(SimpleNamespace(to_image=lambda: Image.fromarray(picture), rotation=-90)))
    assert turned.shape == (30, 20, 3) and (turned[0, -1] == 255).all()
    plain = upright(SimpleNamespace(to_image=lambda: Image.fromarray(picture)))
    assert np.array_equal(np.asarray(plain), picture)


@pytest.mark.parametrize(("name", "expected"), [("a.MP4", True), ("a.mov", True), ("a.gif", False), ("a", False)])
def test_videos_are_known_by_their_ending(name: str, expected: bool) -> None:
    assert is_video(Path(name)) is expected


def test_the_verb_takes_a_video(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    predictor = Predictor(Strongest(), PredictRecipe(flip=False))
    monkeypatch.setattr("ktse.api.results.load", lambda path, settings: predictor)
    assert main(["predict", "runs/photos", str(clip), "--out", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out.strip() == "4 predictions"
    monkeypatch.setitem(sys.modules, "av", None)
    assert main(["predict", "runs/photos", str(clip), "--out", str(tmp_path / "other")]) == 1
    assert "ktse[video]" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()
