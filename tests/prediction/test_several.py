"""Several images, one by one, as a shell makes them of photos/*.jpg."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ktse.errors import DataError
from ktse.prediction.predictor import Predictor
from ktse.prediction.several import check_several, predict_several
from ktse.recipe import PredictRecipe


class Red:
    """A model that finds its one class in the first half of every image."""

    classes = ("left",)

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        scores = np.zeros((len(images), 2, *images.shape[1:3]), np.float32)
        half = images.shape[2] // 2
        scores[:, 1, :, :half] = scores[:, 0, :, half:] = 1
        return scores

    def logits(self, images: np.ndarray) -> np.ndarray:
        return 8 * self.probabilities(images)


@pytest.fixture
def predictor() -> Predictor:
    return Predictor(Red(), PredictRecipe(flip=False))


def photo(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (40, 36), "red").save(path)
    return path


def test_names_are_those_of_the_folder_they_have_in_common(
    predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("in/a.png", "in/b.jpg", "in/c/a.png", "in/b.png"):
        photo(tmp_path / name)
    monkeypatch.chdir(tmp_path / "in")
    out = tmp_path / "out"
    found = predict_several(predictor, [Path("a.png"), tmp_path / "in/c/a.png", Path("a.png")], out)
    assert [path.relative_to(out).as_posix() for path in found] == ["a.png", "c/a.png"]
    again = predict_several(predictor, [Path("b.jpg"), Path("b.png")], out)
    assert [path.relative_to(out).as_posix() for path in again] == ["b.jpg.png", "b.png.png"]
    assert all(path.is_file() for path in [*found, *again])
    assert len((out / "confidence.csv").read_text().splitlines()) == 5


def test_one_that_cannot_be_read_does_not_lose_the_others(predictor: Predictor, tmp_path: Path) -> None:
    good, bad = photo(tmp_path / "a.png"), tmp_path / "b.png"
    bad.write_bytes(b"no image")
    with pytest.raises(DataError, match=r"1 of 2 images cannot be read") as caught:
        predict_several(predictor, [bad, good], tmp_path / "out")
    assert "b.png" in str(caught.value)
    assert (tmp_path / "out" / "a.png").is_file()
    with pytest.raises(DataError, match=r"1 of 1 image cannot be read"):
        predict_several(predictor, [bad], tmp_path / "out")


def test_folders_videos_and_what_is_not_there_are_named_together(tmp_path: Path) -> None:
    good, video = photo(tmp_path / "a.png"), tmp_path / "clip.mp4"
    video.touch()
    with pytest.raises(DataError, match="3 of 4 arguments are no images") as caught:
        check_several([good, tmp_path, video, tmp_path / "typo.jpg"])
    found = {" ".join(text.split()[1:]) for text in caught.value.where}
    assert found == {"is a folder", "is a video", "does not exist"}
    check_several([good, good])
